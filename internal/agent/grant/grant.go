package grant

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/internal/agent/inventory"
)

// Slot is a slot that a container gets.
type Slot struct {
	ID    string
	Index int
	// Device is the slot's device, with the paths on the node that the runtime is
	// told.
	Device inventory.Device
}

// Grant is what a container gets. Mounts and DeviceSpecs are sorted by their
// paths in the container, which are distinct.
type Grant struct {
	Env         map[string]string
	Mounts      []discovery.Mount
	DeviceSpecs []discovery.DeviceSpec
}

// Of returns what a container with these slots gets: for each property KEY of
// each device the variable KEY_<HASH>, and KEY with the value of the lowest
// slot; and the mounts and device nodes of all devices. It fails if two devices
// want different things at one path.
func Of(slots []Slot) (Grant, error) {
	slots = slices.Clone(slots)
	slices.SortFunc(slots, func(a, b Slot) int {
		return cmp.Or(cmp.Compare(a.Device.Instance.Name, b.Device.Instance.Name), cmp.Compare(a.Index, b.Index))
	})

	plain, hashed := make(map[string]string), make(map[string]string)
	mounts := make(map[string]discovery.Mount)
	nodes := make(map[string]discovery.DeviceSpec)
	for _, s := range slots {
		hash := strings.ToUpper(s.Device.Hash())
		for key, value := range s.Device.Properties() {
			if !validEnv(key, value) {
				continue
			}
			if _, ok := plain[key]; !ok {
				plain[key] = value
			}
			if hash != "" {
				hashed[key+"_"+hash] = value
			}
		}
		for _, m := range s.Device.Reported.Mounts {
			if err := addMount(mounts, m); err != nil {
				return Grant{}, err
			}
		}
		for _, d := range s.Device.Reported.DeviceSpecs {
			if err := addNode(nodes, d); err != nil {
				return Grant{}, err
			}
		}
	}

	maps.Copy(plain, hashed)
	return Grant{Env: plain, Mounts: byPath(mounts), DeviceSpecs: byPath(nodes)}, nil
}

// byPath returns the values of a map in the order of its keys; nil if there are
// none.
func byPath[T any](m map[string]T) (sorted []T) {
	for _, path := range slices.Sorted(maps.Keys(m)) {
		sorted = append(sorted, m[path])
	}
	return sorted
}

// validEnv tells whether a property can be an environment variable: runtimes
// refuse containers with others.
func validEnv(key, value string) bool {
	return key != "" && !strings.ContainsAny(key, "=\x00") && !strings.Contains(value, "\x00")
}

// addMount adds a mount. If the same mount is there already, it is writable if
// either is.
func addMount(mounts map[string]discovery.Mount, m discovery.Mount) error {
	if other, ok := mounts[m.ContainerPath]; ok {
		if other.HostPath != m.HostPath {
			return fmt.Errorf("two devices want different folders, %s and %s, mounted at %s; use a container for each",
				other.HostPath, m.HostPath, m.ContainerPath)
		}
		m.ReadOnly = m.ReadOnly && other.ReadOnly
	}
	mounts[m.ContainerPath] = m
	return nil
}

// addNode adds a device node. If the same node is there already, it gets the
// permissions of both.
func addNode(nodes map[string]discovery.DeviceSpec, d discovery.DeviceSpec) error {
	if other, ok := nodes[d.ContainerPath]; ok {
		if other.HostPath != d.HostPath {
			return fmt.Errorf("two devices want different device nodes, %s and %s, at %s; use a container for each",
				other.HostPath, d.HostPath, d.ContainerPath)
		}
		both := d.Permissions + other.Permissions
		d.Permissions = ""
		for _, p := range "rwm" {
			if strings.ContainsRune(both, p) {
				d.Permissions += string(p)
			}
		}
	}
	nodes[d.ContainerPath] = d
	return nil
}
