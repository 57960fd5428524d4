package images

import (
	"compress/gzip"
	"os"
	"path/filepath"
	"runtime"

	"github.com/google/go-containerregistry/pkg/name"

	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// userID is the user that programs run as, unless the image or the Pod says
// otherwise.
const userID = 65532

// user is what the image's program runs as.
func (i Image) user() string {
	if i.Root {
		return "0:0"
	}
	return fmt.Sprintf("%d:%d", userID, userID)
}

const (
	passwd = "root:x:0:0:root:/:/sbin/nologin\nakri:x:65532:65532:akri:/:/sbin/nologin\n"
	group  = "root:x:0:\nakri:x:65532:\nakri-handlers:x:65530:\n"
)

// file is a file in a layer: a directory if the name ends with a slash, a
// symbolic link if link is set.
type file struct {
	name string
	mode int64
	link string
	data []byte
}

// assemble makes an image that runs its program. Tools, if any, are in a separate
// layer.
func assemble(p Platform, version string, i Image, binary []byte, tools []file) (v1.Image, error) {
	program := i.Program()
	layers := [][]file{{
		{name: "etc/", mode: 0o755},
		{name: "etc/passwd", mode: 0o644, data: []byte(passwd)},
		{name: "etc/group", mode: 0o644, data: []byte(group)},
		{name: "tmp/", mode: 0o1777},
	}}
	env := []string{"PATH=/usr/local/bin:/usr/bin:/bin:/"}
	if len(tools) > 0 {
		layers = append(layers, tools)
		env = append(env, "LOG_LEVEL=debug") // debug images
	}
	layers = append(layers, []file{{name: program, mode: 0o755, data: binary}})
	return newImage(p, gzip.BestSpeed, layers, v1.Config{
		User:       i.user(),
		Entrypoint: []string{"/" + program},
		WorkingDir: "/",
		Env:        env,
		Labels: map[string]string{
			"org.opencontainers.image.title":    program,
			"org.opencontainers.image.version":  version,
			"org.opencontainers.image.source":   "https://github.com/akri-go/akri",
			"org.opencontainers.image.licenses": "Apache-2.0",
		},
	})
}

// WriteProgram writes the archive of an image that contains one static program
// of this machine's architecture, /<base name of binary>, which runs as root.
// It is not compressed, because such images never leave the machine. Several
// processes may write the same archive at once.
func WriteProgram(archive, ref, binary string) error {
	// Archives have complete names only.
	if _, err := name.NewTag(ref, name.WithDefaultRegistry(""), name.StrictValidation); err != nil {
		return err
	}
	program, err := os.ReadFile(binary)
	if err != nil {
		return err
	}
	base := filepath.Base(binary)
	layers := [][]file{{{name: base, mode: 0o755, data: program}}}
	image, err := newImage(Platform{Arch: runtime.GOARCH}, gzip.NoCompression, layers,
		v1.Config{Entrypoint: []string{"/" + base}, Env: []string{"PATH=/"}})
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(archive), 0o755); err != nil {
		return err
	}
	return writeFile(archive, func(w io.Writer) error { return writeArchive(w, ref, image) })
}

// newImage makes an image of layers; level is that of package gzip.
func newImage(p Platform, level int, layers [][]file, run v1.Config) (v1.Image, error) {
	epoch := v1.Time{Time: time.Unix(0, 0).UTC()}
	image := mutate.MediaType(empty.Image, types.OCIManifestSchema1)
	image = mutate.ConfigMediaType(image, types.OCIConfigJSON)
	var adds []mutate.Addendum
	for _, files := range layers {
		raw, err := layerTar(files)
		if err != nil {
			return nil, err
		}
		layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(raw)), nil },
			tarball.WithMediaType(types.OCILayer), tarball.WithCompressionLevel(level), tarball.WithCompressedCaching)
		if err != nil {
			return nil, err
		}
		adds = append(adds, mutate.Addendum{Layer: layer, History: v1.History{Created: epoch, CreatedBy: "akri images"}})
	}
	image, err := mutate.Append(image, adds...)
	if err != nil {
		return nil, err
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Variant = "linux", p.Arch, p.Variant
	config.Created, config.Config = epoch, run
	return mutate.ConfigFile(image, config)
}

// layerTar writes files owned by root, with the time 0.
func layerTar(files []file) ([]byte, error) {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, f := range files {
		h := &tar.Header{Name: f.name, Mode: f.mode, ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR}
		switch {
		case f.link != "":
			h.Typeflag, h.Linkname = tar.TypeSymlink, f.link
		case f.name[len(f.name)-1] == '/':
			h.Typeflag = tar.TypeDir
		default:
			h.Typeflag, h.Size = tar.TypeReg, int64(len(f.data))
		}
		if err := w.WriteHeader(h); err != nil {
			return nil, fmt.Errorf("layer file %s: %w", f.name, err)
		}
		if _, err := w.Write(f.data); err != nil {
			return nil, fmt.Errorf("layer file %s: %w", f.name, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}
