package images

import (
	"archive/tar"
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

var hello = Image{Name: "hello", Package: "internal/images/testdata/hello"}

func build(t *testing.T, out string, platforms ...Platform) []Archive {
	t.Helper()
	archives, err := Build(t.Context(), Options{Module: "../..", Out: out, Prefix: "example.org/x", Tag: "v1",
		Platforms: platforms, Images: []Image{hello}})
	if err != nil {
		t.Fatal(err)
	}
	return archives
}

func TestBuild(t *testing.T) {
	arm := Platform{Arch: "arm", Variant: "v7"}
	out := t.TempDir()
	archives := build(t, out, Platform{Arch: "amd64"}, arm)
	if len(archives) != 2 {
		t.Fatalf("archives: %v", archives)
	}
	for _, a := range archives {
		oci, dir := unpack(t, a.Path)
		if err := validate.Image(oci); err != nil {
			t.Errorf("%s: %v", a.Path, err)
		}
		if d, err := oci.Digest(); err != nil || d.String() != a.Digest {
			t.Errorf("digest %s in the archive, %s reported (%v)", d, a.Digest, err)
		}
		docker, err := tarball.ImageFromPath(a.Path, nil)
		if err != nil {
			t.Fatalf("as a docker archive: %v", err)
		}
		if err := validate.Image(docker); err != nil {
			t.Errorf("as a docker archive: %v", err)
		}
		config, err := docker.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		if config.OS != "linux" || config.Architecture != a.Platform.Arch || config.Variant != a.Platform.Variant {
			t.Errorf("%s is for %s/%s/%s", a.Path, config.OS, config.Architecture, config.Variant)
		}
		if config.Config.User != "65532:65532" || !slices.Equal(config.Config.Entrypoint, []string{"/hello"}) {
			t.Errorf("runs %v as %q", config.Config.Entrypoint, config.Config.User)
		}
		files := contents(t, oci)
		if d := cmp.Diff([]string{"etc", "etc/group", "etc/passwd", "hello", "tmp"}, names(files)); d != "" {
			t.Error(d)
		}
		checkStatic(t, files["hello"], a.Platform)
		index, err := os.ReadFile(filepath.Join(dir, "index.json"))
		if err != nil || !bytes.Contains(index, []byte(`"io.containerd.image.name":"example.org/x/hello:v1"`)) {
			t.Errorf("index.json does not name the image: %s (%v)", index, err)
		}
	}
}

// The same source code gives the same bytes, in any directory.
func TestReproducible(t *testing.T) {
	p := Platform{Arch: "amd64"}
	first, second := build(t, t.TempDir(), p)[0], build(t, t.TempDir(), p)[0]
	if first.Digest != second.Digest {
		t.Errorf("digests %s and %s", first.Digest, second.Digest)
	}
	a, errA := os.ReadFile(first.Path)
	b, errB := os.ReadFile(second.Path)
	if err := errors.Join(errA, errB); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a, b) {
		t.Error("the archives differ")
	}
}

// One archive has the image for all platforms, and two runs give the same
// bytes.
func TestBuildIndexes(t *testing.T) {
	var archives [2][]byte
	for i := range archives {
		indexes, err := BuildIndexes(t.Context(), Options{Module: "../..", Out: t.TempDir(), Prefix: "example.org/x", Tag: "v1",
			Platforms: Platforms(), Images: []Image{hello}})
		if err != nil || len(indexes) != 1 {
			t.Fatalf("%v, %v", indexes, err)
		}
		written := indexes[0]
		if archives[i], err = os.ReadFile(written.Path); err != nil {
			t.Fatal(err)
		}
		top, root, _ := unpackIndex(t, written.Path)
		if len(root.Manifests) != 1 || root.Manifests[0].Digest.String() != written.Digest {
			t.Fatalf("%+v, %s reported", root.Manifests, written.Digest)
		}
		if name := root.Manifests[0].Annotations["io.containerd.image.name"]; name != "example.org/x/hello:v1" {
			t.Errorf("called %q", name)
		}
		index, err := top.ImageIndex(root.Manifests[0].Digest)
		if err != nil {
			t.Fatal(err)
		}
		if err := validate.Index(index); err != nil {
			t.Error(err)
		}
		manifest, err := index.IndexManifest()
		if err != nil {
			t.Fatal(err)
		}
		var platforms []string
		for _, m := range manifest.Manifests {
			platforms = append(platforms, m.Platform.String())
		}
		if d := cmp.Diff([]string{"linux/amd64", "linux/arm64", "linux/arm/v7"}, platforms); d != "" {
			t.Error(d)
		}
	}
	if !bytes.Equal(archives[0], archives[1]) {
		t.Error("the archives differ")
	}
}

