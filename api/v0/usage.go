package v0

import (
	"fmt"
	"strings"
)

// Door is the resource through which a slot was claimed.
type Door string

const (
	// DoorInstance is akri.sh/<instance>.
	DoorInstance Door = "instance"
	// DoorConfiguration is akri.sh/<configuration>.
	DoorConfiguration Door = "configuration"
)

// Usage is the holder of a slot: a value in spec.deviceUsage. The zero Usage
// is a free slot.
//
// It is written as "" (free), "<node>" (claimed through the Instance's
// resource) or "C:<virtual device id>:<node>" (through the Configuration's).
// The virtual device id is the slot id; upstream's agents use other ids.
type Usage struct {
	Node string
	Door Door
	// VirtualDevice is the id by which the kubelet knows the slot if Door is
	// DoorConfiguration.
	VirtualDevice string
}

// Free tells whether nobody holds the slot.
func (u Usage) Free() bool { return u.Node == "" }

// String returns the value as it is written.
func (u Usage) String() string {
	if u.Node != "" && u.Door == DoorConfiguration {
		return "C:" + u.VirtualDevice + ":" + u.Node
	}
	return u.Node
}

// ParseUsage parses a value. It accepts what upstream's agents write.
func ParseUsage(s string) (Usage, error) {
	if s == "" {
		return Usage{}, nil
	}
	parts := strings.Split(s, ":")
	switch {
	case len(parts) == 1:
		return Usage{Node: s, Door: DoorInstance}, nil
	case len(parts) == 3 && parts[0] == "C" && parts[1] != "" && parts[2] != "":
		return Usage{Node: parts[2], Door: DoorConfiguration, VirtualDevice: parts[1]}, nil
	default:
		return Usage{}, fmt.Errorf("device usage %q: want <node> or C:<virtual device id>:<node>", s)
	}
}
