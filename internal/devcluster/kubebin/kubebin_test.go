package kubebin

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/akri-go/akri/internal/testlog"
)

func TestRequiredVersion(t *testing.T) {
	gomod := "module x\n\nrequire k8s.io/kubernetes v1.37.1\n\nrequire (\n\tgo.etcd.io/etcd/server/v3 v3.6.8 // indirect\n\tother/k8s.io/kubernetes v9.9.9\n)\nreplace k8s.io/api => k8s.io/api v0.1.0\n"
	for module, want := range map[string]string{
		"k8s.io/kubernetes": "v1.37.1", "go.etcd.io/etcd/server/v3": "v3.6.8", "k8s.io/api": "", "nothing": "",
	} {
		if got := requiredVersion(gomod, module); got != want {
			t.Errorf("%s: %q, want %q", module, got, want)
		}
	}
}

// Every recipe must find its version in the repository's own modules.
func TestRecipesMatchTheirModules(t *testing.T) {
	repo, err := RepoRoot()
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range recipes() {
		gomod, err := os.ReadFile(filepath.Join(repo, "tools", r.module, "go.mod"))
		if err != nil {
			t.Error(err)
			continue
		}
		if r.versionOf == "" {
			continue
		}
		version := requiredVersion(string(gomod), r.versionOf)
		if version == "" {
			t.Errorf("tools/%s/go.mod does not require %s", r.module, r.versionOf)
		}
		if !strings.Contains(r.ldflags(version), "="+version) {
			t.Errorf("%s: flags without version: %s", r.name, r.ldflags(version))
		}
	}
}

func TestDefaultVersionIsThatOfTheModule(t *testing.T) {
	repo, err := RepoRoot()
	if err != nil {
		t.Fatal(err)
	}
	gomod, err := os.ReadFile(filepath.Join(repo, "tools", "kube", "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	if v := requiredVersion(string(gomod), kubeModule); v != DefaultVersion() {
		t.Errorf("tools/kube requires %s, the default is %s", v, DefaultVersion())
	}
}

func TestFindVersion(t *testing.T) {
	for wish, want := range map[string]string{
		"1.35": "v1.35.4", "v1.35": "v1.35.4", "1.35.4": "v1.35.4", "v1.34.5": "v1.34.5", "1.37": DefaultVersion(),
		"1.3": "", "1.35.3": "", "1": "", "": "", "35": "", "v": "", "latest": "", "1.33": "",
	} {
		got, err := FindVersion(wish)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v, want %q", wish, got, err, want)
		}
		if err != nil && !strings.Contains(err.Error(), "1.37.1, 1.36.3, 1.35.4, 1.34.5") {
			t.Errorf("%q: the error does not say what there is: %v", wish, err)
		}
	}
}

func TestBefore(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want bool
	}{
		{"v1.34.5", "v1.35", true}, {"v1.35.0", "v1.35", false}, {"v1.35", "v1.35.4", false}, {"v1.36.3", "v1.35", false},
		{"v1.9.1", "v1.10.0", true}, {"v1.99.0", "v2.0.0", true}, {"v2.0.0", "v1.99.0", false},
	} {
		if got := Before(tt.a, tt.b); got != tt.want {
			t.Errorf("%s before %s: %v", tt.a, tt.b, got)
		}
	}
}

func TestVersionsHaveFoldersOfTheirOwn(t *testing.T) {
	repo, err := RepoRoot()
	if err != nil {
		t.Fatal(err)
	}
	kubelet, pause := recipe{module: "kube", versionOf: kubeModule}, recipe{module: "kube"}
	seen := map[string]bool{}
	for _, v := range Versions() {
		o := Options{Repo: repo, Kubernetes: v}
		folder, err := o.folder(kubelet)
		if err != nil || seen[folder] {
			t.Errorf("%s: %q, %v", v, folder, err)
		}
		seen[folder] = true
		// The sandbox's program has no version.
		if folder, err := o.folder(pause); err != nil || !strings.HasPrefix(folder, "kube-") || strings.Contains(folder, ".") {
			t.Errorf("%s: pause in %q, %v", v, folder, err)
		}
	}
}

func TestModEdits(t *testing.T) {
	gomod := `{"Replace": [
		{"Old": {"Path": "k8s.io/api"}, "New": {"Path": "./staging/src/k8s.io/api"}},
		{"Old": {"Path": "example.org/a"}, "New": {"Path": "example.org/b", "Version": "v1.0.0"}},
		{"Old": {"Path": "k8s.io/client-go"}, "New": {"Path": "./staging/src/k8s.io/client-go"}}]}`
	got, err := modEdits([]byte(gomod), "v1.34.5")
	want := []string{"-module=" + modulePath + "/tools/kube", "-require=k8s.io/kubernetes@v1.34.5",
		"-replace=k8s.io/api=k8s.io/api@v0.34.5", "-replace=k8s.io/client-go=k8s.io/client-go@v0.34.5"}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v", got, err)
	}
	for _, bad := range []string{`{}`, `{`} {
		if got, err := modEdits([]byte(bad), "v1.34.5"); err == nil {
			t.Errorf("%s: %q", bad, got)
		}
	}
}

