// Package wire converts between messages of the discovery protocol and the
// types of package discovery, for programs that call handlers, as agents do. It
// does not check anything: what a handler sends cannot be trusted.
package wire

import (
	pb "github.com/akri-go/akri/api/discovery/v0"
	"github.com/akri-go/akri/discovery"
)

// Request makes the message that asks a handler.
func Request(req discovery.Request) *pb.DiscoverRequest {
	m := &pb.DiscoverRequest{DiscoveryDetails: req.Details}
	if len(req.Properties) > 0 {
		m.DiscoveryProperties = make(map[string]*pb.ByteData, len(req.Properties))
	}
	for name, value := range req.Properties {
		m.DiscoveryProperties[name] = &pb.ByteData{Vec: value}
	}
	return m
}

// Device converts one device. It does not check anything.
func Device(m *pb.Device) discovery.Device {
	d := discovery.Device{ID: m.GetId(), Properties: m.GetProperties()}
	for _, mount := range m.GetMounts() {
		d.Mounts = append(d.Mounts, discovery.Mount{
			ContainerPath: mount.GetContainerPath(),
			HostPath:      mount.GetHostPath(),
			ReadOnly:      mount.GetReadOnly(),
		})
	}
	for _, spec := range m.GetDeviceSpecs() {
		d.DeviceSpecs = append(d.DeviceSpecs, discovery.DeviceSpec{
			ContainerPath: spec.GetContainerPath(),
			HostPath:      spec.GetHostPath(),
			Permissions:   spec.GetPermissions(),
		})
	}
	return d
}

// Devices converts a list of devices.
func Devices(m *pb.DiscoverResponse) []discovery.Device {
	devices := make([]discovery.Device, len(m.GetDevices()))
	for i, d := range m.GetDevices() {
		devices[i] = Device(d)
	}
	return devices
}
