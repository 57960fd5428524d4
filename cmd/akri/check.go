package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/validation/field"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/charts"
	"github.com/akri-go/akri/internal/admission"
	"github.com/akri-go/akri/internal/admission/crd"
	"github.com/akri-go/akri/internal/cli"
)

// newCheckCommand makes "akri check", which does what the API server does with
// the CRD and the admission webhook, without a cluster.
func newCheckCommand() *cobra.Command {
	var files []string
	cmd := &cobra.Command{
		Use:   "check -f configuration.yaml...",
		Short: "Check whether Configurations would be accepted",
		Long: `Check the Configurations in manifests as the API server would, with the CRD and
the admission webhook of this version: fields, types and limits, details of the
built-in discovery handlers, specs of brokers and Services. All errors and
warnings are shown at once. Other objects are skipped.

It needs no cluster. So it does not know which names are taken, nor everything
that a version of Kubernetes requires of a Pod.

` + cli.ExitText("all would be accepted", "one would be refused, or cannot be read"),
		Example: `  akri check -f configuration.yaml
  helm template akri charts/akri --set udev.configuration.enabled=true … | akri check -f -`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := newChecker(cmd.OutOrStdout())
			if err != nil {
				return err
			}
			for _, f := range files {
				b, err := readInput(f, cmd.InOrStdin())
				if err != nil {
					return err
				}
				if err := c.manifest(cmd.Context(), b); err != nil {
					return fmt.Errorf("%s: %w", inputName(f), err)
				}
			}
			switch {
			case c.found == 0:
				return errors.New("no Configuration of akri.sh to check")
			case c.refused > 0:
				return fmt.Errorf("%d of %d would be refused", c.refused, c.found)
			}
			return nil
		},
	}
	cmd.Flags().StringArrayVarP(&files, "filename", "f", nil, "manifest (`file`, or - for standard input); may be given several times")
	cli.CompleteFlag(cmd, "filename", "yaml", "yml", "json")
	if err := cmd.MarkFlagRequired("filename"); err != nil { // cannot happen: the flag exists
		cmd.RunE = func(*cobra.Command, []string) error { return err }
	}
	return cmd
}

// checker checks the Configurations in manifests and writes what it finds.
type checker struct {
	out            io.Writer
	definition     *crd.Definition
	found, refused int
}

func newChecker(out io.Writer) (*checker, error) {
	documents, err := charts.CRDs()
	if err != nil {
		return nil, err
	}
	for _, d := range documents {
		var meta metav1.PartialObjectMetadata
		if err := yaml.Unmarshal(d, &meta); err != nil {
			return nil, err
		}
		if meta.Name == "configurations."+v0.GroupVersion.Group {
			definition, err := crd.New(d)
			return &checker{out: out, definition: definition}, err
		}
	}
	return nil, errors.New("the chart has no CRD of Configurations")
}

// manifest checks YAML documents.
func (c *checker) manifest(ctx context.Context, manifest []byte) error {
	docs := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(manifest)))
	for n := 1; ; n++ {
		doc, err := docs.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		var text []byte
		var twice error
		if err == nil {
			if text, err = yaml.YAMLToJSON(doc); err == nil {
				_, twice = yaml.YAMLToJSONStrict(doc)
			}
		}
		var object map[string]any
		if err == nil {
			err = utiljson.Unmarshal(text, &object)
		}
		if err != nil {
			return fmt.Errorf("document %d: %s", n, admission.Plain(err))
		}
		c.object(ctx, object, twice)
	}
}

// object checks a Configuration, or those of a list. Others are skipped.
func (c *checker) object(ctx context.Context, object map[string]any, twice error) {
	u := unstructured.Unstructured{Object: object}
	if u.IsList() && u.GetKind() == "List" {
		items, _ := object["items"].([]any)
		for _, item := range items {
			if o, ok := item.(map[string]any); ok {
				c.object(ctx, o, twice)
			}
		}
		return
	}
	ours, wrong := kindOf(u.GetAPIVersion(), u.GetKind())
	if !ours {
		return
	}
	var errs []string
	if wrong != "" {
		errs = append(errs, wrong)
		u.SetGroupVersionKind(v0.GroupVersion.WithKind("Configuration"))
	}
	if twice != nil {
		errs = append(errs, admission.Plain(twice))
	}
	list, warnings := c.configuration(ctx, object)
	for _, e := range list {
		errs = append(errs, e.Error())
	}
	c.found++
	verdict := "good"
	if len(errs) > 0 {
		c.refused++
		verdict = "refused"
	}
	name := u.GetName()
	if name == "" {
		name = "without a name"
	}
	fmt.Fprintf(c.out, "Configuration %s: %s\n", name, verdict)
	for _, e := range errs {
		fmt.Fprintf(c.out, "  error: %s\n", e)
	}
	for _, w := range warnings {
		fmt.Fprintf(c.out, "  warning: %s\n", w)
	}
}

// configuration returns what the CRD refuses, and then what the webhook would
// refuse of the rest.
func (c *checker) configuration(ctx context.Context, object map[string]any) (field.ErrorList, []string) {
	rest, errs := c.definition.Check(ctx, object)
	var typed v0.Configuration
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(rest, &typed); err != nil {
		// The CRD has refused what the types cannot hold.
		return append(errs, field.Invalid(nil, field.OmitValueType{}, admission.Plain(err))), nil
	}
	said := map[string]bool{}
	for _, e := range errs {
		said[e.Field] = true
	}
	more, warnings := admission.Check(&typed, nil, admission.Facts{})
	for _, e := range more {
		if !said[e.Field] {
			errs = append(errs, e)
		}
	}
	return errs, warnings
}

// kindOf reports whether an object is, or is meant to be, a Configuration, and
// what is wrong with its kind or apiVersion.
func kindOf(apiVersion, kind string) (ours bool, wrong string) {
	group, _, grouped := strings.Cut(apiVersion, "/")
	want := v0.GroupVersion.String()
	switch {
	case apiVersion == want && kind == "Configuration":
		return true, ""
	case apiVersion == want && kind == "Instance":
		return false, ""
	case apiVersion == want:
		return true, fmt.Sprintf("kind: is %q: there are Configuration, and Instance, which agents write", kind)
	case group == v0.GroupVersion.Group, !grouped && kind == "Configuration":
		return true, fmt.Sprintf("apiVersion: is %q: write %s", apiVersion, want)
	}
	return false, "" // somebody else's
}
