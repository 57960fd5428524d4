package kubebin

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Options say what to build from, where to, and where to print progress.
type Options struct {
	Repo     string    // checkout with the recipes; "" means RepoRoot()
	Cache    string    // "" means CacheDir()
	Progress io.Writer // nil means silent
	// Kubernetes is one of Versions, "" means WantedVersion or DefaultVersion.
	Kubernetes string
}

// Paths maps the name of a binary to its absolute path.
type Paths map[string]string

// Ensure builds the named binaries, or all if none is named, as far as they are
// missing, and returns their paths. Several processes may call it at once: one
// builds, the others wait. A build that is interrupted leaves no half-written
// binary.
func Ensure(ctx context.Context, opts Options, names ...string) (Paths, error) {
	list, err := selectRecipes(names)
	if err != nil {
		return nil, err
	}
	if opts.Progress == nil {
		opts.Progress = io.Discard
	}
	if opts.Repo == "" {
		if opts.Repo, err = RepoRoot(); err != nil {
			return nil, err
		}
	}
	if opts.Cache == "" {
		if opts.Cache, err = CacheDir(); err != nil {
			return nil, err
		}
	}
	wish := cmp.Or(opts.Kubernetes, WantedVersion(), DefaultVersion())
	if opts.Kubernetes, err = FindVersion(wish); err != nil {
		return nil, err
	}
	paths := Paths{}
	var missing []recipe
	for _, r := range list {
		folder, err := opts.folder(r)
		if err != nil {
			return nil, fmt.Errorf("hash the recipe of %s: %w", r.name, err)
		}
		paths[r.name] = filepath.Join(opts.Cache, folder, r.name)
		if _, err := os.Stat(paths[r.name]); err != nil {
			missing = append(missing, r)
		}
	}
	if len(missing) == 0 {
		return paths, nil
	}
	goTool, err := exec.LookPath("go")
	if err != nil {
		return nil, fmt.Errorf("building %s needs the Go toolchain; install Go 1.26 or newer and put it on PATH: %w", missing[0].name, err)
	}
	fmt.Fprintf(opts.Progress, "building %d programs once; they are kept in %s\n", len(missing), opts.Cache)
	for i, r := range missing {
		label := fmt.Sprintf("[%d/%d] %s", i+1, len(missing), r.name)
		if err := build(ctx, opts, goTool, r, paths[r.name], label); err != nil {
			return nil, fmt.Errorf("build %s: %w", r.name, err)
		}
	}
	return paths, nil
}

// isOlder reports whether a binary is built from a module that is made in the
// cache.
func (o Options) isOlder(r recipe) bool {
	return r.versionOf == kubeModule && o.Kubernetes != DefaultVersion()
}

// folder is the name of the folder in the cache that has a binary.
func (o Options) folder(r recipe) (string, error) {
	if o.isOlder(r) {
		return olderFolder(o.Kubernetes), nil
	}
	hash, err := moduleHash(filepath.Join(o.Repo, "tools", r.module), r.module)
	return r.module + "-" + hash, err
}

// moduleDir returns the folder of the module from which a binary is built.
func (o Options) moduleDir(ctx context.Context, goTool string, r recipe, target string) (string, error) {
	if !o.isOlder(r) {
		return filepath.Join(o.Repo, "tools", r.module), nil
	}
	dir := filepath.Join(filepath.Dir(target), "module")
	return dir, older{version: o.Kubernetes, goTool: goTool}.make(ctx, dir, o.Progress)
}

// build builds one binary under its lock, unless another process was first.
func build(ctx context.Context, opts Options, goTool string, r recipe, target, label string) error {
	dir := filepath.Dir(target)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	began := time.Now()
	stop := heartbeat(opts.Progress, label, began)
	defer stop()
	unlock, err := lock(ctx, target+".lock")
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := os.Stat(target); err == nil {
		return nil
	}
	module, err := opts.moduleDir(ctx, goTool, r, target)
	if err != nil {
		return err
	}
	gomod, err := os.ReadFile(filepath.Join(module, "go.mod"))
	if err != nil {
		return err
	}
	version := ""
	if r.versionOf != "" {
		if version = requiredVersion(string(gomod), r.versionOf); version == "" {
			return fmt.Errorf("%s/go.mod does not require %s", module, r.versionOf)
		}
	}
	// Because of the lock the name can be fixed, so that a later build
	// overwrites what an interrupted one left.
	partial := target + ".partial"
	args := []string{"build", "-mod=readonly", "-trimpath", "-buildvcs=false", "-ldflags", r.ldflags(version), "-o", partial}
	if r.tags != "" {
		args = append(args, "-tags", r.tags)
	}
	cmd := exec.CommandContext(ctx, goTool, append(args, r.pkg)...)
	cmd.Dir = module
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	cmd.WaitDelay = 5 * time.Second
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	out, err := cmd.CombinedOutput()
	if err != nil {
		os.Remove(partial)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("%w\n%s", err, lastLines(out, 20))
	}
	if err := os.Rename(partial, target); err != nil {
		return err
	}
	stop()
	fmt.Fprintf(opts.Progress, "%s built in %s\n", label, time.Since(began).Round(time.Second))
	return nil
}

// heartbeat prints every 15 s that label is in progress, until the returned
// function is called, which may be called twice.
func heartbeat(w io.Writer, label string, began time.Time) func() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(15 * time.Second)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				fmt.Fprintf(w, "%s … %s\n", label, time.Since(began).Round(time.Second))
			}
		}
	}()
	return func() { cancel(); <-done }
}

// lock takes the file lock at path. It waits for another holder until ctx is
// done.
func lock(ctx context.Context, path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return nil, err
	}
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			f.Close()
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, fmt.Errorf("wait for another build that holds %s: %w", path, ctx.Err())
		case <-tick.C:
		}
	}
}

// moduleHash hashes what the binaries of the module in dir depend on: its
// files, the flags of its recipes and the toolchain.
func moduleHash(dir, module string) (string, error) {
	h := sha256.New()
	fmt.Fprintln(h, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	for _, r := range recipes() {
		if r.module == module {
			fmt.Fprintln(h, r.name, r.pkg, r.tags, r.ldflags(""))
		}
	}
	var files []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name := d.Name(); !d.IsDir() && (name == "go.mod" || name == "go.sum" || strings.HasSuffix(name, ".go")) {
			files = append(files, path)
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	slices.Sort(files)
	for _, path := range files {
		data, err := os.ReadFile(path)
		if err != nil {
			return "", err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return "", err
		}
		fmt.Fprintln(h, rel, len(data))
		h.Write(data)
	}
	return hex.EncodeToString(h.Sum(nil))[:12], nil
}

func lastLines(out []byte, n int) string {
	lines := bytes.Split(bytes.TrimSpace(out), []byte("\n"))
	if len(lines) > n {
		lines = lines[len(lines)-n:]
	}
	return string(bytes.Join(lines, []byte("\n")))
}
