package onvif

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/internal/handlers/fit"
	"github.com/akri-go/akri/internal/handlers/onvif/camera"
	"github.com/akri-go/akri/internal/handlers/onvif/details"
	"github.com/akri-go/akri/internal/shorten"
)

// device makes the Device of a camera.
func device(uuid string, f camera.Facts) discovery.Device {
	d := discovery.Device{ID: uuid, Properties: map[string]string{details.PropertyURL: f.URL, details.PropertyUUID: uuid}}
	for name, value := range map[string]string{
		details.PropertyIPAddress: f.Address.WithZone("").String(), details.PropertyMACAddress: f.MAC,
		details.PropertyManufacturer: f.Manufacturer, details.PropertyModel: f.Model, details.PropertyFirmware: f.Firmware,
		details.PropertySerial: f.Serial, details.PropertyHardware: f.Hardware,
		details.PropertyName: f.Name(), details.PropertyLocation: f.Location(),
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
	maxProblem = 360 // bytes of one
	// maxPropertyBytes is how much all devices of a Configuration take: an agent
	// takes 4 MiB at once.
	maxPropertyBytes = 3 << 20
)

// report makes the report of what is known: the cameras that are looked for, what
// is wrong with some, and why there may be none.
func report(d details.Details, p *population) discovery.Report {
	r := discovery.Report{Devices: []discovery.Device{}}
	var (
		problems []faulty
		filtered int // cameras that answer and are not looked for
	)
	for _, uuid := range slices.Sorted(maps.Keys(p.cameras)) {
		k := p.cameras[uuid]
		if !worthAsking(d, uuid) {
			continue
		}
		if k.problem != "" {
			problems = addFaulty(problems, uuid, k)
		}
		switch {
		case k.facts == nil:
		case passes(d, uuid, *k.facts):
			r.Devices = append(r.Devices, device(uuid, *k.facts))
		default:
			filtered++
		}
	}
	var texts []string
	if filtered > 0 && len(r.Devices) == 0 {
		texts = append(texts, fmt.Sprintf("no camera passes the filters of discoveryDetails (of %d that answer)", filtered))
	}
	texts = append(texts, nonempty(silent(d.Addresses, p))...)
	kept, over := fit.Devices(r.Devices, maxPropertyBytes)
	r.Devices = kept
	if over > 0 {
		texts = append(texts, fmt.Sprintf(
			"%d cameras are left out, those that say most of themselves: all take more than %d MiB; use filters",
			over, maxPropertyBytes>>20))
	}
	for _, t := range problems {
		texts = append(texts, t.String())
	}
	r.Note = note(texts)
	return r
}

// silent says at which of these addresses no camera was heard; "" if at each was.
func silent(addresses []netip.Addr, p *population) string {
	heard := map[netip.Addr]bool{}
	for _, k := range p.cameras {
		for _, s := range k.sightings {
			heard[s.From.WithZone("")] = true
		}
		if k.facts == nil {
			continue
		}
		for _, a := range k.facts.Addresses {
			heard[a.WithZone("")] = true
		}
	}
	var at string
	more := -1
	for _, a := range addresses {
		if heard[a.WithZone("")] {
			continue
		}
		if more++; more == 0 {
			at = a.String()
		}
	}
	switch {
	case more < 0:
		return ""
	case more > 0:
		at += fmt.Sprintf(" and %d more", more)
	}
	return fmt.Sprintf("no camera answers at %s: switch ONVIF on there, and let UDP port 3702 through", at)
}

// faulty is a camera, what is wrong with it, and how many more have the same.
type faulty struct {
	camera, what string
	more         int
}

func addFaulty(all []faulty, uuid string, k *known) []faulty {
	t := faultyOf(uuid, k)
	for i := range all {
		if all[i].what == t.what {
			all[i].more++
			return all
		}
	}
	return append(all, t)
}

// faultyOf says what is wrong with a camera.
func faultyOf(uuid string, k *known) faulty {
	t := faulty{camera: "camera " + uuid, what: k.problem}
	if k.facts != nil {
		t.camera += " at " + k.facts.URL
	}
	return t
}

func (t faulty) String() string {
	who := t.camera
	if t.more > 0 {
		who += fmt.Sprintf(" and %d more", t.more)
	}
	return shorten.Text(who+": "+t.what, maxProblem)
}

// note makes one text of problems.
func note(problems []string) string {
	if n := len(problems) - maxNoted; n > 0 {
		problems = append(slices.Clone(problems[:maxNoted]), fmt.Sprintf("and %d more", n))
	}
	return strings.Join(problems, "; ")
}
