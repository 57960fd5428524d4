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

// writeArchive writes an image as an OCI image layout with the manifest.json of
// "docker save" beside it; both point to the same blobs.
func writeArchive(w io.Writer, ref string, image v1.Image) error {
	manifest, err := image.Manifest()
	if err != nil {
		return err
	}
	rawManifest, err := image.RawManifest()
	if err != nil {
		return err
	}
	rawConfig, err := image.RawConfigFile()
	if err != nil {
		return err
	}
	digest, err := image.Digest()
	if err != nil {
		return err
	}
	config, err := image.ConfigFile()
	if err != nil {
		return err
	}
	layers, err := image.Layers()
	if err != nil {
		return err
	}

	var layerPaths []string
	for _, l := range manifest.Layers {
		layerPaths = append(layerPaths, blobPath(l.Digest))
	}
	index := v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: []v1.Descriptor{{
		MediaType: types.OCIManifestSchema1,
		Size:      int64(len(rawManifest)),
		Digest:    digest,
		Platform:  &v1.Platform{OS: config.OS, Architecture: config.Architecture, Variant: config.Variant},
		Annotations: map[string]string{
			"io.containerd.image.name":          ref,
			"org.opencontainers.image.ref.name": ref,
		},
	}}}
	docker := []map[string]any{{"Config": blobPath(manifest.Config.Digest), "RepoTags": []string{ref}, "Layers": layerPaths}}

	t := tar.NewWriter(w)
	put := func(name string, size int64, r io.Reader) error {
		h := &tar.Header{Name: name, Mode: 0o644, Size: size, ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR, Typeflag: tar.TypeReg}
		if err := t.WriteHeader(h); err != nil {
			return fmt.Errorf("archive entry %s: %w", name, err)
		}
		if _, err := io.Copy(t, r); err != nil {
			return fmt.Errorf("archive entry %s: %w", name, err)
		}
		return nil
	}
	putBytes := func(name string, data []byte) error { return put(name, int64(len(data)), bytes.NewReader(data)) }
	putJSON := func(name string, v any) error {
		data, err := json.Marshal(v)
		if err != nil {
			return err
		}
		return putBytes(name, data)
	}

	if err := putJSON("oci-layout", map[string]string{"imageLayoutVersion": "1.0.0"}); err != nil {
		return err
	}
	if err := putJSON("index.json", index); err != nil {
		return err
	}
	if err := putJSON("manifest.json", docker); err != nil {
		return err
	}
	if err := putBytes(blobPath(digest), rawManifest); err != nil {
		return err
	}
	if err := putBytes(blobPath(manifest.Config.Digest), rawConfig); err != nil {
		return err
	}
	for i, l := range layers {
		r, err := l.Compressed()
		if err != nil {
			return err
		}
		err = put(layerPaths[i], manifest.Layers[i].Size, r)
		r.Close()
		if err != nil {
			return err
		}
	}
	return t.Close()
}

func blobPath(h v1.Hash) string { return "blobs/" + h.Algorithm + "/" + h.Hex }
