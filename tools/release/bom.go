package main

import (
	"bytes"
	"debug/buildinfo"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"os"
	"runtime/debug"
	"strings"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

// writeBOM writes what a program was built from, as recorded in it by the Go
// tool: its modules and the version of Go (CycloneDX 1.6, JSON). It has no
// serial number and no date, so that the same program has the same bill.
func writeBOM(path, program, version string) error {
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		return fmt.Errorf("read what %s was built from: %w", program, err)
	}
	var buf bytes.Buffer
	encoder := cdx.NewBOMEncoder(&buf, cdx.BOMFileFormatJSON).SetPretty(true)
	if err := encoder.EncodeVersion(bomOf(info, version), cdx.SpecVersion1_6); err != nil {
		return fmt.Errorf("bill of materials of %s: %w", program, err)
	}
	return os.WriteFile(path, buf.Bytes(), 0o644)
}

// bomOf makes the bill of materials of a program from its build information.
func bomOf(info *debug.BuildInfo, version string) *cdx.BOM {
	main := component(cdx.ComponentTypeApplication, info.Path, version, "")
	components := []cdx.Component{component(cdx.ComponentTypeLibrary, "std", strings.TrimPrefix(info.GoVersion, "go"), "")}
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		components = append(components, component(cdx.ComponentTypeLibrary, m.Path, m.Version, m.Sum))
	}
	var refs []string
	for _, c := range components {
		refs = append(refs, c.BOMRef)
	}
	bom := cdx.NewBOM()
	bom.SerialNumber = ""
	bom.Metadata = &cdx.Metadata{Component: &main}
	bom.Components = &components
	bom.Dependencies = &[]cdx.Dependency{{Ref: main.BOMRef, Dependencies: &refs}}
	return bom
}

// component describes a module or a program. sum is from go.sum: it is a hash
// of the module's files (golang.org/ref/mod#go-sum-files), not of an archive.
func component(kind cdx.ComponentType, name, version, sum string) cdx.Component {
	purl := "pkg:golang/" + name + "@" + strings.ReplaceAll(version, "+", "%2B")
	c := cdx.Component{Type: kind, BOMRef: purl, Name: name, Version: version, PackageURL: purl}
	if data, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(sum, "h1:")); err == nil && len(data) > 0 {
		c.Properties = &[]cdx.Property{{Name: "go:sum:h1", Value: hex.EncodeToString(data)}}
	}
	return c
}
