// Package hostpath checks the device nodes and mounts that handlers want
// containers to have.
//
// A device node must be in a folder that is allowed for device nodes, and a
// mount in a folder that the operator has named. The container runtime follows
// symbolic links in its own process: below /dev/fd it would find the files that
// it has open. So links are resolved here, the result is checked, and the
// runtime is told the resolved path.
//
// Paths are checked twice. When a handler reports a device, [Rules.Check]
// refuses what is known to be wrong; what does not exist yet may come. When a
// container is to get the device, [Rules.Resolve] requires everything to exist
// and be right.
package hostpath

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/akri-go/akri/discovery"
)

// Options say what is allowed.
type Options struct {
	// Devices are the folders that device nodes may be in; nil means
	// [DefaultDevices], an empty list none.
	Devices []string
	// Mounts are the paths that may be mounted, and what is below them.
	Mounts []string
	// Root is where this process sees the node's root folder, or a part of it; ""
	// means "/".
	Root string
}

// DefaultDevices are the folders that device nodes may be in.
func DefaultDevices() []string { return []string{"/dev"} }

// Rules check paths. They do not change, and may be used by several goroutines.
type Rules struct {
	devices, mounts []string // clean and absolute
	node            fs.FS    // from the node's root; has [fs.ReadLinkFS]
}

// New returns the rules for a node.
func New(o Options) (*Rules, error) {
	if o.Devices == nil {
		o.Devices = DefaultDevices()
	}
	if o.Root == "" {
		o.Root = "/"
	}
	if !path.IsAbs(o.Root) {
		return nil, fmt.Errorf("root of the node %q: want an absolute path", o.Root)
	}
	devices, err := folders(o.Devices)
	if err != nil {
		return nil, fmt.Errorf("allowed host paths: %w", err)
	}
	mounts, err := folders(o.Mounts)
	if err != nil {
		return nil, fmt.Errorf("allowed mounts: %w", err)
	}
	return &Rules{devices: devices, mounts: mounts, node: os.DirFS(o.Root)}, nil
}

// folders cleans what the operator names.
func folders(list []string) ([]string, error) {
	var all []string
	for _, p := range list {
		if !path.IsAbs(p) {
			return nil, fmt.Errorf("%q is not absolute", p)
		}
		p = path.Clean(p)
		if own, ok := inside(p, ofProcesses()); ok {
			return nil, fmt.Errorf("%s cannot be allowed: %s differs between processes", p, own)
		}
		all = append(all, p)
	}
	return all, nil
}

// ofProcesses are places that differ between processes. They are never allowed,
// nor are links through them.
func ofProcesses() []string {
	return []string{"/proc", "/dev/fd", "/dev/stdin", "/dev/stdout", "/dev/stderr", "/dev/core"}
}

// noDevices are in /dev but no devices. Allowing /dev does not allow them: they
// must be named.
func noDevices() []string {
	return []string{"/dev/shm", "/dev/mqueue", "/dev/hugepages", "/dev/pts", "/dev/log"}
}

// Check returns a device with clean paths, or what is already known to be wrong
// with it.
func (r *Rules) Check(d discovery.Device) (discovery.Device, error) { return r.judge(d, false) }

// Resolve returns a device with the paths that the runtime is told. All of them
// must exist.
func (r *Rules) Resolve(d discovery.Device) (discovery.Device, error) { return r.judge(d, true) }

func (r *Rules) judge(d discovery.Device, now bool) (discovery.Device, error) {
	d.Mounts, d.DeviceSpecs = slices.Clone(d.Mounts), slices.Clone(d.DeviceSpecs)
	for i := range d.Mounts {
		if err := r.mount(&d.Mounts[i], now); err != nil {
			return d, fmt.Errorf("mount: %w", err)
		}
	}
	for i := range d.DeviceSpecs {
		if err := r.device(&d.DeviceSpecs[i], now); err != nil {
			return d, fmt.Errorf("device node: %w", err)
		}
	}
	return d, nil
}

func (r *Rules) mount(m *discovery.Mount, now bool) (err error) {
	if m.HostPath, err = clean(m.HostPath); err != nil {
		return fmt.Errorf("path on the node: %w", err)
	}
	if m.ContainerPath, err = clean(m.ContainerPath); err != nil {
		return fmt.Errorf("path in the container: %w", err)
	}
	if err := allowed(m.HostPath, r.mounts, "agent.allowedMounts"); err != nil {
		return err
	}
	if what, ok := hides(m.ContainerPath); ok {
		return fmt.Errorf("%s would hide the container's %s", show(m.ContainerPath), what)
	}
	if what, ok := inside(m.ContainerPath, standard()); ok {
		return fmt.Errorf("%s would hide the container's %s", show(m.ContainerPath), what)
	}
	end, _, err := r.follow(m.HostPath)
	switch unseen, missing := errors.Is(err, errUnseen), errors.Is(err, fs.ErrNotExist); {
	case unseen, missing && !now: // who allowed a mount that is not seen here knows its links
	case missing:
		return fmt.Errorf("%s is not there", show(m.HostPath))
	case err != nil:
		return fmt.Errorf("%s: %w", show(m.HostPath), err)
	}
	if err := allowed(end, r.mounts, "agent.allowedMounts"); err != nil {
		return fmt.Errorf("%s leads elsewhere: %w", show(m.HostPath), err)
	}
	if now {
		m.HostPath = end
	}
	return nil
}

