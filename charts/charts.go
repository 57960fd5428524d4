// Package charts holds the Helm chart of Akri, so that programs can install
// it without a copy of this repository.
package charts

import (
	"embed"
	"io/fs"
)

//go:embed all:akri
var files embed.FS

// Akri returns the files of the chart akri; Chart.yaml is at the root.
func Akri() (fs.FS, error) { return fs.Sub(files, "akri") }
