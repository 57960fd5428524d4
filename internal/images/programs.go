package images

import (
	"fmt"
	"path"
	"strings"

	"github.com/akri-go/akri/charts"
)

// DefaultPrefix is where the chart looks for the images.
const DefaultPrefix = "ghcr.io/akri-go/akri"

// Image is one program to be packed.
type Image struct {
	// Name is the last part of the repository's name.
	Name string
	// Package is the directory of the main package, relative to the module.
	// Its last element is the program's name.
	Package string
	// Root is for programs that use device nodes: those belong to root, in
	// containers too, and a chart's broker runs as the image says.
	Root bool
}

// Program is the file name of the program, at the root of the image.
func (i Image) Program() string { return path.Base(i.Package) }

// All lists the images of this repository: what the charts run, then samples.
func All() []Image {
	return []Image{
		{Name: "agent", Package: "cmd/akri-agent"},
		{Name: "controller", Package: "cmd/akri-controller"},
		{Name: "discovery", Package: "cmd/akri-discovery"},
		{Name: "dashboard", Package: "cmd/akri-dashboard"},
		{Name: "cloudcore", Package: "cmd/cloudcore"},
		{Name: "show-broker", Package: "samples/brokers/show", Root: true},
		{Name: "udev-video-broker", Package: "samples/brokers/usb-camera", Root: true},
		{Name: "onvif-video-broker", Package: "samples/brokers/ip-camera"},
		{Name: "opcua-monitoring-broker", Package: "samples/brokers/opcua-monitoring"},
		{Name: "video-streaming-app", Package: "samples/apps/video-streaming"},
		{Name: "anomaly-detection-app", Package: "samples/apps/anomaly-detection"},
		{Name: "camera-simulator", Package: "samples/simulators/camera"},
	}
}

// Find returns the images of the given names, in their order.
func Find(names ...string) ([]Image, error) {
	var out []Image
next:
	for _, name := range names {
		for _, image := range All() {
			if image.Name == name {
				out = append(out, image)
				continue next
			}
		}
		return nil, fmt.Errorf("no image is called %q", name)
	}
	return out, nil
}

// Platform is what an image runs on; the operating system is Linux.
type Platform struct {
	Arch    string // as in GOARCH
	Variant string // "v7" for arm, else empty
}

// Platforms lists the platforms that images are made for.
func Platforms() []Platform {
	return []Platform{{Arch: "amd64"}, {Arch: "arm64"}, {Arch: "arm", Variant: "v7"}}
}

// ParsePlatform reads "amd64", "arm64", "arm" or "arm/v7".
func ParsePlatform(s string) (Platform, error) {
	for _, p := range Platforms() {
		if s == p.Arch || s == p.Arch+"/"+p.Variant {
			return p, nil
		}
	}
	return Platform{}, fmt.Errorf("no images are made for %q: choose among %v", s, Platforms())
}

func (p Platform) String() string {
	if p.Variant == "" {
		return p.Arch
	}
	return p.Arch + "/" + p.Variant
}

// FileName is the platform as part of a file name, such as "armv7".
func (p Platform) FileName() string { return p.Arch + p.Variant }

// debian is Debian's name of the architecture.
func (p Platform) debian() string {
	if p.Arch == "arm" {
		return "armhf"
	}
	return p.Arch
}

// environ is the environment of the Go tool for the platform.
func (p Platform) environ() []string {
	return []string{"CGO_ENABLED=0", "GOOS=linux", "GOARCH=" + p.Arch, "GOARM=" + strings.TrimPrefix(p.Variant, "v"), "GOFLAGS="}
}

// DefaultTag is the tag that the chart uses: v<appVersion>, and "-debug" after
// it for debug images.
func DefaultTag(debug bool) (string, error) {
	version, err := charts.Version()
	if err != nil {
		return "", err
	}
	if debug {
		version += "-debug"
	}
	return "v" + version, nil
}
