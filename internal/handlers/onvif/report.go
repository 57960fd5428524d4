package onvif

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/internal/handlers/onvif/camera"
	"github.com/akri-go/akri/internal/handlers/onvif/details"
	"github.com/akri-go/akri/internal/shorten"
)

// What brokers read of a camera. The first four are upstream's.
const (
	propertyURL          = "ONVIF_DEVICE_SERVICE_URL"
	propertyUUID         = "ONVIF_DEVICE_UUID"
	propertyIPAddress    = "ONVIF_DEVICE_IP_ADDRESS"
	propertyMACAddress   = "ONVIF_DEVICE_MAC_ADDRESS"
	propertyManufacturer = "ONVIF_DEVICE_MANUFACTURER"
	propertyModel        = "ONVIF_DEVICE_MODEL"
	propertyFirmware     = "ONVIF_DEVICE_FIRMWARE_VERSION"
	propertySerial       = "ONVIF_DEVICE_SERIAL_NUMBER"
	propertyHardware     = "ONVIF_DEVICE_HARDWARE_ID"
	propertyName         = "ONVIF_DEVICE_NAME"
	propertyLocation     = "ONVIF_DEVICE_LOCATION"
)

// device makes the Device of a camera.
func device(uuid string, f camera.Facts) discovery.Device {
	d := discovery.Device{ID: uuid, Properties: map[string]string{propertyURL: f.URL, propertyUUID: uuid}}
	for name, value := range map[string]string{
		propertyIPAddress: f.Address.WithZone("").String(), propertyMACAddress: f.MAC,
		propertyManufacturer: f.Manufacturer, propertyModel: f.Model, propertyFirmware: f.Firmware,
		propertySerial: f.Serial, propertyHardware: f.Hardware,
		propertyName: f.Name(), propertyLocation: f.Location(),
	} {
		if value != "" {
			d.Properties[name] = value
		}
	}
	return d
}

// worthAsking tells whether a camera may be one that is looked for, before it is
// asked.
func worthAsking(d details.Details, uuid string) bool { return d.UUIDs.PassUUID(uuid) }

// passes tells whether a camera is one that is looked for.
func passes(d details.Details, uuid string, f camera.Facts) bool {
	return d.UUIDs.PassUUID(uuid) && d.Scopes.PassScopes(f.Scopes) &&
		d.IPAddresses.PassAddresses(f.Addresses) && d.MACAddresses.PassMACs(f.MACs)
}

const (
	maxNoted   = 5   // problems in a note
	maxProblem = 300 // bytes of one
)

// report makes the report of what is known: the cameras that are looked for, and
// what is wrong with some.
func report(d details.Details, p *population) discovery.Report {
	r := discovery.Report{Devices: []discovery.Device{}}
	var problems []string
	for _, uuid := range slices.Sorted(maps.Keys(p.cameras)) {
		k := p.cameras[uuid]
		if !worthAsking(d, uuid) {
			continue
		}
		if k.problem != nil {
			problems = append(problems, problem(uuid, k))
		}
		if k.facts != nil && passes(d, uuid, *k.facts) {
			r.Devices = append(r.Devices, device(uuid, *k.facts))
		}
	}
	r.Note = note(problems)
	return r
}

// problem says what is wrong with a camera.
func problem(uuid string, k *known) string {
	what := "camera " + uuid
	if k.facts != nil {
		what += " at " + k.facts.URL
	}
	return shorten.Text(what+": "+camera.Explain(k.problem), maxProblem)
}

// note makes one text of problems.
func note(problems []string) string {
	if n := len(problems) - maxNoted; n > 0 {
		problems = append(slices.Clone(problems[:maxNoted]), fmt.Sprintf("and %d more", n))
	}
	return strings.Join(problems, "; ")
}