func TestUnchangedIsLeft(t *testing.T) {
	out, p := t.TempDir(), Platform{Arch: "amd64"}
	before := build(t, out, p)[0]
	if err := os.WriteFile(before.Path, []byte("kept"), 0o644); err != nil {
		t.Fatal(err)
	}
	if after := build(t, out, p)[0]; after != before {
		t.Errorf("%v, then %v", before, after)
	}
	if data, err := os.ReadFile(before.Path); err != nil || string(data) != "kept" {
		t.Errorf("an unchanged archive was written again (%v)", err)
	}
	if err := os.Remove(before.Path); err != nil {
		t.Fatal(err)
	}
	build(t, out, p)
	if oci, _ := unpack(t, before.Path); oci == nil {
		t.Error("a missing archive was not written again")
	}
}

func TestWriteProgram(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "server")
	if err := os.WriteFile(binary, []byte("program"), 0o755); err != nil {
		t.Fatal(err)
	}
	archive := filepath.Join(t.TempDir(), "new", "server.tar")
	if err := WriteProgram(archive, "example.org/server:1", binary); err != nil {
		t.Fatal(err)
	}
	image, _ := unpack(t, archive)
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if config.OS != "linux" || config.Architecture != runtime.GOARCH || config.Config.User != "" || !slices.Equal(config.Config.Entrypoint, []string{"/server"}) {
		t.Errorf("%s/%s runs %v as %q", config.OS, config.Architecture, config.Config.Entrypoint, config.Config.User)
	}
	if files := contents(t, image); len(files) != 1 || string(files["server"]) != "program" {
		t.Errorf("files: %v", names(files))
	}
	if err := WriteProgram(archive, "example.org/server", binary); err == nil {
		t.Error("an image without a tag was written")
	}
}

func TestDebugTools(t *testing.T) {
	var deb bytes.Buffer
	w := tar.NewWriter(&deb)
	for name, data := range map[string]string{"./bin/busybox": "box", "./usr/share/doc/busybox-static/copyright": "GPL", "./usr/share/man/x": "-"} {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(data)), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		w.Write([]byte(data))
	}
	w.Close()
	tools, err := busyboxFiles(&deb)
	if err != nil {
		t.Fatal(err)
	}
	image, err := assemble(Platform{Arch: "amd64"}, "v1", hello, []byte("bin"), tools)
	if err != nil {
		t.Fatal(err)
	}
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	// Upstream's end-to-end suite looks for a line that is logged every 10 s.
	if !slices.Contains(config.Config.Env, "LOG_LEVEL=debug") {
		t.Errorf("environment %q", config.Config.Env)
	}
	files := contents(t, image)
	// What upstream's end-to-end suite executes in a handler's Pod.
	for _, tool := range []string{"sh", "echo", "grep", "sort", "uniq", "tail", "cut"} {
		if string(files["bin/"+tool]) != "-> busybox" {
			t.Errorf("bin/%s is %q", tool, files["bin/"+tool])
		}
	}
	if string(files["bin/busybox"]) != "box" || string(files["bin/busybox.copyright"]) != "GPL" || files["usr/share/man/x"] != nil {
		t.Errorf("files: %v", names(files))
	}
	if _, err := busyboxFiles(bytes.NewReader(nil)); err == nil {
		t.Error("a package without busybox is taken")
	}
}

