package charts

import (
	"bytes"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"testing"

	"helm.sh/helm/v4/pkg/chart/common"
	chartutil "helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/loader/archive"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	"helm.sh/helm/v4/pkg/strvals"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/yaml"

	akri "github.com/akri-go/akri/api/v0"
)

// rendered is the chart rendered with a set of values.
type rendered struct {
	notes   string
	objects map[string][]byte // by "Kind/name"
}

// load reads the chart the way a program that embeds it does.
func load(t *testing.T) *chart.Chart { return loadFrom(t, Akri) }

func loadFrom(t *testing.T, files func() (fs.FS, error)) *chart.Chart {
	t.Helper()
	fsys, err := files()
	if err != nil {
		t.Fatal(err)
	}
	var buffered []*archive.BufferedFile
	err = fs.WalkDir(fsys, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(fsys, path)
		buffered = append(buffered, &archive.BufferedFile{Name: path, Data: data})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	c, err := loader.LoadFiles(buffered)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// tryRender renders with arguments in the form of helm's --set.
func tryRender(t *testing.T, set ...string) (map[string]string, error) {
	t.Helper()
	values := map[string]any{}
	for _, s := range set {
		if err := strvals.ParseInto(s, values); err != nil {
			t.Fatalf("--set %s: %v", s, err)
		}
	}
	return tryRenderValues(t, values)
}

func tryRenderValues(t *testing.T, values map[string]any) (map[string]string, error) {
	t.Helper()
	c := load(t)
	release := common.ReleaseOptions{Name: "akri", Namespace: "edge", Revision: 1, IsInstall: true}
	top, err := chartutil.ToRenderValues(c, values, release, nil)
	if err != nil {
		return nil, err
	}
	return engine.Engine{}.RenderWithContext(t.Context(), c, top)
}

// renderings has what was rendered, by the arguments: many tests look at the same,
// and Helm reads schema and templates anew each time.
var renderings sync.Map

func render(t *testing.T, set ...string) rendered {
	t.Helper()
	key := strings.Join(set, "\n")
	if r, ok := renderings.Load(key); ok {
		return r.(rendered)
	}
	out, err := tryRender(t, set...)
	if err != nil {
		t.Fatalf("render %q: %v", set, err)
	}
	r := parse(t, out)
	renderings.Store(key, r)
	return r
}

// renderValues renders with values as in a file.
func renderValues(t *testing.T, values map[string]any) rendered {
	t.Helper()
	out, err := tryRenderValues(t, values)
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, out)
}

func parse(t *testing.T, out map[string]string) rendered {
	t.Helper()
	r := rendered{objects: map[string][]byte{}}
	for name, text := range out {
		if strings.HasSuffix(name, "NOTES.txt") {
			r.notes = text
			continue
		}
		for _, doc := range strings.Split("\n"+text, "\n---") {
			if len(bytes.TrimSpace([]byte(doc))) == 0 {
				continue
			}
			var u unstructured.Unstructured
			if err := yaml.UnmarshalStrict([]byte(doc), &u.Object); err != nil {
				t.Fatalf("%s: %v\n%s", name, err, doc)
			}
			if u.Object == nil { // comments only
				continue
			}
			key := u.GetKind() + "/" + u.GetName()
			if _, double := r.objects[key]; double {
				t.Fatalf("%s is rendered twice", key)
			}
			r.objects[key] = []byte(doc)
		}
	}
	return r
}

// names returns the rendered objects but hooks as sorted "Kind/name".
func (r rendered) names() []string { return r.list(false) }

// hooks returns those of Helm's hooks.
func (r rendered) hooks() []string { return r.list(true) }

func (r rendered) list(hooks bool) []string {
	var out []string
	for k, doc := range r.objects {
		if bytes.Contains(doc, []byte("helm.sh/hook:")) == hooks {
			out = append(out, k)
		}
	}
	slices.Sort(out)
	return out
}

// decode reads an object strictly: a misspelt field is an error.
func decode[T any](t *testing.T, r rendered, key string) T {
	t.Helper()
	var out T
	doc, ok := r.objects[key]
	if !ok {
		t.Fatalf("%s is not rendered; there are %v", key, r.names())
	}
	if err := yaml.UnmarshalStrict(doc, &out); err != nil {
		t.Fatalf("%s: %v\n%s", key, err, doc)
	}
	return out
}

func (r rendered) daemonSet(t *testing.T, name string) appsv1.DaemonSet {
	return decode[appsv1.DaemonSet](t, r, "DaemonSet/"+name)
}

func (r rendered) deployment(t *testing.T, name string) appsv1.Deployment {
	return decode[appsv1.Deployment](t, r, "Deployment/"+name)
}

func (r rendered) clusterRole(t *testing.T, name string) rbacv1.ClusterRole {
	return decode[rbacv1.ClusterRole](t, r, "ClusterRole/"+name)
}

// configuration decodes a Configuration and its broker, all of it strictly.
func (r rendered) configuration(t *testing.T, name string) (akri.Configuration, *corev1.PodSpec) {
	t.Helper()
	c := decode[akri.Configuration](t, r, "Configuration/"+name)
	for _, raw := range []struct {
		name string
		have []byte
		into any
	}{
		{"instanceServiceSpec", rawOf(c.Spec.InstanceServiceSpec), new(corev1.ServiceSpec)},
		{"configurationServiceSpec", rawOf(c.Spec.ConfigurationServiceSpec), new(corev1.ServiceSpec)},
	} {
		if raw.have == nil {
			continue
		}
		if err := yaml.UnmarshalStrict(raw.have, raw.into); err != nil {
			t.Fatalf("%s: %v", raw.name, err)
		}
	}
	if c.Spec.BrokerSpec == nil {
		return c, nil
	}
	if pod := rawOf(c.Spec.BrokerSpec.BrokerPodSpec); pod != nil {
		var spec corev1.PodSpec
		if err := yaml.UnmarshalStrict(pod, &spec); err != nil {
			t.Fatalf("brokerPodSpec: %v", err)
		}
		return c, &spec
	}
	spec, err := jobPodSpec(rawOf(c.Spec.BrokerSpec.BrokerJobSpec))
	if err != nil {
		t.Fatalf("brokerJobSpec: %v", err)
	}
	return c, spec
}

func rawOf(r *runtime.RawExtension) []byte {
	if r == nil {
		return nil
	}
	return r.Raw
}

// jobPodSpec decodes a JobSpec strictly and returns its Pod's spec.
func jobPodSpec(raw []byte) (*corev1.PodSpec, error) {
	var job batchv1.JobSpec
	if err := yaml.UnmarshalStrict(raw, &job); err != nil {
		return nil, err
	}
	return &job.Template.Spec, nil
}

// known reports whether the kind is part of Kubernetes or ours.
func known(apiVersion, kind string) bool {
	for gvk := range scheme.Scheme.AllKnownTypes() {
		if v, k := gvk.ToAPIVersionAndKind(); v == apiVersion && k == kind {
			return true
		}
	}
	return apiVersion == akri.GroupVersion.String() && kind == "Configuration"
}
