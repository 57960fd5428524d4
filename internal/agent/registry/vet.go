package registry

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/akri-go/akri/discovery"
)

// HostPaths judge what of the node a device wants containers to have, and return
// the device with clean paths. [hostpath.Rules] are such.
type HostPaths interface {
	Check(discovery.Device) (discovery.Device, error)
}

// rules are what a device must comply with.
type rules struct {
	Limits
	paths HostPaths
}

// vetting collects the devices of one report that comply, and why the others do
// not.
type vetting struct {
	rules   rules
	devices []discovery.Device
	seen    map[string]bool
	refused refusals
	size    int // of devices, in memory
}

// vet returns the devices that comply, in their order, and what is wrong with
// the others. A list that is too long is an error.
func vet(r rules, devices []discovery.Device) (good []discovery.Device, refused, err error) {
	if err := r.tooMany(len(devices)); err != nil {
		return nil, nil, err
	}
	v := newVetting(r, len(devices))
	for _, d := range devices {
		v.add(d)
	}
	if err := v.tooLarge(); err != nil {
		return nil, nil, err
	}
	return v.devices, v.refused.err(), nil
}

// Vet returns the devices that comply with the current rules, and why the others
// do not. It is for devices of earlier reports.
func (r *Registry) Vet(devices []discovery.Device) (good []discovery.Device, refused error) {
	good, refused, err := vet(r.rules, devices)
	if err != nil {
		return nil, err
	}
	return good, refused
}

func (v *vetting) tooLarge() error {
	if v.size > v.rules.ReportBytes {
		return fmt.Errorf("the report would take more than %d bytes of memory; it is ignored", v.rules.ReportBytes)
	}
	return nil
}

func newVetting(r rules, n int) *vetting {
	return &vetting{rules: r, devices: make([]discovery.Device, 0, n), seen: make(map[string]bool, n)}
}

func (v *vetting) add(d discovery.Device) {
	switch err := v.rules.check(&d); {
	case err != nil:
		v.refused.add(fmt.Sprintf("device %s: %v", show(d.ID), err))
	case v.seen[d.ID]:
		v.refused.add(fmt.Sprintf("device %s: is listed more than once, the first counts", show(d.ID)))
	default:
		v.seen[d.ID] = true
		v.size += Size(d)
		v.devices = append(v.devices, d)
	}
}

func (r rules) tooMany(n int) error {
	if n > r.Devices {
		return fmt.Errorf("the report lists %d devices, at most %d are allowed; it is ignored", n, r.Devices)
	}
	return nil
}

// check returns what is wrong with a device. It cleans the paths in d.
func (r rules) check(d *discovery.Device) error {
	switch {
	case d.ID == "":
		return errors.New("has no id")
	case len(d.ID) > r.IDBytes:
		return fmt.Errorf("its id has %d bytes, at most %d are allowed", len(d.ID), r.IDBytes)
	case !printable(d.ID):
		return errors.New("its id has control characters or is not UTF-8")
	case len(d.Mounts) > r.Mounts:
		return fmt.Errorf("%d mounts, at most %d are allowed", len(d.Mounts), r.Mounts)
	case len(d.DeviceSpecs) > r.DeviceSpecs:
		return fmt.Errorf("%d device nodes, at most %d are allowed", len(d.DeviceSpecs), r.DeviceSpecs)
	}
	if err := r.checkProperties(d.Properties); err != nil {
		return err
	}
	checked, err := r.paths.Check(*d)
	if err != nil {
		return err
	}
	*d = checked
	return nil
}

func (r rules) checkProperties(properties map[string]string) error {
	if n := len(properties); n > r.Properties {
		return fmt.Errorf("%d properties, at most %d are allowed", n, r.Properties)
	}
	total := 0
	for key, value := range properties {
		total += len(key) + len(value)
		by, steered := steers(key)
		switch {
		case len(key) > r.KeyBytes:
			return fmt.Errorf("the name of property %s has %d bytes, at most %d are allowed", show(key), len(key), r.KeyBytes)
		case !isEnvName(key):
			return fmt.Errorf("property %s: not the name of an environment variable", show(key))
		case steered:
			return fmt.Errorf("property %s: variables of this name change how programs run (%s); use another name", show(key), by)
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

func printable(s string) bool {
	return utf8.ValidString(s) && strings.IndexFunc(s, unicode.IsControl) < 0
}
