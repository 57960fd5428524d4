package images

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// writeArchive writes an image as an OCI image layout, together with the
// manifest.json of "docker save"; both use the same blobs.
func writeArchive(w io.Writer, ref string, image v1.Image) error {
	manifest, err := image.Manifest()
	if err != nil {
		return err
	}
	config, err := image.ConfigFile()
	if err != nil {
		return err
	}
	raw, err := image.RawManifest()
	if err != nil {
		return err
	}
	digest, err := image.Digest()
	if err != nil {
		return err
	}
	var layers []string
	for _, l := range manifest.Layers {
		layers = append(layers, blobPath(l.Digest))
	}
	docker := []map[string]any{{"Config": blobPath(manifest.Config.Digest), "RepoTags": []string{ref}, "Layers": layers}}

	a := newLayoutWriter(w)
	a.start(v1.Descriptor{
		MediaType:   types.OCIManifestSchema1,
		Size:        int64(len(raw)),
		Digest:      digest,
		Platform:    &v1.Platform{OS: config.OS, Architecture: config.Architecture, Variant: config.Variant},
		Annotations: named(ref),
	})
	a.json("manifest.json", docker)
	a.image(image)
	return a.close()
}

// writeIndexArchive writes an image for several platforms as an OCI image
// layout.
func writeIndexArchive(w io.Writer, ref string, index v1.ImageIndex) error {
	manifest, err := index.IndexManifest()
	if err != nil {
		return err
	}
	raw, err := index.RawManifest()
	if err != nil {
		return err
	}
	digest, err := index.Digest()
	if err != nil {
		return err
	}
	a := newLayoutWriter(w)
	a.start(v1.Descriptor{MediaType: types.OCIImageIndex, Size: int64(len(raw)), Digest: digest, Annotations: named(ref)})
	a.blob(digest, raw)
	for _, m := range manifest.Manifests {
		image, err := index.Image(m.Digest)
		if err != nil {
			return err
		}
		a.image(image)
	}
	return a.close()
}

// named returns the annotations by which container runtimes name an image.
func named(ref string) map[string]string {
	return map[string]string{"io.containerd.image.name": ref, "org.opencontainers.image.ref.name": ref}
}

// layoutWriter writes an OCI image layout as a tar archive. After the first
// error its methods do nothing, and close returns the error.
type layoutWriter struct {
	tar  *tar.Writer
	have map[v1.Hash]bool
	err  error
}

func newLayoutWriter(w io.Writer) *layoutWriter {
	return &layoutWriter{tar: tar.NewWriter(w), have: map[v1.Hash]bool{}}
}

// start writes the layout's marker file and its index of one image.
func (l *layoutWriter) start(image v1.Descriptor) {
	l.json("oci-layout", map[string]string{"imageLayoutVersion": "1.0.0"})
	l.json("index.json", v1.IndexManifest{
		SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: []v1.Descriptor{image},
	})
}

func (l *layoutWriter) close() error {
	if l.err != nil {
		return l.err
	}
	return l.tar.Close()
}

func (l *layoutWriter) put(name string, size int64, r io.Reader) {
	if l.err != nil {
		return
	}
	h := &tar.Header{Name: name, Mode: 0o644, Size: size, ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR, Typeflag: tar.TypeReg}
	err := l.tar.WriteHeader(h)
	if err == nil {
		_, err = io.Copy(l.tar, r)
	}
	if err != nil {
		l.err = fmt.Errorf("archive file %s: %w", name, err)
	}
}

func (l *layoutWriter) json(name string, v any) {
	data, err := json.Marshal(v)
	if err != nil {
		l.err = err
		return
	}
	l.put(name, int64(len(data)), bytes.NewReader(data))
}

func (l *layoutWriter) blob(digest v1.Hash, data []byte) {
	if !l.have[digest] {
		l.have[digest] = true
		l.put(blobPath(digest), int64(len(data)), bytes.NewReader(data))
	}
}

// image writes the blobs of an image: manifest, configuration and layers.
func (l *layoutWriter) image(image v1.Image) {
	if err := l.blobsOf(image); err != nil && l.err == nil {
		l.err = err
	}
}

func (l *layoutWriter) blobsOf(image v1.Image) error {
	manifest, err := image.Manifest()
	if err != nil {
		return err
	}
	rawManifest, err := image.RawManifest()
	if err != nil {
		return err
	}
	digest, err := image.Digest()
	if err != nil {
		return err
	}
	rawConfig, err := image.RawConfigFile()
	if err != nil {
		return err
	}
	layers, err := image.Layers()
	if err != nil {
		return err
	}
	l.blob(digest, rawManifest)
	l.blob(manifest.Config.Digest, rawConfig)
	for i, one := range layers {
		descriptor := manifest.Layers[i]
		if l.have[descriptor.Digest] {
			continue
		}
		l.have[descriptor.Digest] = true
		r, err := one.Compressed()
		if err != nil {
			return err
		}
		l.put(blobPath(descriptor.Digest), descriptor.Size, r)
		r.Close()
	}
	return nil
}

func blobPath(h v1.Hash) string { return "blobs/" + h.Algorithm + "/" + h.Hex }
