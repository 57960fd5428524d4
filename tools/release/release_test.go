package main

import (
	"bytes"
	"encoding/json"
	"io"
	"log"
	"maps"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"helm.sh/helm/v4/pkg/chart/v2/loader"

	"github.com/akri-go/akri/internal/images"
)

func TestBOM(t *testing.T) {
	info := &debug.BuildInfo{
		GoVersion: "go1.26.1", Path: "example.org/x/cmd/x",
		Deps: []*debug.Module{
			{Path: "example.org/a", Version: "v1.2.3", Sum: "h1:AAEC"},
			{Path: "example.org/b", Version: "v1.0.0", Replace: &debug.Module{Path: "example.org/c", Version: "v2.0.0+incompatible"}},
		},
	}
	bom := bomOf(info, "v9")
	var got []string
	for _, c := range *bom.Components {
		got = append(got, c.PackageURL)
	}
	want := []string{"pkg:golang/std@1.26.1", "pkg:golang/example.org/a@v1.2.3", "pkg:golang/example.org/c@v2.0.0%2Bincompatible"}
	if !slices.Equal(got, want) {
		t.Errorf("components %v, want %v", got, want)
	}
	if main := bom.Metadata.Component; main.PackageURL != "pkg:golang/example.org/x/cmd/x@v9" {
		t.Errorf("the program is %s", main.PackageURL)
	}
	if p := *(*bom.Components)[1].Properties; p[0].Value != "000102" {
		t.Errorf("sum %v", p)
	}
}

// The bill of a program is read back, and the same twice.
func TestBOMOfThisTest(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	var files [2][]byte
	for i := range files {
		path := filepath.Join(dir, "bom.json")
		if err := writeBOM(path, self, "v1"); err != nil {
			t.Fatal(err)
		}
		if files[i], err = os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(files[0], files[1]) {
		t.Error("two bills of one program differ")
	}
	bom := new(cdx.BOM)
	if err := cdx.NewBOMDecoder(bytes.NewReader(files[0]), cdx.BOMFileFormatJSON).Decode(bom); err != nil {
		t.Fatal(err)
	}
	if bom.Metadata.Timestamp != "" || bom.SpecVersion != cdx.SpecVersion1_6 {
		t.Errorf("dated %q, of version %v", bom.Metadata.Timestamp, bom.SpecVersion)
	}
	if !slices.ContainsFunc(*bom.Components, func(c cdx.Component) bool { return c.Name == "helm.sh/helm/v4" }) {
		t.Error("Helm is not in the bill")
	}
	if !json.Valid(files[0]) || !strings.Contains(string(files[0]), `"bomFormat": "CycloneDX"`) {
		t.Errorf("%.200s", files[0])
	}
}

func TestChart(t *testing.T) {
	t.Chdir("../..") // release runs at the root of the module
	crds := map[string]int{"akri": 2, "cloudcore": 0}
	var files [2]map[string][]byte
	for i := range files {
		r := release{out: t.TempDir()}
		if err := r.charts(t.Context()); err != nil {
			t.Fatal(err)
		}
		all, err := os.ReadDir(r.out)
		if err != nil || len(all) != len(crds) {
			t.Fatalf("%v, %v", all, err)
		}
		files[i] = map[string][]byte{}
		for _, file := range all {
			path := filepath.Join(r.out, file.Name())
			if files[i][file.Name()], err = os.ReadFile(path); err != nil {
				t.Fatal(err)
			}
			c, err := loader.LoadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if want, ok := crds[c.Name()]; !ok || len(c.CRDObjects()) != want {
				t.Errorf("chart %s with %d CRDs", c.Name(), len(c.CRDObjects()))
			}
		}
	}
	if !maps.EqualFunc(files[0], files[1], bytes.Equal) {
		t.Error("two packages of one chart differ")
	}
}

func TestPush(t *testing.T) {
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	prefix := strings.TrimPrefix(server.URL, "http://") + "/akri"
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	t.Chdir("../..")
	tag, err := images.DefaultTag(false)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := push(t.Context(), dir, prefix, tag); err == nil || !strings.Contains(err.Error(), "build the release first") {
		t.Errorf("an empty folder: %v", err)
	}
	indexes, err := images.BuildIndexes(t.Context(), images.Options{
		Module: ".", Out: dir, Tag: tag, Platforms: []images.Platform{{Arch: "amd64"}, {Arch: "arm64"}},
		Images: []images.Image{{Name: "hello", Package: "internal/images/testdata/hello"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(indexes[0].Path, filepath.Join(dir, "image-hello-"+tag+".tar")); err != nil {
		t.Fatal(err)
	}
	r := release{out: dir}
	if err := r.charts(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := push(t.Context(), dir, prefix, tag); err != nil {
		t.Fatal(err)
	}
	for _, ref := range []string{prefix + "/hello:" + tag, prefix + "/charts/akri:" + strings.TrimPrefix(tag, "v"), prefix + "/charts/cloudcore:" + strings.TrimPrefix(tag, "v")} {
		parsed, err := name.ParseReference(ref)
		if err != nil {
			t.Fatal(err)
		}
		d, err := remote.Get(parsed)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(ref, "hello") && d.Digest.String() != indexes[0].Digest {
			t.Errorf("pushed %s, built %s", d.Digest, indexes[0].Digest)
		}
	}
}

func TestPackAndChecksums(t *testing.T) {
	var sums [2]string
	for i := range sums {
		dir := t.TempDir()
		if err := pack(filepath.Join(dir, "x.tar.gz"), member{"pack.go", "pack.go", 0o644}); err != nil {
			t.Fatal(err)
		}
		var err error
		if sums[i], err = checksums(dir); err != nil {
			t.Fatal(err)
		}
	}
	if sums[0] != sums[1] || !strings.HasSuffix(sums[0], "  x.tar.gz\n") || len(sums[0]) != 64+len("  x.tar.gz\n") {
		t.Errorf("checksums %q", sums)
	}
	if err := pack(filepath.Join(t.TempDir(), "x.tar.gz"), member{"no", "no such file", 0o644}); err == nil {
		t.Error("a file that is not there was packed")
	}
}

func TestPlatforms(t *testing.T) {
	if all, err := platforms("all"); err != nil || len(all) != 3 {
		t.Errorf("%v, %v", all, err)
	}
	if one, err := platforms("arm64"); err != nil || len(one) != 1 || one[0].FileName() != "arm64" {
		t.Errorf("%v, %v", one, err)
	}
	if _, err := platforms("amd64,vax"); err == nil {
		t.Error("vax is taken")
	}
}
