package registry

import (
	"errors"
	"fmt"
	"path"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/akri-go/akri/discovery"
)

// rules are what a device must comply with.
type rules struct {
	Limits
	hostPaths []string // clean and absolute
}

// vetting collects the devices of one report that comply, and says why others
// do not.
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

// check says what is wrong with a device. It replaces slices of d by ones with
// clean paths.
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
	if err := r.checkMounts(d); err != nil {
		return err
	}
	return r.checkDeviceSpecs(d)
}

func (r rules) checkProperties(properties map[string]string) error {
	if n := len(properties); n > r.Properties {
		return fmt.Errorf("%d properties, at most %d are allowed", n, r.Properties)
	}
	total := 0
	for key, value := range properties {
		total += len(key) + len(value)
		switch {
		case len(key) > r.KeyBytes:
			return fmt.Errorf("the name of property %s has %d bytes, at most %d are allowed", show(key), len(key), r.KeyBytes)
		case !isEnvName(key):
			return fmt.Errorf("property %s: not the name of an environment variable", show(key))
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

func (r rules) checkMounts(d *discovery.Device) error {
	if len(d.Mounts) == 0 {
		return nil
	}
	mounts := make([]discovery.Mount, 0, len(d.Mounts))
	for _, m := range d.Mounts {
		host, err := r.hostPath(m.HostPath)
		if err != nil {
			return fmt.Errorf("mount: %w", err)
		}
		container, err := cleanPath(m.ContainerPath)
		if err != nil {
			return fmt.Errorf("mount of %s: path in the container: %w", host, err)
		}
		mounts = append(mounts, discovery.Mount{ContainerPath: container, HostPath: host, ReadOnly: m.ReadOnly})
	}
	d.Mounts = mounts
	return nil
}

func (r rules) checkDeviceSpecs(d *discovery.Device) error {
	if len(d.DeviceSpecs) == 0 {
		return nil
	}
	specs := make([]discovery.DeviceSpec, 0, len(d.DeviceSpecs))
	for _, s := range d.DeviceSpecs {
		host, err := r.hostPath(s.HostPath)
		if err != nil {
			return fmt.Errorf("device node: %w", err)
		}
		for _, allowed := range r.hostPaths {
			if host == allowed { // a runtime would add all nodes below it
				return fmt.Errorf("device node: %s is a folder of many", host)
			}
		}
		container, err := cleanPath(s.ContainerPath)
		if err != nil {
			return fmt.Errorf("device node %s: path in the container: %w", host, err)
		}
		if !isPermissions(s.Permissions) {
			return fmt.Errorf("device node %s: permissions %s: want one or more of r, w and m", host, show(s.Permissions))
		}
		specs = append(specs, discovery.DeviceSpec{ContainerPath: container, HostPath: host, Permissions: s.Permissions})
	}
	d.DeviceSpecs = specs
	return nil
}

// hostPath cleans the path of something of the node that containers shall get.
func (r rules) hostPath(p string) (string, error) {
	p, err := cleanPath(p)
	if err != nil {
		return "", fmt.Errorf("path on the node: %w", err)
	}
	for _, allowed := range r.hostPaths {
		if p == allowed || allowed == "/" || strings.HasPrefix(p, allowed+"/") {
			return p, nil
		}
	}
	return "", fmt.Errorf("path on the node: %s is not in an allowed folder (%s)", show(p), strings.Join(r.hostPaths, ", "))
}

const maxPath = 4095 // PATH_MAX less the final NUL

// cleanPath wants an absolute path other than the root, without "..".
func cleanPath(p string) (string, error) {
	switch {
	case !path.IsAbs(p):
		return "", fmt.Errorf("%s is not absolute", show(p))
	case len(p) > maxPath:
		return "", fmt.Errorf("%s has %d bytes, at most %d are allowed", show(p), len(p), maxPath)
	case !printable(p):
		return "", fmt.Errorf("%s has control characters or is not UTF-8", show(p))
	}
	for element := range strings.SplitSeq(p, "/") {
		if element == ".." {
			return "", fmt.Errorf("%s has an element \"..\"", show(p))
		}
	}
	if p = path.Clean(p); p == "/" {
		return "", errors.New("the root folder is not allowed")
	}
	return p, nil
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

func isPermissions(s string) bool {
	left := strings.NewReplacer("r", "", "w", "", "m", "").Replace(s)
	return s != "" && left == "" && len(s) <= 3 && strings.Count(s, "r") <= 1 && strings.Count(s, "w") <= 1 && strings.Count(s, "m") <= 1
}

func printable(s string) bool {
	return utf8.ValidString(s) && strings.IndexFunc(s, unicode.IsControl) < 0
}
