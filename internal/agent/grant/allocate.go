package grant

import (
	pluginapi "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"

	"github.com/akri-go/akri/discovery"
)

// AllocateResponse returns a grant as the kubelet's device manager wants it.
func (g Grant) AllocateResponse() *pluginapi.ContainerAllocateResponse {
	r := &pluginapi.ContainerAllocateResponse{Envs: g.Env}
	for _, m := range g.Mounts {
		r.Mounts = append(r.Mounts, &pluginapi.Mount{ContainerPath: m.ContainerPath, HostPath: m.HostPath, ReadOnly: m.ReadOnly})
	}
	for _, d := range g.DeviceSpecs {
		r.Devices = append(r.Devices, &pluginapi.DeviceSpec{ContainerPath: d.ContainerPath, HostPath: d.HostPath, Permissions: d.Permissions})
	}
	return r
}

// FromAllocateResponse returns the grant of a response, which may be from an
// agent of any version or of upstream. What a Grant cannot have is left out.
func FromAllocateResponse(r *pluginapi.ContainerAllocateResponse) Grant {
	g := Grant{Env: r.GetEnvs()}
	for _, m := range r.GetMounts() {
		g.Mounts = append(g.Mounts, discovery.Mount{ContainerPath: m.GetContainerPath(), HostPath: m.GetHostPath(), ReadOnly: m.GetReadOnly()})
	}
	for _, d := range r.GetDevices() {
		g.DeviceSpecs = append(g.DeviceSpecs, discovery.DeviceSpec{ContainerPath: d.GetContainerPath(), HostPath: d.GetHostPath(), Permissions: d.GetPermissions()})
	}
	return g
}
