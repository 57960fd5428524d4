package images

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

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Options say what to build.
type Options struct {
	Module    string // directory of the Go module
	Out       string // directory for archives, binaries and downloads
	Prefix    string // of repository names; DefaultPrefix if empty
	Tag       string // DefaultTag if empty
	Debug     bool   // with a static shell and tools
	Platforms []Platform
	Images    []Image
	Log       io.Writer // progress messages; may be nil
}

// Archive is an image that was written.
type Archive struct {
	Ref      string // name and tag, as in a Pod's image
	Path     string
	Platform Platform
	Digest   string // of the manifest
	Size     int64  // compressed layers in bytes: what a node pulls
}

// Build compiles the programs and writes their archives to Out/images. An
// archive is kept if its program, tag and shell have not changed.
func Build(ctx context.Context, o Options) ([]Archive, error) {
	if err := o.prepare(); err != nil {
		return nil, err
	}
	var archives []Archive
	for _, p := range o.Platforms {
		fmt.Fprintf(o.Log, "building %d programs for linux/%s\n", len(o.Images), p)
		dir, err := compile(ctx, o, p)
		if err != nil {
			return archives, err
		}
		var tools []file
		if o.Debug {
			fmt.Fprintf(o.Log, "fetching Debian's busybox-static for %s\n", p.debian())
			if tools, err = busybox(ctx, filepath.Join(o.Out, "debian"), p); err != nil {
				return archives, err
			}
		}
		for _, i := range o.Images {
			a, err := pack(o, p, i, filepath.Join(dir, i.Program()), tools)
			if err != nil {
				return archives, fmt.Errorf("image %s for %s: %w", i.Name, p, err)
			}
			archives = append(archives, a)
		}
	}
	return archives, nil
}

// prepare sets defaults, and makes the folder for archives.
func (o *Options) prepare() error {
	if o.Log == nil {
		o.Log = io.Discard
	}
	if o.Prefix == "" {
		o.Prefix = DefaultPrefix
	}
	if o.Tag == "" {
		tag, err := DefaultTag(o.Debug)
		if err != nil {
			return err
		}
		o.Tag = tag
	}
	for _, i := range o.Images {
		if _, err := os.Stat(filepath.Join(o.Module, i.Package)); err != nil {
			return fmt.Errorf("image %s: %w", i.Name, err)
		}
	}
	return os.MkdirAll(filepath.Join(o.Out, "images"), 0o755)
}

// Tags are the build tags of all programs. Without pages for traces, gRPC links no
// templates, whose methods are looked up by name; then the linker leaves out the
// methods that nobody calls: 2 to 3 MB of each program.
const Tags = "grpcnotrace"

// Compile builds the programs of all images for a platform in one run of the Go
// tool, and returns the directory with them.
func Compile(ctx context.Context, o Options, p Platform) (string, error) {
	if err := o.prepare(); err != nil {
		return "", err
	}
	return compile(ctx, o, p)
}

func compile(ctx context.Context, o Options, p Platform) (string, error) {
	dir, err := filepath.Abs(filepath.Join(o.Out, "bin", p.FileName()))
	if err != nil {
		return "", err
	}
	// -buildvcs=false: a binary must not change with a commit that did not
	// touch it.
	linker := "-ldflags=-s -w -X github.com/akri-go/akri/internal/version.linked=" + o.Tag
	args := []string{"build", "-trimpath", "-buildvcs=false", "-tags", Tags, linker, "-o", dir + string(filepath.Separator)}
	for _, i := range o.Images {
		args = append(args, "./"+filepath.ToSlash(i.Package))
	}
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = o.Module
	cmd.Env = append(os.Environ(), p.environ()...)
	var stderr bytes.Buffer
	cmd.Stderr = io.MultiWriter(o.Log, &stderr)
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("go build for linux/%s: %w\n%s", p, err, stderr.Bytes())
	}
	return dir, nil
}

// pack writes one archive, unless the existing one was made from the same
// input.
func pack(o Options, p Platform, i Image, program string, tools []file) (Archive, error) {
	binary, err := os.ReadFile(program)
	if err != nil {
		return Archive{}, err
	}
	a := Archive{Ref: o.Prefix + "/" + i.Name + ":" + o.Tag, Platform: p}
	name := i.Name
	if o.Debug {
		name += "-debug"
	}
	a.Path = filepath.Join(o.Out, "images", name+"-"+p.FileName()+".tar")
	notePath := a.Path + ".json"
	inputs := fingerprint(a.Ref, i.user(), binary, tools)
	if n, err := readNote(notePath); err == nil && n.Inputs == inputs && exists(a.Path) {
		a.Digest, a.Size = n.Digest, n.Size
		return a, nil
	}
	image, err := assemble(p, o.Tag, i, binary, tools)
	if err != nil {
		return a, err
	}
	if a.Digest, a.Size, err = measure(image); err != nil {
		return a, err
	}
	if err := writeFile(a.Path, func(w io.Writer) error { return writeArchive(w, a.Ref, image) }); err != nil {
		return a, err
	}
	return a, writeFile(notePath, func(w io.Writer) error {
		return json.NewEncoder(w).Encode(note{Inputs: inputs, Digest: a.Digest, Size: a.Size})
	})
}

// note is stored beside an archive: its input, and what it contains.
type note struct {
	Inputs string `json:"inputs"`
	Digest string `json:"digest"`
	Size   int64  `json:"size"`
}

func readNote(path string) (note, error) {
	var n note
	data, err := os.ReadFile(path)
	if err != nil {
		return n, err
	}
	return n, json.Unmarshal(data, &n)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// fingerprint identifies the input of an archive. The version at its start must
// change when this package packs differently.
func fingerprint(ref, user string, binary []byte, tools []file) string {
	h := sha256.New()
	fmt.Fprintf(h, "3 %s %s %d\n", ref, user, len(binary))
	h.Write(binary)
	for _, f := range tools {
		fmt.Fprintf(h, "%q %o %q %d\n", f.name, f.mode, f.link, len(f.data))
		h.Write(f.data)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// measure returns an image's digest and the size of its compressed layers.
func measure(image v1.Image) (string, int64, error) {
	digest, err := image.Digest()
	if err != nil {
		return "", 0, err
	}
	manifest, err := image.Manifest()
	if err != nil {
		return "", 0, err
	}
	var size int64
	for _, l := range manifest.Layers {
		size += l.Size
	}
	return digest.String(), size, nil
}

// writeFile writes a file completely or not at all.
func writeFile(path string, write func(io.Writer) error) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	err = errors.Join(write(f), f.Chmod(0o644), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", path, err), os.Remove(f.Name()))
	}
	return nil
}
