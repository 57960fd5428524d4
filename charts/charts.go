// Package charts contains the Helm charts of Akri and of cloudcore, so that
// programs can install them, and know their version and their CRDs, without a
// copy of this repository.
package charts

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"

	"sigs.k8s.io/yaml"
)

//go:embed all:akri all:cloudcore
var files embed.FS

// Akri returns the files of the chart akri; Chart.yaml is at the root.
func Akri() (fs.FS, error) { return fs.Sub(files, "akri") }

// Cloudcore returns the files of the chart cloudcore; Chart.yaml is at the root.
func Cloudcore() (fs.FS, error) { return fs.Sub(files, "cloudcore") }

// Version returns the version of Akri that the chart installs, without a "v".
func Version() (string, error) {
	data, err := files.ReadFile("akri/Chart.yaml")
	if err != nil {
		return "", err
	}
	var meta struct {
		AppVersion string `json:"appVersion"`
	}
	if err := yaml.Unmarshal(data, &meta); err != nil {
		return "", fmt.Errorf("read Chart.yaml: %w", err)
	}
	if meta.AppVersion == "" {
		return "", errors.New("read Chart.yaml: no appVersion")
	}
	return meta.AppVersion, nil
}

// CRDs returns the chart's CRDs, each as one YAML document.
func CRDs() ([][]byte, error) {
	names, err := fs.Glob(files, "akri/crds/*.yaml")
	if err != nil {
		return nil, err
	}
	var out [][]byte
	for _, name := range names {
		data, err := files.ReadFile(name)
		if err != nil {
			return nil, err
		}
		out = append(out, data)
	}
	return out, nil
}
