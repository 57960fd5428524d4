package images

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Index is an image for several platforms that was written.
type Index struct {
	Ref      string // name and tag, as in a Pod's image
	Path     string // of its archive
	Digest   string
	Programs map[Platform]string // paths of the programs
}

// BuildIndexes compiles the programs and writes one archive for each image, with
// all platforms, to Out/images.
func BuildIndexes(ctx context.Context, o Options) ([]Index, error) {
	if err := o.prepare(); err != nil {
		return nil, err
	}
	programs := map[Platform]string{} // directories
	for _, p := range o.Platforms {
		fmt.Fprintf(o.Log, "building %d programs for linux/%s\n", len(o.Images), p)
		dir, err := compile(ctx, o, p)
		if err != nil {
			return nil, err
		}
		programs[p] = dir
	}
	var indexes []Index
	for _, i := range o.Images {
		written := Index{
			Ref:      o.Prefix + "/" + i.Name + ":" + o.Tag,
			Path:     filepath.Join(o.Out, "images", i.Name+".tar"),
			Programs: map[Platform]string{},
		}
		index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
		for _, p := range o.Platforms {
			written.Programs[p] = filepath.Join(programs[p], i.Program())
			binary, err := os.ReadFile(written.Programs[p])
			if err != nil {
				return indexes, err
			}
			image, err := assemble(p, o.Tag, i, binary, nil)
			if err != nil {
				return indexes, fmt.Errorf("image %s for %s: %w", i.Name, p, err)
			}
			index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{
				Platform: &v1.Platform{OS: "linux", Architecture: p.Arch, Variant: p.Variant},
			}})
		}
		digest, err := index.Digest()
		if err != nil {
			return indexes, err
		}
		written.Digest = digest.String()
		if err := writeFile(written.Path, func(w io.Writer) error { return writeIndexArchive(w, written.Ref, index) }); err != nil {
			return indexes, err
		}
		indexes = append(indexes, written)
	}
	return indexes, nil
}