// What uses device nodes is root, since the chart sets no user for brokers.
func TestUsers(t *testing.T) {
	for i, want := range map[Image]string{hello: "65532:65532", {Name: "x", Package: "x", Root: true}: "0:0"} {
		image, err := assemble(Platform{Arch: "amd64"}, "v1", i, []byte("bin"), nil)
		if err != nil {
			t.Fatal(err)
		}
		config, err := image.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		if config.Config.User != want {
			t.Errorf("%s runs as %q, want %q", i.Name, config.Config.User, want)
		}
	}
	opening := []string{"show-broker", "udev-video-broker"}
	for _, i := range All() {
		if i.Root != slices.Contains(opening, i.Name) {
			t.Errorf("%s: root is %t; those that open device nodes are %v", i.Name, i.Root, opening)
		}
	}
}

func TestErrors(t *testing.T) {
	o := Options{Module: "../..", Out: t.TempDir(), Tag: "t", Platforms: []Platform{{Arch: "amd64"}}, Images: []Image{{Name: "no", Package: "cmd/no"}}}
	if _, err := Build(t.Context(), o); err == nil {
		t.Error("a program that is not there is built")
	}
	if _, err := Find("agent", "nothing"); err == nil {
		t.Error("an image that is not there is found")
	}
	if _, err := ParsePlatform("s390x"); err == nil {
		t.Error("s390x is taken")
	}
}

func TestDefaultTag(t *testing.T) {
	tag, err := DefaultTag(true)
	if err != nil || tag[0] != 'v' || filepath.Ext("x"+tag[1:]) == "" || !bytes.HasSuffix([]byte(tag), []byte("-debug")) {
		t.Errorf("tag %q, error %v", tag, err)
	}
}

// unpack extracts an archive and opens its one image.
func unpack(t *testing.T, path string) (v1.Image, string) {
	t.Helper()
	index, manifest, dir := unpackIndex(t, path)
	image, err := index.Image(manifest.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	return image, dir
}

// unpackIndex extracts an archive and opens it as an OCI layout of one entry.
func unpackIndex(t *testing.T, path string) (v1.ImageIndex, *v1.IndexManifest, string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	dir := t.TempDir()
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		name := filepath.Join(dir, h.Name)
		err = errors.Join(err, os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, data, 0o644))
		if err != nil {
			t.Fatal(err)
		}
	}
	l, err := layout.FromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	index, err := l.ImageIndex()
	if err != nil {
		t.Fatal(err)
	}
	m, err := index.IndexManifest()
	if err != nil || len(m.Manifests) != 1 {
		t.Fatalf("index %v: %v", m, err)
	}
	return index, m, dir
}

// contents returns the files of an image; symbolic links as "-> target".
func contents(t *testing.T, image v1.Image) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	rc := mutate.Extract(image)
	defer rc.Close()
	for r := tar.NewReader(rc); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Uid != 0 || !h.ModTime.IsZero() && h.ModTime.Unix() != 0 {
			t.Errorf("%s belongs to %d, dated %v", h.Name, h.Uid, h.ModTime)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if h.Linkname != "" {
			data = []byte("-> " + h.Linkname)
		}
		out[h.Name] = data
	}
}

func names(files map[string][]byte) []string {
	var out []string
	for n := range files {
		out = append(out, n)
	}
	slices.Sort(out)
	return out
}

func checkStatic(t *testing.T, program []byte, p Platform) {
	t.Helper()
	f, err := elf.NewFile(bytes.NewReader(program))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range f.Progs {
		if s.Type == elf.PT_INTERP {
			t.Error("the program needs a dynamic linker")
		}
	}
	want := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64, "arm": elf.EM_ARM}[p.Arch]
	if f.Machine != want {
		t.Error(fmt.Errorf("built for %v, not %v", f.Machine, want))
	}
}
