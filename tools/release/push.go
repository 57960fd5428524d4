package main

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/registry"
)

// push uploads the images and the charts of a built release to a prefix such as
// "ghcr.io/akri-go/akri". It uses the credentials of `docker login` or `helm
// registry login`.
func push(ctx context.Context, dir, prefix, tag string) error {
	archives, err := filepath.Glob(filepath.Join(escaped(dir), "image-*-"+tag+".tar"))
	if err != nil {
		return err
	}
	if len(archives) == 0 {
		return fmt.Errorf("%s has no images of %s: build the release first, without -push", dir, tag)
	}
	for _, archive := range archives {
		image := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(archive), "image-"), "-"+tag+".tar")
		ref, err := name.ParseReference(path.Join(prefix, image) + ":" + tag)
		if err != nil {
			return err
		}
		if err := pushImage(ctx, archive, ref); err != nil {
			return fmt.Errorf("push %s: %w", ref, err)
		}
		fmt.Println("pushed", ref)
	}
	for _, chart := range chartNames() {
		if err := pushChart(dir, prefix, chart, strings.TrimPrefix(tag, "v")); err != nil {
			return err
		}
	}
	return nil
}

func pushImage(ctx context.Context, archive string, ref name.Reference) error {
	dir, err := os.MkdirTemp("", "akri-release-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := extract(archive, dir); err != nil {
		return err
	}
	top, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		return err
	}
	manifest, err := top.IndexManifest()
	if err != nil {
		return err
	}
	if len(manifest.Manifests) != 1 {
		return fmt.Errorf("%s has %d images, not one", archive, len(manifest.Manifests))
	}
	index, err := top.ImageIndex(manifest.Manifests[0].Digest)
	if err != nil {
		return err
	}
	return remote.WriteIndex(ref, index, remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain))
}

func pushChart(dir, prefix, chart, version string) error {
	archive := filepath.Join(dir, chart+"-"+version+".tgz")
	data, err := os.ReadFile(archive)
	if err != nil {
		return err
	}
	c, err := loader.LoadFile(archive)
	if err != nil {
		return err
	}
	options := []registry.ClientOption{registry.ClientOptWriter(io.Discard)}
	if r, err := name.NewRegistry(strings.SplitN(prefix, "/", 2)[0]); err == nil && r.Scheme() == "http" {
		options = append(options, registry.ClientOptPlainHTTP()) // as for images: on this machine alone
	}
	client, err := registry.NewClient(options...)
	if err != nil {
		return err
	}
	ref := path.Join(prefix, "charts", c.Name()) + ":" + version
	if _, err := client.Push(data, ref, registry.PushOptCreationTime(written.UTC().Format(time.RFC3339))); err != nil {
		return fmt.Errorf("push chart %s: %w", ref, err)
	}
	fmt.Println("pushed", ref)
	return nil
}

// extract unpacks one of our archives, which have only plain files.
func extract(archive, dir string) error {
	f, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer f.Close()
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", archive, err)
		}
		if err := root.MkdirAll(path.Dir(h.Name), 0o755); err != nil {
			return err
		}
		out, err := root.Create(h.Name)
		if err != nil {
			return err
		}
		_, err = io.Copy(out, r)
		if err := errors.Join(err, out.Close()); err != nil {
			return fmt.Errorf("extract %s: %w", h.Name, err)
		}
	}
}

// escaped returns a folder as a pattern for filepath.Glob.
func escaped(dir string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(dir)
}
