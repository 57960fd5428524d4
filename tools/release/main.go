// Command release builds a release into one folder: the images for all
// platforms, the programs akri, edgecore and keadm, the charts, a bill of
// materials of each program (SBOM, CycloneDX) and SHA256SUMS. Two runs on one
// commit with one version of Go give the same bytes.
package main

import (
	"context"
	"crypto/sha256"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/akri-go/akri/internal/images"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("release", flag.ExitOnError)
	out := flags.String("out", "out/release", "folder to write to; its contents are removed first")
	work := flags.String("work", "out/release-work", "folder for intermediate results")
	arch := flags.String("arch", "all", `architectures, separated by commas, or "all"`)
	to := flags.String("push", "", "push the release in -out to a registry, such as ghcr.io/akri-go/akri, without building")
	flags.Parse(args)
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected arguments %q", flags.Args())
	}
	tag, err := images.DefaultTag(false)
	if err != nil {
		return err
	}
	if *to != "" {
		return push(ctx, *out, *to, tag)
	}
	platforms, err := platforms(*arch)
	if err != nil {
		return err
	}
	if err := os.RemoveAll(*out); err != nil {
		return err
	}
	if err := os.MkdirAll(*out, 0o755); err != nil {
		return err
	}
	r := release{out: *out, work: *work, tag: tag, platforms: platforms}
	for _, step := range []func(context.Context) error{r.images, r.programs, r.charts, r.boms} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	sums, err := checksums(*out)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(*out, "SHA256SUMS"), []byte(sums), 0o644); err != nil {
		return err
	}
	fmt.Printf("%srelease %s is in %s\n", sums, r.tag, *out)
	return nil
}

func platforms(arch string) ([]images.Platform, error) {
	if arch == "all" {
		return images.Platforms(), nil
	}
	var all []images.Platform
	for a := range strings.SplitSeq(arch, ",") {
		p, err := images.ParsePlatform(a)
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, nil
}

// release is a release in progress.
type release struct {
	out, work string
	tag       string // v<version>
	platforms []images.Platform
	built     []program
}

// program is a built file that gets a bill of materials.
type program struct {
	name     string // as its image or archive is called
	platform images.Platform
	path     string
}

func (r *release) images(ctx context.Context) error {
	indexes, err := images.BuildIndexes(ctx, images.Options{
		Module: ".", Out: r.work, Tag: r.tag, Platforms: r.platforms, Images: images.All(), Log: os.Stderr,
	})
	if err != nil {
		return err
	}
	for _, index := range indexes {
		name, _ := strings.CutSuffix(filepath.Base(index.Path), ".tar")
		if err := os.Rename(index.Path, filepath.Join(r.out, "image-"+name+"-"+r.tag+".tar")); err != nil {
			return err
		}
		for _, p := range r.platforms {
			r.built = append(r.built, program{name, p, index.Programs[p]})
		}
	}
	return nil
}

// programs packs what people run themselves: akri, and the programs of an edge
// node.
func (r *release) programs(ctx context.Context) error {
	for _, p := range r.platforms {
		for _, a := range []struct {
			name     string
			programs []string
		}{{"akri", []string{"akri"}}, {"edge", []string{"edgecore", "keadm"}}} {
			if err := r.archive(ctx, a.name, a.programs, p); err != nil {
				return err
			}
		}
	}
	return nil
}

// archive builds programs of cmd and packs them.
func (r *release) archive(ctx context.Context, name string, programs []string, p images.Platform) error {
	fmt.Fprintf(os.Stderr, "building %s for linux/%s\n", strings.Join(programs, " and "), p)
	var list []images.Image
	for _, program := range programs {
		list = append(list, images.Image{Name: program, Package: "cmd/" + program})
	}
	dir, err := images.Compile(ctx, images.Options{Module: ".", Out: r.work, Tag: r.tag, Images: list, Log: os.Stderr}, p)
	if err != nil {
		return err
	}
	members := []member{{"LICENSE", "LICENSE", 0o644}}
	for _, image := range list {
		path := filepath.Join(dir, image.Program())
		r.built = append(r.built, program{image.Name, p, path})
		members = append(members, member{image.Name, path, 0o755})
	}
	return pack(filepath.Join(r.out, name+"-"+r.tag+"-linux-"+p.FileName()+".tar.gz"), members...)
}

// boms writes a bill of materials of each program, in one archive.
func (r *release) boms(context.Context) error {
	dir := filepath.Join(r.work, "sbom")
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	var members []member
	for _, p := range r.built {
		name := p.name + "-linux-" + p.platform.FileName() + ".cdx.json"
		path := filepath.Join(dir, name)
		if err := writeBOM(path, p.path, r.tag); err != nil {
			return err
		}
		members = append(members, member{name, path, 0o644})
	}
	return pack(filepath.Join(r.out, "akri-"+r.tag+"-sbom.tar.gz"), members...)
}

// checksums lists the files of a folder in the format of sha256sum.
func checksums(dir string) (string, error) {
	names, err := fs.Glob(os.DirFS(dir), "*")
	if err != nil {
		return "", err
	}
	slices.Sort(names)
	var sums strings.Builder
	for _, name := range names {
		f, err := os.Open(filepath.Join(dir, name))
		if err != nil {
			return "", err
		}
		h := sha256.New()
		_, err = io.Copy(h, f)
		f.Close()
		if err != nil {
			return "", fmt.Errorf("read %s: %w", name, err)
		}
		fmt.Fprintf(&sums, "%x  %s\n", h.Sum(nil), name)
	}
	return sums.String(), nil
}
