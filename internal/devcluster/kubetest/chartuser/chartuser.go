// Package chartuser gives a test API server the chart's service accounts, roles
// and policies that limit an agent to its node, and clients that have only
// those rights.
package chartuser

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"helm.sh/helm/v4/pkg/chart/common"
	chartutil "helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/loader/archive"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	"helm.sh/helm/v4/pkg/strvals"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"github.com/akri-go/akri/charts"
)

// Namespace is the release's namespace.
const Namespace = "akri-system"

// Install creates what templates/rbac.yaml and templates/node-policies.yaml
// render with values as for helm's --set, and waits until the policies are in
// effect. Cfg is a cluster administrator's.
func Install(ctx context.Context, cfg *rest.Config, set ...string) error {
	policies, err := install(ctx, cfg, charts.Akri, Namespace, []string{"rbac.yaml", "node-policies.yaml"}, set)
	if err != nil {
		return err
	}
	return waitForPolicies(ctx, cfg, policies)
}

// install creates what templates of a chart render, and the Namespace. It
// returns the names of the policies among them.
func install(
	ctx context.Context, cfg *rest.Config, files func() (fs.FS, error), into string, templates, set []string,
) (policies []string, err error) {
	objects, err := render(ctx, files, into, templates, set)
	if err != nil {
		return nil, fmt.Errorf("render the chart: %w", err)
	}
	c, err := dynamic.NewForConfig(cfg)
	if err != nil {
		return nil, err
	}
	namespace := &unstructured.Unstructured{}
	namespace.SetAPIVersion("v1")
	namespace.SetKind("Namespace")
	namespace.SetName(into)
	var errs []error // all of them: useful when editing a policy
	for _, o := range append([]*unstructured.Unstructured{namespace}, objects...) {
		resource, _ := meta.UnsafeGuessKindToResource(o.GroupVersionKind())
		if _, err := c.Resource(resource).Namespace(o.GetNamespace()).Create(ctx, o, metav1.CreateOptions{}); err != nil {
			errs = append(errs, fmt.Errorf("create %s %s: %w", o.GetKind(), o.GetName(), err))
		}
		if o.GetKind() == "ValidatingAdmissionPolicy" {
			policies = append(policies, o.GetName())
		}
	}
	return policies, errors.Join(errs...)
}

// render returns the objects of templates, in the order of their names.
func render(
	ctx context.Context, chartFiles func() (fs.FS, error), namespace string, templates, set []string,
) ([]*unstructured.Unstructured, error) {
	fsys, err := chartFiles()
	if err != nil {
		return nil, err
	}
	var files []*archive.BufferedFile
	err = fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(fsys, name)
		files = append(files, &archive.BufferedFile{Name: name, Data: data})
		return err
	})
	if err != nil {
		return nil, err
	}
	chart, err := loader.LoadFiles(files)
	if err != nil {
		return nil, err
	}
	values := map[string]any{}
	for _, s := range set {
		if err := strvals.ParseInto(s, values); err != nil {
			return nil, fmt.Errorf("--set %s: %w", s, err)
		}
	}
	release := common.ReleaseOptions{Name: "akri", Namespace: namespace, Revision: 1, IsInstall: true}
	all, err := chartutil.ToRenderValues(chart, values, release, nil)
	if err != nil {
		return nil, err
	}
	out, err := engine.Engine{}.RenderWithContext(ctx, chart, all)
	if err != nil {
		return nil, err
	}
	var objects []*unstructured.Unstructured
	for _, name := range slices.Sorted(maps.Keys(out)) {
		if !slices.Contains(templates, path.Base(name)) {
			continue
		}
		for _, doc := range strings.Split("\n"+out[name], "\n---") {
			if len(bytes.TrimSpace([]byte(doc))) == 0 {
				continue
			}
			o := &unstructured.Unstructured{}
			if err := yaml.Unmarshal([]byte(doc), &o.Object); err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			if o.Object != nil {
				objects = append(objects, o)
			}
		}
	}
	return objects, nil
}
