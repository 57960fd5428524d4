package main

import (
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Device is one device that this broker holds a slot of.
type Device struct {
	// Hash identifies the device's variables: the environment has KEY_<HASH>
	// for each property KEY.
	Hash       string            `json:"hash"`
	Properties map[string]string `json:"properties"`
	Nodes      []Node            `json:"nodes,omitempty"`
}

// Node is a device node in this container.
type Node struct {
	Path   string `json:"path"`
	Kind   string `json:"kind,omitempty"` // "block", "character" or "other"
	Major  uint32 `json:"major"`
	Minor  uint32 `json:"minor"`
	Opened bool   `json:"opened"` // for reading
	Error  string `json:"error,omitempty"`
	// Of block devices: the size in bytes, and how its content starts, in hex.
	Size  int64  `json:"size,omitempty"`
	Start string `json:"start,omitempty"`
}

var suffixed = regexp.MustCompile(`^(.+)_([0-9A-F]{6})$`)

// devices finds the devices in an environment ("NAME=value") and inspects their
// nodes. It only shows variables that end in a device's hash, and so no others
// of the Pod.
func devices(environ []string) []Device {
	byHash := map[string]*Device{}
	for _, variable := range environ {
		name, value, _ := strings.Cut(variable, "=")
		m := suffixed.FindStringSubmatch(name)
		if m == nil {
			continue
		}
		d := byHash[m[2]]
		if d == nil {
			d = &Device{Hash: m[2], Properties: map[string]string{}}
			byHash[m[2]] = d
		}
		d.Properties[m[1]] = value
	}
	out := []Device{}
	for _, d := range byHash {
		for name, value := range d.Properties {
			if strings.HasPrefix(name, "UDEV_DEVNODE") {
				d.Nodes = append(d.Nodes, inspect(value))
			}
		}
		slices.SortFunc(d.Nodes, func(a, b Node) int { return strings.Compare(a.Path, b.Path) })
		out = append(out, *d)
	}
	slices.SortFunc(out, func(a, b Device) int { return strings.Compare(a.Hash, b.Hash) })
	return out
}

// inspect opens a device node. It only reads from block devices: reading from
// other devices might do something.
func inspect(path string) Node {
	n := Node{Path: path}
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		n.Error = err.Error()
		return n
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFBLK:
		n.Kind = "block"
	case unix.S_IFCHR:
		n.Kind = "character"
	default:
		n.Kind = "other"
	}
	n.Major, n.Minor = unix.Major(uint64(st.Rdev)), unix.Minor(uint64(st.Rdev))
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		n.Error = reason(err)
		return n
	}
	defer f.Close()
	n.Opened = true
	if n.Kind != "block" {
		return n
	}
	if n.Size, err = f.Seek(0, io.SeekEnd); err != nil {
		n.Error = reason(err)
		return n
	}
	start := make([]byte, 16)
	got, err := f.ReadAt(start, 0)
	n.Start = hex.EncodeToString(start[:got])
	if err != nil && !errors.Is(err, io.EOF) {
		n.Error = reason(err)
	}
	return n
}

// reason drops the path, which is shown anyway.
func reason(err error) string {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Op + ": " + p.Err.Error()
	}
	return err.Error()
}
