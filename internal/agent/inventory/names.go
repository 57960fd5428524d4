package inventory

import (
	"cmp"
	"fmt"
	"slices"

	v0 "github.com/akri-go/akri/api/v0"
)

// name decides what the Instances of the devices that are there are called. A
// device has the first of its names (see [v0.NthDeviceHash]) that is no other's.
// Who is there first keeps its name; of those that come at once, the one with the
// lower id chooses first. Names that the API says are another's are not used, and
// if it says that one is this device's, that is it: so all nodes that see a shared
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

// choose returns the first name of a device that is free, and which it is; those
// that it is said to have had come first. It is -1 if there is none.
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

// othersInstance tells whether the API has another device under a name.
func (p *planner) othersInstance(name string, id identity) bool {
	is, known := p.in.Taken[name]
	return known && is != id.id
}

// nth tells which name of a device this is, or -1.
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
