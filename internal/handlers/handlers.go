// Package handlers lists the discovery handlers of this project, with what
// programs need that do not run them, such as the admission webhook. It links
// no code that speaks to devices.
//
// A handler is a package in this folder, with a package details in it. Two lines
// add it: one in [Kinds], and one in package all, which has what programs need to
// run it.
package handlers

import (
	debugecho "github.com/akri-go/akri/internal/handlers/debugecho/details"
	modbus "github.com/akri-go/akri/internal/handlers/modbus/details"
	mqtt "github.com/akri-go/akri/internal/handlers/mqtt/details"
	onvif "github.com/akri-go/akri/internal/handlers/onvif/details"
	opcua "github.com/akri-go/akri/internal/handlers/opcua/details"
	udev "github.com/akri-go/akri/internal/handlers/udev/details"
)

// Kind is a kind of discovery handler.
type Kind struct {
	// Name is what Configurations ask for.
	Name string
	// Shared tells whether several nodes can see the same devices, by default.
	Shared bool
	// Summary says in one line what the handler finds. About says in sentences
	// what it needs and does; its lines have at most 76 characters.
	Summary, About string
	// Check returns an error if discoveryDetails are invalid, and otherwise
	// warnings for their author.
	Check func(discoveryDetails string) (warnings []string, err error)
	// Columns are the first columns of a table of devices, before the names of
	// their Instances and their ids.
	Columns []Column
}

// Column is a column of a table of devices.
type Column struct {
	Title    string // in capitals
	Property string // the property of a device that the column shows
}

// Kinds returns all kinds.
func Kinds() []Kind {
	return []Kind{
		{Name: udev.Name, Summary: udev.Summary, About: udev.About, Check: udev.Check},
		{Name: debugecho.Name, Summary: debugecho.Summary, About: debugecho.About, Check: debugecho.Check},
		{Name: onvif.Name, Shared: true, Summary: onvif.Summary, About: onvif.About, Check: onvif.Check,
			Columns: []Column{
				{"NAME", onvif.PropertyName}, {"ADDRESS", onvif.PropertyIPAddress}, {"MANUFACTURER", onvif.PropertyManufacturer},
				{"MODEL", onvif.PropertyModel}, {"LOCATION", onvif.PropertyLocation},
			}},
		{Name: opcua.Name, Shared: true, Summary: opcua.Summary, About: opcua.About, Check: opcua.Check,
			Columns: []Column{
				{"NAME", opcua.PropertyName}, {"SECURITY", opcua.PropertyModes}, {"APPLICATION URI", opcua.PropertyURI},
			}},
		{Name: modbus.Name, Shared: true, Summary: modbus.Summary, About: modbus.About, Check: modbus.Check,
			Columns: []Column{
				{"VENDOR", modbus.PropertyVendor}, {"PRODUCT", modbus.PropertyCode}, {"NAME", modbus.PropertyApplication},
				{"FOUND BY", modbus.PropertyFoundBy},
			}},
		{Name: mqtt.Name, Shared: true, Summary: mqtt.Summary, About: mqtt.About, Check: mqtt.Check,
			Columns: []Column{
				{"NAME", mqtt.PropertyName}, {"CONVENTION", mqtt.PropertyConvention}, {"MANUFACTURER", mqtt.PropertyManufacturer},
				{"MODEL", mqtt.PropertyModel}, {"LOCATION", mqtt.PropertyLocation},
			}},
	}
}
