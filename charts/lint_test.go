package charts

import (
	"os"
	"testing"

	"helm.sh/helm/v4/pkg/chart/v2/lint"
	"helm.sh/helm/v4/pkg/chart/v2/lint/support"
	chartutil "helm.sh/helm/v4/pkg/chart/v2/util"
	"sigs.k8s.io/yaml"
)

// As `helm lint --strict`, with values that enable everything, and with keys
// that upstream's chart once had.
func TestLint(t *testing.T) {
	for _, file := range []string{"", "testdata/lint-pods.yaml", "testdata/lint-jobs.yaml"} {
		values := map[string]any{}
		if file != "" {
			values = readValues(t, file)
		}
		for _, m := range lint.RunAll("akri", values, "edge").Messages {
			if m.Severity > support.InfoSev {
				t.Errorf("%s: %v", file, m)
			}
		}
	}
}

// A cluster accepts what the linter's values render: every object is decoded
// strictly.
func TestLintValuesRender(t *testing.T) {
	for file, want := range map[string]string{"testdata/lint-pods.yaml": "brokerPodSpec", "testdata/lint-jobs.yaml": "brokerJobSpec"} {
		r := renderValues(t, readValues(t, file))
		for _, name := range []string{"akri-udev", "akri-debug-echo", "akri-onvif", "akri-opcua", "akri-modbus", "akri-mqtt", "akri-custom"} {
			c, pod := r.configuration(t, name)
			if pod == nil {
				t.Fatalf("%s: %s has no broker", file, name)
			}
			if job := c.Spec.BrokerSpec.BrokerJobSpec != nil; job != (want == "brokerJobSpec") {
				t.Errorf("%s: the broker of %s is not the %s", file, name, want)
			}
		}
	}
}

// Distributions put a suffix after the version, which must not look like a
// release candidate.
func TestKubernetesVersions(t *testing.T) {
	want := load(t).Metadata.KubeVersion
	for version, ok := range map[string]bool{
		"v1.33.0": true, "v1.33.1+k3s1": true, "v1.34.2-eks-1a2b3c": true, "v1.33.0-gke.1200": true, "v1.37.1": true,
		"v1.32.9": false, "v1.32.9+k3s1": false,
	} {
		if got := chartutil.IsCompatibleRange(want, version); got != ok {
			t.Errorf("%q and %s: %v", want, version, got)
		}
	}
}

func readValues(t *testing.T, file string) map[string]any {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]any{}
	if err := yaml.UnmarshalStrict(data, &values); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return values
}
