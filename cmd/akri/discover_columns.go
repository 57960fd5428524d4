package main

import (
	"cmp"
	"strings"

	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/internal/handlers/onvif"
	onvifdetails "github.com/akri-go/akri/internal/handlers/onvif/details"
	"github.com/akri-go/akri/internal/handlers/opcua"
	opcuadetails "github.com/akri-go/akri/internal/handlers/opcua/details"
	"github.com/akri-go/akri/internal/handlers/udev/sysfs"
)

// column is one of a table of devices. With --watch it is at least width wide.
type column struct {
	title string
	width int
	of    func(discovery.Device) string
}

// columnsOf returns those for the devices of a kind of handler.
func (p *printer) columnsOf(kind string) []column {
	instance := column{"INSTANCE", 20, p.instance}
	id := column{"ID", 0, func(d discovery.Device) string { return d.ID }}
	property := func(title string, width int, name string) column {
		return column{title, width, func(d discovery.Device) string { return d.Properties[name] }}
	}
	switch kind {
	case onvifdetails.Name:
		return []column{
			property("NAME", 20, onvif.PropertyName), property("ADDRESS", 15, onvif.PropertyIPAddress),
			property("MANUFACTURER", 16, onvif.PropertyManufacturer), property("MODEL", 16, onvif.PropertyModel),
			property("LOCATION", 12, onvif.PropertyLocation), instance, property("URL", 0, onvif.PropertyURL),
		}
	case opcuadetails.Name:
		return []column{
			property("NAME", 24, opcua.PropertyName), {"URL", 36, id.of}, property("SECURITY", 24, opcua.PropertyModes),
			instance, property("APPLICATION URI", 0, opcua.PropertyURI),
		}
	}
	return []column{
		{"NODES", 16, nodesOf},
		{"SUBSYSTEM", 12, p.ofTree((*sysfs.Device).Subsystem)},
		{"DRIVER", 16, p.ofTree((*sysfs.Device).Driver)},
		instance, id,
	}
}

func nodesOf(d discovery.Device) string {
	var nodes []string
	for _, s := range d.DeviceSpecs {
		nodes = append(nodes, s.HostPath)
	}
	return strings.Join(nodes, ",")
}

// ofTree returns what a device of the tree has; "" where there is no tree, or no
// such device.
func (p *printer) ofTree(what func(*sysfs.Device) string) func(discovery.Device) string {
	return func(d discovery.Device) string {
		devpath := cmp.Or(d.Properties["UDEV_DEVPATH"], d.ID)
		if p.tree == nil || !strings.HasPrefix(devpath, "/devices/") {
			return ""
		}
		return what(p.tree.View().At(devpath))
	}
}
