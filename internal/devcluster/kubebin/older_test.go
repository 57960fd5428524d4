package kubebin

import (
	"archive/zip"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// fakeProxy is a folder that serves as a module proxy for the go tool. Its
// Kubernetes prints the version that the linker sets in a staging module.
func fakeProxy(t *testing.T, version string) string {
	t.Helper()
	proxy := t.TempDir()
	staging := "v0." + strings.SplitN(version, ".", 2)[1]
	fakeModule(t, proxy, "k8s.io/component-base", staging, map[string]string{
		"go.mod":             "module k8s.io/component-base\n\ngo 1.24.0\n",
		"version/version.go": "package version\n\nvar gitVersion string\n\nfunc Get() string { return gitVersion }\n",
	})
	files := map[string]string{
		"go.mod": "module k8s.io/kubernetes\n\ngo 1.24.0\n\nrequire k8s.io/component-base v0.0.0\n\nreplace k8s.io/component-base => ./staging/src/k8s.io/component-base\n",
		"go.sum": "",
	}
	for _, r := range recipes() {
		if name, ok := strings.CutPrefix(r.pkg, kubeModule+"/"); ok {
			files[name+"/main.go"] = "package main\n\nimport \"k8s.io/component-base/version\"\n\nfunc main() { print(version.Get()) }\n"
		}
	}
	fakeModule(t, proxy, kubeModule, version, files)
	return "file://" + proxy
}

func fakeModule(t *testing.T, proxy, path, version string, files map[string]string) {
	t.Helper()
	var packed bytes.Buffer
	w := zip.NewWriter(&packed)
	for name, text := range files {
		f, err := w.Create(path + "@" + version + "/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(proxy, path, "@v")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for suffix, data := range map[string][]byte{".info": []byte(`{"Version":"` + version + `"}`), ".mod": []byte(files["go.mod"]), ".zip": packed.Bytes()} {
		if err := os.WriteFile(filepath.Join(dir, version+suffix), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestOlderVersionIsBuiltOfItsOwnModules(t *testing.T) {
	const version = "v1.34.5"
	for name, value := range map[string]string{
		"GOPROXY": fakeProxy(t, version), "GOSUMDB": "off", "GONOSUMDB": "", "GOPRIVATE": "", "GOVCS": "*:off",
		"GOMODCACHE": filepath.Join(t.TempDir(), "mod"), "GOFLAGS": "-modcacherw",
	} {
		t.Setenv(name, value)
	}
	opts := Options{Repo: fakeRepo(t, program), Cache: t.TempDir(), Kubernetes: "1.34"}
	paths, err := Ensure(t.Context(), opts, Scheduler, Pause)
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(paths[Scheduler]).CombinedOutput()
	if err != nil || string(out) != version {
		t.Errorf("the scheduler says %q, %v", out, err)
	}
	folder := filepath.Dir(paths[Scheduler])
	if base := filepath.Base(folder); !strings.HasPrefix(base, "kube-1.34.5-") || filepath.Dir(paths[Pause]) == folder {
		t.Errorf("the scheduler is in %s, pause in %s", base, filepath.Dir(paths[Pause]))
	}
	gomod, err := os.ReadFile(filepath.Join(folder, "module", "go.mod"))
	if err != nil || !strings.Contains(string(gomod), "k8s.io/component-base => k8s.io/component-base v0.34.5") {
		t.Errorf("go.mod: %v\n%s", err, gomod)
	}
	// A binary that was built needs neither the module nor its proxy.
	t.Setenv("GOPROXY", "off")
	if again, err := Ensure(t.Context(), opts, Scheduler); err != nil || again[Scheduler] != paths[Scheduler] {
		t.Errorf("again: %v, %v", again, err)
	}
}

func TestOlderVersionThatCannotBeHad(t *testing.T) {
	t.Setenv("GOPROXY", "off")
	t.Setenv("GOMODCACHE", filepath.Join(t.TempDir(), "mod"))
	cache := t.TempDir()
	_, err := Ensure(t.Context(), Options{Repo: fakeRepo(t, program), Cache: cache, Kubernetes: "1.34"}, Scheduler)
	if err == nil || !strings.Contains(err.Error(), "v1.34.5") || !strings.Contains(err.Error(), "module lookup disabled by GOPROXY=off") {
		t.Errorf("error %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(cache, "*", "module")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}
