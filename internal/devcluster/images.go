package devcluster

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/akri-go/akri/internal/cell"
	"github.com/akri-go/akri/internal/devcluster/kubebin"
	"github.com/akri-go/akri/internal/images"
)

// LoadImages imports image archives (docker or OCI, one file each) into the
// containerd of every node, so that Pods can use them without a registry.
func (c *Cluster) LoadImages(ctx context.Context, archives ...string) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, member := range c.lab().Members {
		group.Go(func() error { return c.importImages(ctx, member, archives...) })
	}
	return group.Wait()
}

// LoadImageDir imports the archives *.tar in dir that are for this machine's
// architecture: those named <name>-<architecture>.tar, or without one.
func (c *Cluster) LoadImageDir(ctx context.Context, dir string) (loaded []string, err error) {
	if loaded, err = ImageArchives(dir); err != nil {
		return nil, err
	}
	return loaded, c.LoadImages(ctx, loaded...)
}

// ImageArchives lists the archives that LoadImageDir imports, at least one.
func ImageArchives(dir string) ([]string, error) {
	var found []string
	files, err := fs.Glob(os.DirFS(dir), "*.tar")
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		if forArchitecture(f, runtime.GOARCH) {
			found = append(found, filepath.Join(dir, f))
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("no image archives for %s in %s; `make images` builds them", runtime.GOARCH, dir)
	}
	return found, nil
}

func forArchitecture(file, arch string) bool {
	base := strings.TrimSuffix(file, ".tar")
	for suffix, goarch := range map[string]string{
		"-amd64": "amd64", "-arm64": "arm64", "-arm": "arm", "-armv7": "arm", "-arm-v7": "arm",
	} {
		if strings.HasSuffix(base, suffix) {
			return goarch == arch
		}
	}
	return true
}

func (c *Cluster) importImages(ctx context.Context, cellName string, archives ...string) error {
	for _, archive := range archives {
		f, err := os.Open(archive)
		if err != nil {
			return fmt.Errorf("load image: %w", err)
		}
		// Through a pipe, because the node may not see the file's folder.
		_, err = c.ctr(ctx, cellName, f, "-n", "k8s.io", "images", "import", "-")
		f.Close()
		if err != nil {
			return fmt.Errorf("load image %s in %s: %w", archive, cellName, err)
		}
	}
	return nil
}

// ctr runs containerd's client in a cell and returns its standard output.
func (c *Cluster) ctr(ctx context.Context, cellName string, stdin io.Reader, args ...string) ([]byte, error) {
	in := c.cell(cellName)
	cmd, err := in.Command(ctx, append([]string{in.InsideBinary(c.state.Bins[kubebin.Ctr]), "--address", containerdCtl}, args...)...)
	if err != nil {
		return nil, withRemedy(err)
	}
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stderr = stdin, &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("ctr %s: %w: %s", strings.Join(args, " "), cell.Interrupted(ctx, err), bytes.TrimSpace(stderr.Bytes()))
	}
	return out, nil
}

// ownImages makes the archives of the images that the cluster itself runs,
// beside their binaries in the cache, and returns their paths by image name.
func (c *Cluster) ownImages(ctx context.Context) (map[string]string, error) {
	archives := map[string]string{}
	for _, binary := range []string{kubebin.Pause, kubebin.CoreDNS} {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		ref := c.ownImage(binary)
		// The name is stored in the archive, so it is part of the file's name.
		_, tag, _ := strings.Cut(ref, ":")
		archives[ref] = c.state.Bins[binary] + "-image-" + tag + ".tar"
		if exists(archives[ref]) {
			continue
		}
		if err := images.WriteProgram(archives[ref], ref, c.state.Bins[binary]); err != nil {
			return nil, fmt.Errorf("make the image %s: %w", ref, err)
		}
	}
	return archives, nil
}

// importMissing imports those of the named images that a cell does not have.
func (c *Cluster) importMissing(ctx context.Context, cellName string, archives map[string]string) error {
	have, err := c.ctr(ctx, cellName, nil, "-n", "k8s.io", "images", "ls", "-q")
	if err != nil {
		return err
	}
	names := strings.Fields(string(have))
	for ref, archive := range archives {
		if slices.Contains(names, ref) {
			continue
		}
		if err := c.importImages(ctx, cellName, archive); err != nil {
			return err
		}
	}
	return nil
}
