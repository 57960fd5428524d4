package demo

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// Subject is the class of devices that a demo shows.
type Subject struct {
	Configuration string // name of the Configuration
	Manifest      string // file of package samples
	Words         string // what a person calls the devices
	Class         string // folder below /sys with one file per device
	Prefix        string // of the devices that count
	Pluggable     bool   // by devcluster's Plug
}

func subjects() []Subject {
	return []Subject{
		{Configuration: "webcam", Manifest: "configurations/webcam.yaml", Words: "webcams", Class: "class/video4linux", Prefix: "video"},
		{Configuration: "zram", Manifest: "configurations/zram.yaml", Words: "zram block devices", Class: "block", Prefix: "zram", Pluggable: true},
	}
}

// Choose returns the subject of the named Configuration or, for "", zram: webcams
// are among the pictures.
func Choose(name string) (Subject, error) {
	all := subjects()
	if name != "" {
		i := slices.IndexFunc(all, func(s Subject) bool { return s.Configuration == name })
		if i < 0 {
			return Subject{}, fmt.Errorf("there is no demo with %q: choose webcam or zram", name)
		}
		return all[i], nil
	}
	return all[len(all)-1], nil
}

// Devices lists the device nodes of the subject that the machine has now, as
// the Configuration's rule selects them, sorted.
func (s Subject) Devices(sys fs.FS) []string {
	entries, err := fs.ReadDir(sys, s.Class)
	if err != nil {
		return nil // the machine has none
	}
	var out []string
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), s.Prefix) {
			continue
		}
		if s.Configuration == "webcam" {
			// A camera's second node is for metadata.
			index, err := fs.ReadFile(sys, s.Class+"/"+e.Name()+"/index")
			if err != nil || strings.TrimSpace(string(index)) != "0" {
				continue
			}
		}
		out = append(out, "/dev/"+e.Name())
	}
	slices.SortFunc(out, natural)
	return out
}
