package kubebin

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// older is the module from which a version of Kubernetes other than the default
// is built. It is made in the cache from the go.mod and go.sum of
// k8s.io/kubernetes itself, so that all versions and checksums are those of the
// release. It requires k8s.io/kubernetes, and its staging modules as they are
// published.
type older struct {
	version string // v1.35.4
	goTool  string
}

// olderFormat must change if this file makes the module in another way.
const olderFormat = 1

// olderFolder is the name of the folder in the cache.
func olderFolder(version string) string {
	h := sha256.New()
	fmt.Fprintln(h, olderFormat, version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	for _, r := range recipes() {
		if r.versionOf == kubeModule {
			fmt.Fprintln(h, r.name, r.pkg, r.tags, r.ldflags(""))
		}
	}
	return "kube-" + strings.TrimPrefix(version, "v") + "-" + hex.EncodeToString(h.Sum(nil))[:12]
}

// make makes the module in dir, unless another process was first.
func (o older) make(ctx context.Context, dir string, progress io.Writer) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	stop := heartbeat(progress, "fetching Kubernetes "+o.version, time.Now())
	defer stop()
	unlock, err := lock(ctx, dir+".lock")
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	partial := dir + ".partial"
	if err := os.RemoveAll(partial); err != nil {
		return err
	}
	if err := os.MkdirAll(partial, 0o755); err != nil {
		return err
	}
	if err := o.fill(ctx, partial); err != nil {
		return fmt.Errorf("make the module of Kubernetes %s: %w", o.version, err)
	}
	return os.Rename(partial, dir)
}

func (o older) fill(ctx context.Context, dir string) error {
	out, err := o.run(ctx, dir, "mod", "download", "-json", kubeModule+"@"+o.version)
	if err != nil {
		return err
	}
	var module struct{ Dir string }
	if err := json.Unmarshal(out, &module); err != nil {
		return fmt.Errorf("read what go mod download says: %w", err)
	}
	for _, name := range []string{"go.mod", "go.sum"} {
		data, err := os.ReadFile(filepath.Join(module.Dir, name))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			return err
		}
	}
	if out, err = o.run(ctx, dir, "mod", "edit", "-json"); err != nil {
		return err
	}
	edits, err := modEdits(out, o.version)
	if err != nil {
		return err
	}
	if _, err := o.run(ctx, dir, append([]string{"mod", "edit"}, edits...)...); err != nil {
		return err
	}
	// This adds the checksums of Kubernetes itself and of the staging modules;
	// go verifies them according to its environment.
	list := []string{"list", "-mod=mod", "-deps", "-f", "{{with .Error}}{{.}}{{end}}"}
	for _, r := range recipes() {
		if r.versionOf == kubeModule {
			list = append(list, r.pkg)
		}
	}
	_, err = o.run(ctx, dir, list...)
	return err
}

// modEdits returns the arguments of `go mod edit` that turn the go.mod of
// k8s.io/kubernetes, given as JSON, into one that requires it.
func modEdits(gomod []byte, version string) ([]string, error) {
	var have struct {
		Replace []struct{ Old, New struct{ Path string } }
	}
	if err := json.Unmarshal(gomod, &have); err != nil {
		return nil, fmt.Errorf("read the go.mod of %s: %w", kubeModule, err)
	}
	// v1.35.4 is published together with the staging modules' v0.35.4.
	_, patch, _ := strings.Cut(version, ".")
	edits := []string{"-module=" + modulePath + "/tools/kube", "-require=" + kubeModule + "@" + version}
	for _, r := range have.Replace {
		if strings.HasPrefix(r.New.Path, "./staging/") {
			edits = append(edits, fmt.Sprintf("-replace=%s=%s@v0.%s", r.Old.Path, r.Old.Path, patch))
		}
	}
	if len(edits) == 2 {
		return nil, errors.New("the go.mod of " + kubeModule + " replaces no staging modules; its form is not supported")
	}
	return edits, nil
}

// run runs the go tool and returns what it prints.
func (o older) run(ctx context.Context, dir string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, o.goTool, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	cmd.WaitDelay = 5 * time.Second
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		return nil, fmt.Errorf("go %s: %w\n%s", args[0], err, lastLines(append(out, stderr.Bytes()...), 20))
	}
	return out, nil
}