func TestWrongVersionIsRefused(t *testing.T) {
	_, err := Ensure(t.Context(), Options{Repo: fakeRepo(t, program), Cache: t.TempDir(), Kubernetes: "v1.2.3"}, Pause)
	if err == nil || !strings.Contains(err.Error(), "1.2.3") {
		t.Error(err)
	}
}

func TestLdflags(t *testing.T) {
	r := recipe{versionVars: []string{"a/version.gitVersion", "b.Version"}}
	want := "-s -w -X a/version.gitVersion=v1.37.1 -X a/version.gitMajor=1 -X a/version.gitMinor=37 -X b.Version=v1.37.1"
	if got := r.ldflags("v1.37.1"); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestSelectRecipes(t *testing.T) {
	list, err := selectRecipes([]string{APIServer, Etcd})
	if err != nil || len(list) != 2 || list[0].name != Etcd {
		t.Errorf("got %v, %v", list, err)
	}
	if _, err := selectRecipes([]string{"kube-nothing"}); err == nil || !strings.Contains(err.Error(), "kube-apiserver") {
		t.Errorf("unknown name: %v", err)
	}
	if list, err := selectRecipes(nil); err != nil || len(list) != len(All()) {
		t.Errorf("all: %v, %v", list, err)
	}
}

// fakeRepo is a checkout with a small pause program, so that the real Go
// toolchain builds it quickly.
func fakeRepo(t *testing.T, source string) string {
	t.Helper()
	repo := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":                   "module " + modulePath + "\n",
		"tools/kube/go.mod":        "module " + modulePath + "/tools/kube\n\ngo 1.26.0\n",
		"tools/kube/pause/main.go": source,
	} {
		path := filepath.Join(repo, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return repo
}

const program = "package main\n\nfunc main() {}\n"

func TestEnsureBuildsOnceForMany(t *testing.T) {
	repo, cache := fakeRepo(t, program), t.TempDir()
	var log testlog.Buffer
	var group sync.WaitGroup
	for range 3 {
		group.Go(func() {
			paths, err := Ensure(t.Context(), Options{Repo: repo, Cache: cache, Progress: &log}, Pause)
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := os.Stat(paths[Pause]); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if n := strings.Count(log.String(), " built in "); n != 1 {
		t.Errorf("built %d times:\n%s", n, log.String())
	}
	log.Reset()
	if _, err := Ensure(t.Context(), Options{Repo: repo, Cache: cache, Progress: &log}, Pause); err != nil || log.String() != "" {
		t.Errorf("a second call said %q, %v", log.String(), err)
	}
}

func TestEnsureSeesAChangedRecipe(t *testing.T) {
	repo, cache := fakeRepo(t, program), t.TempDir()
	before, err := Ensure(t.Context(), Options{Repo: repo, Cache: cache}, Pause)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(repo, "tools/kube/pause/main.go"), []byte(program+"// changed\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	after, err := Ensure(t.Context(), Options{Repo: repo, Cache: cache}, Pause)
	if err != nil || after[Pause] == before[Pause] {
		t.Errorf("before %s, after %s, %v", before[Pause], after[Pause], err)
	}
}

func TestEnsureLeavesNoHalfBinary(t *testing.T) {
	repo, cache := fakeRepo(t, "package main\n\nfunc main() { nonsense }\n"), t.TempDir()
	paths, err := Ensure(t.Context(), Options{Repo: repo, Cache: cache}, Pause)
	if err == nil || !strings.Contains(err.Error(), "nonsense") {
		t.Errorf("a broken program: %v, %v", paths, err)
	}
	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Ensure(stopped, Options{Repo: fakeRepo(t, program), Cache: cache}, Pause); !errors.Is(err, context.Canceled) {
		t.Errorf("stopped: %v", err)
	}
	files, err := filepath.Glob(filepath.Join(cache, "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !strings.HasSuffix(f, ".lock") {
			t.Errorf("left: %s", f)
		}
	}
}

func TestLockWaits(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.lock")
	unlock, err := lock(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := lock(ctx, path); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("held lock: %v", err)
	}
	unlock()
	unlock, err = lock(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	unlock()
}
