package main

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	chartutil "helm.sh/helm/v4/pkg/chart/v2/util"
)

// written is the time of all files in archives, so that two runs give the same
// bytes.
var written = time.Unix(0, 0)

// member is a file that goes into an archive.
type member struct {
	name string // in the archive
	path string
	mode int64
}

// pack writes a tar archive, compressed by gzip.
func pack(path string, members ...member) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	z := gzip.NewWriter(f)
	w := tar.NewWriter(z)
	for _, m := range members {
		data, err := os.ReadFile(m.path)
		if err != nil {
			return err
		}
		h := &tar.Header{Name: m.name, Mode: m.mode, Size: int64(len(data)), ModTime: written, Format: tar.FormatUSTAR, Typeflag: tar.TypeReg}
		if err := w.WriteHeader(h); err != nil {
			return fmt.Errorf("%s: %s: %w", path, m.name, err)
		}
		if _, err := w.Write(data); err != nil {
			return fmt.Errorf("%s: %s: %w", path, m.name, err)
		}
	}
	return errors.Join(w.Close(), z.Close())
}

// chartNames are the charts of a release, folders of charts.
func chartNames() []string { return []string{"akri", "cloudcore"} }

// charts packs the charts as `helm package` does.
func (r *release) charts(context.Context) error {
	for _, name := range chartNames() {
		if err := r.chart(name); err != nil {
			return fmt.Errorf("chart %s: %w", name, err)
		}
	}
	return nil
}

func (r *release) chart(name string) error {
	c, err := loader.LoadDir(filepath.Join("charts", name))
	if err != nil {
		return err
	}
	c.ModTime, c.SchemaModTime = written, written
	for _, files := range [][]*common.File{c.Raw, c.Templates, c.Files} {
		for _, f := range files {
			f.ModTime = written
		}
	}
	path, err := chartutil.Save(c, r.out)
	if err != nil {
		return err
	}
	// Helm's name has no v; it is what `helm pull` and `helm repo index` expect.
	return os.Chmod(filepath.Clean(path), 0o644)
}
