package contract

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/akri-go/akri/discovery"
)

// HostPaths judge what of the node a device wants containers to have, and return
// the device with clean paths. [hostpath.Rules] are such.
type HostPaths interface {
	Check(discovery.Device) (discovery.Device, error)
}

// Rules are what a device must comply with.
type Rules struct {
	Limits
	Paths HostPaths
}

// TooMany returns an error if a report may not list n devices.
func (r Rules) TooMany(n int) error {
	if n > r.Devices {
		return fmt.Errorf("the report lists %d devices, at most %d are allowed; it is ignored", n, r.Devices)
	}
	return nil
}

// Check returns what is wrong with a device. It cleans the paths in d.
func (r Rules) Check(d *discovery.Device) error {
	switch {
	case d.ID == "":
		return errors.New("has no id")
	case len(d.ID) > r.IDBytes:
		return fmt.Errorf("its id has %d bytes, at most %d are allowed", len(d.ID), r.IDBytes)
	case !Printable(d.ID):
		return errors.New("its id has control characters or is not UTF-8")
	case len(d.Mounts) > r.Mounts:
		return fmt.Errorf("%d mounts, at most %d are allowed", len(d.Mounts), r.Mounts)
	case len(d.DeviceSpecs) > r.DeviceSpecs:
		return fmt.Errorf("%d device nodes, at most %d are allowed", len(d.DeviceSpecs), r.DeviceSpecs)
	}
	if err := r.checkProperties(d.Properties); err != nil {
		return err
	}
	checked, err := r.Paths.Check(*d)
	if err != nil {
		return err
	}
	*d = checked
	return nil
}

func (r Rules) checkProperties(properties map[string]string) error {
	if n := len(properties); n > r.Properties {
		return fmt.Errorf("%d properties, at most %d are allowed", n, r.Properties)
	}
	total := 0
	for key, value := range properties {
		total += len(key) + len(value)
		by, steered := Steers(key)
		switch {
		case len(key) > r.KeyBytes:
			return fmt.Errorf("the name of property %s has %d bytes, at most %d are allowed", Show(key), len(key), r.KeyBytes)
		case !isEnvName(key):
			return fmt.Errorf("property %s: not the name of an environment variable", Show(key))
		case steered:
			return fmt.Errorf("property %s: variables of this name change how programs run (%s); use another name", Show(key), by)
		case len(value) > r.ValueBytes:
			return fmt.Errorf("property %s: its value has %d bytes, at most %d are allowed", key, len(value), r.ValueBytes)
		case strings.IndexByte(value, 0) >= 0 || !utf8.ValidString(value):
			return fmt.Errorf("property %s: its value has NUL bytes or is not UTF-8", key)
		}
	}
	if total > r.PropertyBytes {
		return fmt.Errorf("properties of %d bytes in all, at most %d are allowed", total, r.PropertyBytes)
	}
	return nil
}

// isEnvName takes what Kubernetes calls an environment variable's name.
func isEnvName(s string) bool {
	if s == "" || '0' <= s[0] && s[0] <= '9' {
		return false
	}
	for _, c := range []byte(s) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_', c == '-', c == '.':
		default:
			return false
		}
	}
	return true
}

// Size returns about how many bytes of memory a device takes.
func Size(d discovery.Device) int {
	const (
		deviceBytes   = 160 // the device itself, its map, its allocations
		propertyBytes = 64  // two strings in a map
		itemBytes     = 56  // of a list
	)
	n := deviceBytes + len(d.ID)
	for key, value := range d.Properties {
		n += propertyBytes + len(key) + len(value)
	}
	for _, m := range d.Mounts {
		n += itemBytes + len(m.ContainerPath) + len(m.HostPath)
	}
	for _, s := range d.DeviceSpecs {
		n += itemBytes + len(s.ContainerPath) + len(s.HostPath) + len(s.Permissions)
	}
	return n
}
