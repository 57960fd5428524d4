package deviceplugin

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	pluginapi "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/internal/agent/inventory"
)

// grantedSlot is a slot that a container gets.
type grantedSlot struct {
	id     string
	index  int
	device inventory.Device
}

// distinctInstances returns an error if two slots are of one Instance.
func distinctInstances(slots []grantedSlot) error {
	seen := make(map[string]string, len(slots))
	for _, s := range slots {
		name := s.device.Instance.Name
		if other, ok := seen[name]; ok {
			return fmt.Errorf("slots %s and %s are of one device, and a container that asks for several units of %s gets several devices; "+
				"not as many are free on this node", other, s.id, v0.ResourceName(s.device.Configuration))
		}
		seen[name] = s.id
	}
	return nil
}

// content returns what a container with these slots gets: for each property KEY
// of each device KEY_<HASH>, and KEY with the value of the lowest slot; the
// mounts and device nodes of all devices. It fails if two devices want different
// things at one path.
func content(slots []grantedSlot) (*pluginapi.ContainerAllocateResponse, error) {
	slots = slices.Clone(slots)
	slices.SortFunc(slots, func(a, b grantedSlot) int {
		return cmp.Or(cmp.Compare(a.device.Instance.Name, b.device.Instance.Name), cmp.Compare(a.index, b.index))
	})

	plain, hashed := make(map[string]string), make(map[string]string)
	mounts := make(map[string]discovery.Mount)
	nodes := make(map[string]discovery.DeviceSpec)
	for _, s := range slots {
		hash := strings.ToUpper(s.device.Hash())
		for key, value := range s.device.Properties() {
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
		for _, m := range s.device.Reported.Mounts {
			if err := addMount(mounts, m); err != nil {
				return nil, err
			}
		}
		for _, d := range s.device.Reported.DeviceSpecs {
			if err := addNode(nodes, d); err != nil {
				return nil, err
			}
		}
	}

	maps.Copy(plain, hashed)
	response := &pluginapi.ContainerAllocateResponse{Envs: plain}
	for _, path := range slices.Sorted(maps.Keys(mounts)) {
		m := mounts[path]
		response.Mounts = append(response.Mounts, &pluginapi.Mount{
			ContainerPath: m.ContainerPath, HostPath: m.HostPath, ReadOnly: m.ReadOnly,
		})
	}
	for _, path := range slices.Sorted(maps.Keys(nodes)) {
		d := nodes[path]
		response.Devices = append(response.Devices, &pluginapi.DeviceSpec{
			ContainerPath: d.ContainerPath, HostPath: d.HostPath, Permissions: d.Permissions,
		})
	}
	return response, nil
}

// validEnv tells whether a property can be an environment variable: a runtime
// refuses a container for others.
func validEnv(key, value string) bool {
	return key != "" && !strings.ContainsAny(key, "=\x00") && !strings.Contains(value, "\x00")
}

// addMount adds a mount. One folder of the node that is mounted twice at one
// path is writable if either is.
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

// addNode adds a device node. One that is there already has the permissions of
// both.
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