func (r *Rules) device(s *discovery.DeviceSpec, now bool) (err error) {
	if s.HostPath, err = clean(s.HostPath); err != nil {
		return fmt.Errorf("path on the node: %w", err)
	}
	if s.ContainerPath, err = clean(s.ContainerPath); err != nil {
		return fmt.Errorf("path in the container: %w", err)
	}
	if err := allowed(s.HostPath, r.devices, "agent.allowedHostPaths"); err != nil {
		return err
	}
	if slices.Contains(r.devices, s.HostPath) { // the runtime would add all nodes in it
		return fmt.Errorf("%s is a folder, not a device node", show(s.HostPath))
	}
	if !isPermissions(s.Permissions) {
		return fmt.Errorf("%s: permissions %s: want one or more of r, w and m", show(s.HostPath), show(s.Permissions))
	}
	if what, ok := hides(s.ContainerPath); ok {
		return fmt.Errorf("%s: %s would hide the container's %s", show(s.HostPath), show(s.ContainerPath), what)
	}
	end, info, err := r.follow(s.HostPath)
	missing := errors.Is(err, errUnseen) || errors.Is(err, fs.ErrNotExist)
	if err != nil && !missing {
		return fmt.Errorf("%s: %w", show(s.HostPath), err)
	}
	if err := allowed(end, r.devices, "agent.allowedHostPaths"); err != nil {
		return fmt.Errorf("%s leads elsewhere: %w", show(s.HostPath), err)
	}
	switch {
	case missing && now:
		return fmt.Errorf("%s is not there: it was unplugged, or the agent does not see the node's folder (--host-root)", show(s.HostPath))
	case !missing && (info == nil || info.Mode()&fs.ModeDevice == 0):
		return fmt.Errorf("%s is not a device node", show(s.HostPath))
	}
	// The runtime gives some device nodes to every container. Only the same node
	// may be at their paths.
	if what, ok := inside(s.ContainerPath, standard()); ok && s.ContainerPath != end {
		return fmt.Errorf("%s: %s would hide the container's %s", show(s.HostPath), show(s.ContainerPath), what)
	}
	if now {
		s.HostPath = end
	}
	return nil
}

// allowed tells whether p is in one of the folders, which value sets.
func allowed(p string, folders []string, value string) error {
	if own, ok := inside(p, ofProcesses()); ok {
		return fmt.Errorf("%s is never allowed: %s differs between processes", show(p), own)
	}
	if p == "/" {
		return errors.New("the root folder is not allowed")
	}
	special, isSpecial := inside(p, noDevices())
	for _, folder := range folders {
		if within(p, folder) && (!isSpecial || within(folder, special)) {
			return nil
		}
	}
	switch {
	case len(folders) == 0:
		return fmt.Errorf("%s is not in an allowed folder: there is none (%s)", show(p), value)
	case isSpecial:
		return fmt.Errorf("%s is not in an allowed folder: %s is not a device and must be named itself (%s)", show(p), special, value)
	}
	return fmt.Errorf("%s is not in an allowed folder (%s: %s)", show(p), value, strings.Join(folders, ", "))
}

// hides returns which of a container's own files something at p would hide.
func hides(p string) (what string, ok bool) {
	for _, own := range []string{"/proc", "/sys", "/etc", "/usr", "/bin", "/sbin", "/var/run", "/run/secrets"} {
		if within(p, own) || within(own, p) {
			return own, true
		}
	}
	if first := "/" + strings.SplitN(p, "/", 3)[1]; strings.HasPrefix(first, "/lib") {
		return first, true
	}
	return p, p == "/dev"
}

// standard are the files in /dev that every container has.
func standard() []string {
	return []string{"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty", "/dev/console", "/dev/ptmx",
		"/dev/pts", "/dev/shm", "/dev/mqueue", "/dev/fd", "/dev/stdin", "/dev/stdout", "/dev/stderr", "/dev/core"}
}

// within tells whether p is folder or in it. Both are clean.
func within(p, folder string) bool {
	return p == folder || folder == "/" || strings.HasPrefix(p, folder+"/")
}

// inside returns the folder that p is within.
func inside(p string, folders []string) (string, bool) {
	for _, folder := range folders {
		if within(p, folder) {
			return folder, true
		}
	}
	return "", false
}

const maxPathBytes = 4095 // PATH_MAX less the final NUL

// clean returns a clean path. It must be absolute, without "..", and not the
// root.
func clean(p string) (string, error) {
	switch {
	case !path.IsAbs(p):
		return "", fmt.Errorf("%s is not absolute", show(p))
	case len(p) > maxPathBytes:
		return "", fmt.Errorf("%s has %d bytes, at most %d are allowed", show(p), len(p), maxPathBytes)
	case !utf8.ValidString(p) || strings.ContainsFunc(p, unicode.IsControl):
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

func isPermissions(s string) bool {
	if s == "" || len(s) > len("rwm") {
		return false
	}
	for i, c := range s {
		if !strings.ContainsRune("rwm", c) || strings.ContainsRune(s[:i], c) {
			return false
		}
	}
	return true
}

// show quotes the beginning of a text from outside.
func show(s string) string { return fmt.Sprintf("%.64q", s) }
