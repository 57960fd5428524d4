// Package all lists the discovery handlers of this project for programs that run
// them. It links the code of all of them.
package all

import (
	"strings"

	"github.com/akri-go/akri/internal/handlers"
	"github.com/akri-go/akri/internal/handlers/debugecho"
	echodetails "github.com/akri-go/akri/internal/handlers/debugecho/details"
	"github.com/akri-go/akri/internal/handlers/modbus"
	modbusdetails "github.com/akri-go/akri/internal/handlers/modbus/details"
	"github.com/akri-go/akri/internal/handlers/mqtt"
	mqttdetails "github.com/akri-go/akri/internal/handlers/mqtt/details"
	"github.com/akri-go/akri/internal/handlers/onvif"
	onvifdetails "github.com/akri-go/akri/internal/handlers/onvif/details"
	"github.com/akri-go/akri/internal/handlers/opcua"
	opcuadetails "github.com/akri-go/akri/internal/handlers/opcua/details"
	"github.com/akri-go/akri/internal/handlers/setup"
	"github.com/akri-go/akri/internal/handlers/udev"
	udevdetails "github.com/akri-go/akri/internal/handlers/udev/details"
)

// Kind is a kind of discovery handler that a program can run.
type Kind struct {
	handlers.Kind
	Setup setup.Func
}

// setups returns how each kind is set up, by name. Each has its line in
// [handlers.Kinds] too.
func setups() map[string]setup.Func {
	return map[string]setup.Func{
		udevdetails.Name: udev.Setup,
		echodetails.Name: debugecho.Setup,

		onvifdetails.Name: onvif.Setup,
		opcuadetails.Name: opcua.Setup,

		modbusdetails.Name: modbus.Setup,
		mqttdetails.Name:   mqtt.Setup,
	}
}

// Kinds returns all kinds, in the order of [handlers.Kinds].
func Kinds() []Kind {
	var all []Kind
	setups := setups()
	for _, k := range handlers.Kinds() {
		if s := setups[k.Name]; s != nil {
			all = append(all, Kind{k, s})
		}
	}
	return all
}

// Find returns the kind with a name.
func Find(name string) (Kind, bool) {
	for _, k := range Kinds() {
		if k.Name == name {
			return k, true
		}
	}
	return Kind{}, false
}

// Names returns the names of all kinds, as in "a, b or c" with "or" between the
// last two.
func Names(or string) string {
	var names []string
	for _, k := range Kinds() {
		names = append(names, k.Name)
	}
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " " + or + " " + names[last]
}
