package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/admission"
)

// newCheckCommand makes "akri check", which is the admission webhook without a
// cluster.
func newCheckCommand() *cobra.Command {
	var files []string
	cmd := &cobra.Command{
		Use:   "check -f configuration.yaml...",
		Short: "Tell whether Configurations would be accepted",
		Long: `Check the Configurations in manifests as the admission webhook would: fields,
details of the built-in discovery handlers, specs of brokers and Services.
It needs no cluster, and so does not know which names are taken, nor what this
or that version of Kubernetes makes of a Pod. Other objects are passed over.

It fails if one would be refused. What is only a warning is shown, too.`,
		Example: `  akri check -f configuration.yaml
  helm template akri charts/akri --set udev.configuration.enabled=true … | akri check -f -`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			refused, found := 0, 0
			for _, f := range files {
				b, err := readInput(f, cmd.InOrStdin())
				if err != nil {
					return err
				}
				n, bad, err := checkManifest(cmd.OutOrStdout(), b)
				if err != nil {
					return fmt.Errorf("%s: %w", f, err)
				}
				found, refused = found+n, refused+bad
			}
			switch {
			case found == 0:
				return errors.New("no Configuration of akri.sh to check")
			case refused > 0:
				return fmt.Errorf("%d of %d would be refused", refused, found)
			}
			return nil
		},
	}
	cmd.Flags().StringArrayVarP(&files, "filename", "f", nil, "manifest (`file`, or - for standard input); may be given several times")
	if err := cmd.MarkFlagRequired("filename"); err != nil { // only if there were no such flag
		cmd.RunE = func(*cobra.Command, []string) error { return err }
	}
	return cmd
}

// checkManifest writes a line for each Configuration in YAML documents and one
// for each thing to say about it.
func checkManifest(out io.Writer, manifest []byte) (found, refused int, err error) {
	docs := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(manifest)))
	for n := 1; ; n++ {
		doc, err := docs.Read()
		if errors.Is(err, io.EOF) {
			return found, refused, nil
		}
		var kind metav1.TypeMeta
		if err == nil {
			err = yaml.Unmarshal(doc, &kind)
		}
		if err != nil {
			return found, refused, fmt.Errorf("document %d: %w", n, err)
		}
		if kind.Kind != "Configuration" || !strings.HasPrefix(kind.APIVersion, "akri.sh/") {
			continue
		}
		found++
		var c v0.Configuration
		var warnings []string
		errs := decode(doc, &c)
		if errs == nil {
			setDefault(doc, &c)
			list, told := admission.Check(&c, nil, admission.Facts{})
			for _, e := range list {
				errs = append(errs, e.Error())
			}
			warnings = told
		}
		verdict := "good"
		if len(errs) > 0 {
			refused++
			verdict = "refused"
		}
		fmt.Fprintf(out, "Configuration %s: %s\n", c.Name, verdict)
		for _, e := range errs {
			fmt.Fprintf(out, "  error: %s\n", e)
		}
		for _, w := range warnings {
			fmt.Fprintf(out, "  warning: %s\n", w)
		}
	}
}

// decode reads a Configuration and tells what it cannot be, fields that there
// are not included.
func decode(doc []byte, c *v0.Configuration) (errs []string) {
	j, err := yaml.YAMLToJSONStrict(doc)
	if err != nil {
		return []string{err.Error()}
	}
	strict, err := kjson.UnmarshalStrict(j, c)
	if err != nil {
		return []string{err.Error()}
	}
	for _, e := range strict {
		errs = append(errs, e.Error())
	}
	return errs
}

// setDefault does what the CRD does with what is not there.
func setDefault(doc []byte, c *v0.Configuration) {
	var given struct {
		Spec struct {
			Capacity *int32 `json:"capacity"`
		} `json:"spec"`
	}
	if yaml.Unmarshal(doc, &given) == nil && given.Spec.Capacity == nil {
		c.Spec.Capacity = 1
	}
}
