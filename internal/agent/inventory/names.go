package inventory

import (
	"cmp"
	"fmt"
	"slices"

	v0 "github.com/akri-go/akri/api/v0"
)

// name decides the names of the Instances of the devices that are there. A device
// gets the first of its names (see [v0.NthDeviceHash]) that no other device has.
// Devices keep their names; of several new ones, the device with the lowest id
// chooses first. A name that another device has in the API is not used. A name
// that this device has in the API is used, so that all nodes that see a shared
// device agree.
func (p *planner) name() {
	used := make(map[string]identity, len(p.in.Known))
	for name, k := range p.in.Known {
		used[name] = identityOf(k)
	}
	given := make(map[string]string) // by the ids of devices
	for name, id := range p.in.Taken {
		if id != "" {
			given[id] = name
		}
	}
	var nameless []identity
	for id, one := range p.seen {
		name, known := p.was[id]
		switch {
		case !known:
			nameless = append(nameless, id)
		case p.othersInstance(name, id), p.nth(given[id.id], id) >= 0 && given[id.id] != name:
			nameless = append(nameless, id)
			delete(used, name)
		default:
			p.take(name, p.in.Known[name].Nth, id, one)
		}
	}
	slices.SortFunc(nameless, func(a, b identity) int { return cmp.Compare(a.id, b.id) })
	for _, id := range nameless {
		name, n := p.choose(id, given[id.id], used)
		if n < 0 {
			p.out.Collisions = append(p.out.Collisions, fmt.Errorf(
				"device %q is left out: other Instances have all names that its Instance could get, the first is %s", id.id, p.nameOf(id, 0)))
			continue
		}
		used[name] = id
		p.take(name, n, id, p.seen[id])
	}
}

// choose returns the first free name of a device, and its number; names that the
// device is known to have had are tried first. n is -1 if none is free.
func (p *planner) choose(id identity, given string, used map[string]identity) (name string, n int) {
	free := func(name string) bool {
		_, is := used[name]
		return !is && !p.othersInstance(name, id)
	}
	for _, name := range []string{given, p.in.Names[id.id]} {
		if n := p.nth(name, id); n >= 0 && free(name) {
			return name, n
		}
	}
	for n := range 1 + v0.OtherDeviceHashes {
		if name := p.nameOf(id, n); free(name) {
			return name, n
		}
	}
	return "", -1
}

// othersInstance tells whether a name belongs to another device in the API.
func (p *planner) othersInstance(name string, id identity) bool {
	is, known := p.in.Taken[name]
	return known && is != id.id
}

// nth returns which of the device's names this is, or -1.
func (p *planner) nth(name string, id identity) int {
	if name == "" {
		return -1
	}
	for n := range 1 + v0.OtherDeviceHashes {
		if p.nameOf(id, n) == name {
			return n
		}
	}
	return -1
}

func (p *planner) nameOf(id identity, n int) string {
	return v0.InstanceName(p.in.Configuration.Name.Name, v0.NthDeviceHash(id.id, p.in.Node, id.shared, n))
}
