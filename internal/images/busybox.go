package images

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// applets are the commands of busybox in debug images.
var applets = strings.Fields(`ash cat chmod cp cut date dd df dmesg du echo env expr false find free
	grep gunzip gzip head hexdump hostname id ip kill less ln ls md5sum mkdir mknod more mount mv nc
	netstat nslookup od ping printf ps pwd readlink realpath rm rmdir sed seq sh sha256sum
	sleep sort stat strings sync tail tar tee test time timeout top touch tr true umount uname uniq
	vi watch wc wget which who xargs yes`)

// busybox downloads Debian's busybox-static for a platform through apt, which
// checks Debian's signatures, and returns it as the files of a layer. Apt's
// lists and cache are kept in dir; the machine's own are not touched.
func busybox(ctx context.Context, dir string, p Platform) ([]file, error) {
	dir, err := filepath.Abs(filepath.Join(dir, p.debian()))
	if err != nil {
		return nil, err
	}
	deb, err := fetchDeb(ctx, dir, p.debian(), "busybox-static")
	if err != nil {
		return nil, fmt.Errorf("fetch busybox-static (debug images need Debian's or Ubuntu's apt): %w", err)
	}
	cmd := exec.CommandContext(ctx, "dpkg-deb", "--fsys-tarfile", deb)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	content, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("unpack %s: %w\n%s", deb, err, stderr.Bytes())
	}
	return busyboxFiles(bytes.NewReader(content))
}

// busyboxFiles extracts the program and its licence from the package.
func busyboxFiles(r io.Reader) ([]file, error) {
	out := []file{{name: "bin/", mode: 0o755}}
	found := false
	for t := tar.NewReader(r); ; {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("read busybox-static: %w", err)
		}
		f := file{mode: 0o755}
		switch strings.TrimPrefix(strings.TrimPrefix(h.Name, "./"), "usr/") {
		case "bin/busybox":
			f.name, found = "bin/busybox", true
		case "share/doc/busybox-static/copyright":
			f.name, f.mode = "bin/busybox.copyright", 0o644
		default:
			continue
		}
		if f.data, err = io.ReadAll(io.LimitReader(t, 32<<20)); err != nil {
			return nil, fmt.Errorf("read busybox-static: %w", err)
		}
		out = append(out, f)
	}
	if !found {
		return nil, errors.New("read busybox-static: there is no bin/busybox in it")
	}
	for _, a := range applets {
		out = append(out, file{name: "bin/" + a, mode: 0o777, link: "busybox"})
	}
	return out, nil
}

// fetchDeb downloads a package of a Debian architecture and returns its path.
func fetchDeb(ctx context.Context, dir, arch, name string) (string, error) {
	if deb := newest(dir, name); deb != "" {
		return deb, nil
	}
	for _, d := range []string{"state/lists/partial", "cache/archives/partial"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			return "", err
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "state", "status"), nil, 0o644); err != nil {
		return "", err
	}
	apt := func(args ...string) error {
		cmd := exec.CommandContext(ctx, "apt-get", append([]string{"-q",
			"-o", "APT::Architecture=" + arch, "-o", "APT::Architectures=" + arch, "-o", "APT::Sandbox::User=root",
			"-o", "Dir::State=" + filepath.Join(dir, "state"), "-o", "Dir::State::status=" + filepath.Join(dir, "state", "status"),
			"-o", "Dir::Cache=" + filepath.Join(dir, "cache")}, args...)...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("apt-get %s: %w\n%s", strings.Join(args, " "), err, out)
		}
		return nil
	}
	// One of several lists may fail to update; the package may be in another.
	updated := apt("update")
	if err := apt("download", name); err != nil {
		return "", errors.Join(err, updated)
	}
	if deb := newest(dir, name); deb != "" {
		return deb, nil
	}
	return "", fmt.Errorf("apt-get download %s left no file", name)
}

// newest returns the last of the package's files in dir, or "".
func newest(dir, name string) string {
	debs, _ := fs.Glob(os.DirFS(dir), name+"_*.deb")
	if len(debs) == 0 {
		return ""
	}
	return filepath.Join(dir, debs[len(debs)-1])
}
