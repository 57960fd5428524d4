package registry

import (
	"fmt"

	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/discovery/contract"
)

// vetting collects the devices of one report that comply, and why the others do
// not.
type vetting struct {
	rules   contract.Rules
	devices []discovery.Device
	seen    map[string]bool
	refused refusals
	size    int // of devices, in memory
}

// vet returns the devices that comply, in their order, and what is wrong with
// the others. A list that is too long is an error.
func vet(r contract.Rules, devices []discovery.Device) (good []discovery.Device, refused, err error) {
	if err := r.TooMany(len(devices)); err != nil {
		return nil, nil, err
	}
	v := newVetting(r, len(devices))
	for _, d := range devices {
		v.add(d)
	}
	if err := v.tooLarge(); err != nil {
		return nil, nil, err
	}
	return v.devices, v.refused.err(), nil
}

// Vet returns the devices that comply with the current rules, and why the others
// do not. It is for devices of earlier reports.
func (r *Registry) Vet(devices []discovery.Device) (good []discovery.Device, refused error) {
	good, refused, err := vet(r.rules, devices)
	if err != nil {
		return nil, err
	}
	return good, refused
}

func (v *vetting) tooLarge() error {
	if v.size > v.rules.ReportBytes {
		return fmt.Errorf("the report would take more than %d bytes of memory; it is ignored", v.rules.ReportBytes)
	}
	return nil
}

func newVetting(r contract.Rules, n int) *vetting {
	return &vetting{rules: r, devices: make([]discovery.Device, 0, n), seen: make(map[string]bool, n)}
}

func (v *vetting) add(d discovery.Device) {
	switch err := v.rules.Check(&d); {
	case err != nil:
		v.refused.add(fmt.Sprintf("device %s: %v", contract.Show(d.ID), err))
	case v.seen[d.ID]:
		v.refused.add(fmt.Sprintf("device %s: is listed more than once, the first counts", contract.Show(d.ID)))
	default:
		v.seen[d.ID] = true
		v.size += contract.Size(d)
		v.devices = append(v.devices, d)
	}
}
