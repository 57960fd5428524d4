// Package fit makes a list of devices fit into the report of a handler: an agent
// ignores one that is too large.
package fit

import (
	"cmp"
	"slices"

	"github.com/akri-go/akri/discovery"
)

// Devices leaves out the largest devices if all take more than so many bytes, and
// returns how many these are. So false devices, however much they say of
// themselves, keep no real one out. The order of those that are kept is that of
// their ids if some are left out, else as it was.
func Devices(all []discovery.Device, most int) (kept []discovery.Device, over int) {
	total := 0
	for _, d := range all {
		total += Bytes(d)
	}
	if total <= most {
		return all, 0
	}
	all = slices.Clone(all)
	slices.SortStableFunc(all, func(a, b discovery.Device) int { return cmp.Compare(Bytes(a), Bytes(b)) })
	n := len(all)
	for total > most {
		n--
		total -= Bytes(all[n])
	}
	over, all = len(all)-n, all[:n]
	slices.SortFunc(all, func(a, b discovery.Device) int { return cmp.Compare(a.ID, b.ID) })
	return all, over
}

// Number leaves out devices that are too many, and returns how many these are. Those
// that were reported before keep their places: whoever can have devices appear must
// not push others out. The order of those that are kept is that of their ids if some
// are left out, else as it was.
func Number(all, before []discovery.Device, most int) (kept []discovery.Device, over int) {
	if len(all) <= most {
		return all, 0
	}
	known := make(map[string]bool, len(before))
	for _, d := range before {
		known[d.ID] = true
	}
	all = slices.Clone(all)
	slices.SortFunc(all, func(a, b discovery.Device) int {
		switch {
		case known[a.ID] == known[b.ID]:
			return cmp.Compare(a.ID, b.ID)
		case known[a.ID]:
			return -1
		}
		return 1
	})
	over, all = len(all)-most, all[:most]
	slices.SortFunc(all, func(a, b discovery.Device) int { return cmp.Compare(a.ID, b.ID) })
	return all, over
}

// Bytes is how many bytes the id and the properties of a device take.
func Bytes(d discovery.Device) int {
	n := len(d.ID)
	for name, value := range d.Properties {
		n += len(name) + len(value)
	}
	return n
}
