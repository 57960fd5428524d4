package inventory

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/discovery"
)

// Two devices with one hash are two Instances, and neither changes its name.
func TestNames(t *testing.T) {
	a, b := collide(t)
	if a > b {
		a, b = b, a
	}
	name := func(id string, n int) string { return v0.InstanceName("c", v0.NthDeviceHash(id, "n", false, n)) }
	first, a1, b1 := name(a, 0), name(a, 1), name(b, 1)
	if first != name(b, 0) || a1 == b1 || a1 == first {
		t.Fatalf("names of a are %s, %s, of b %s, %s", first, a1, name(b, 0), b1)
	}
	known := func(names ...string) map[string]Known {
		all := map[string]Known{}
		for i := 0; i < len(names); i += 2 {
			k := Known{Device: Device{Reported: discovery.Device{ID: names[i+1]}}}
			if names[i] != first {
				k.Nth = 1
			}
			all[names[i]] = k
		}
		return all
	}
	for _, c := range []struct {
		name  string
		list  []string // ids that are reported
		known map[string]Known
		saved map[string]string // names from before a restart
		taken map[string]string
		want  []string // name, id, …
	}{
		{name: "one", list: []string{b}, want: []string{first, b}},
		{name: "both at once: the lower id chooses", list: []string{b, a}, want: []string{first, a, b1, b}},
		{name: "one is there first", list: []string{a, b}, known: known(first, b), want: []string{first, b, a1, a}},
		{name: "and it stays so", list: []string{a, b}, known: known(first, b, a1, a), want: []string{first, b, a1, a}},
		{name: "also when the first is gone", list: []string{a}, known: known(a1, a), want: []string{a1, a}},
		{name: "and over a restart", list: []string{a, b}, saved: map[string]string{a: a1}, want: []string{first, b, a1, a}},
		{name: "what was saved is no name of the device", list: []string{a}, saved: map[string]string{a: "c-000000"}, want: []string{first, a}},
		{name: "the API has another's", list: []string{b}, known: known(first, b), taken: map[string]string{first: a}, want: []string{b1, b}},
		{name: "of which this node sees the other, too", list: []string{a, b}, known: known(first, b), taken: map[string]string{first: a}, want: []string{first, a, b1, b}},
		{name: "the API has one that this node cannot have", list: []string{a}, taken: map[string]string{first: ""}, want: []string{a1, a}},
		{name: "the API has the device by another name", list: []string{a}, known: known(first, a), taken: map[string]string{a1: a}, want: []string{a1, a}},
		{name: "the API says what is so", list: []string{a}, known: known(first, a), taken: map[string]string{first: a}, want: []string{first, a}},
		{name: "the API says what cannot be", list: []string{a}, known: known(first, a), taken: map[string]string{"c-000000": a}, want: []string{first, a}},
	} {
		t.Run(c.name, func(t *testing.T) {
			out := Plan(Input{Node: "n", Configuration: requestFor("c", 0), Known: c.known, Names: c.saved, Taken: c.taken,
				Lists: []List{{Endpoint: "e", Devices: devices(c.list...)}}})
			want := map[string]string{}
			for i := 0; i < len(c.want); i += 2 {
				want[c.want[i]] = c.want[i+1]
			}
			got := map[string]string{}
			for name, k := range out.Devices {
				got[name] = k.Reported.ID
				if k.Instance.Name != name || (k.Nth == 0) != (name == first) {
					t.Errorf("%s is the %d. name of %s", name, k.Nth, k.Instance)
				}
			}
			if !maps.Equal(got, want) || len(out.Collisions) > 0 {
				t.Errorf("got %v, %v; want %v", got, out.Collisions, want)
			}
		})
	}

	// Only where nothing is free a device is left out, and it is said.
	taken := map[string]string{}
	for n := range 1 + v0.OtherDeviceHashes {
		taken[name(a, n)] = ""
	}
	out := Plan(Input{Node: "n", Configuration: requestFor("c", 0), Taken: taken, Lists: []List{{Endpoint: "e", Devices: devices(a, "other")}}})
	if got := states(out.Devices); got != "other=Online" || len(out.Collisions) != 1 || !strings.Contains(out.Collisions[0].Error(), a) {
		t.Errorf("got %q, %v", got, out.Collisions)
	}
}

// A full Configuration has all its devices: some of ten thousand collide.
func TestNamesOfManyDevices(t *testing.T) {
	var ids []string
	for i := range 10_000 {
		ids = append(ids, fmt.Sprintf("/devices/virtual/block/zram%d", i))
	}
	out := Plan(Input{Node: "n", Configuration: requestFor("c", 0), Lists: []List{{Endpoint: "e", Devices: devices(ids...)}}})
	others := 0
	for _, k := range out.Devices {
		if k.Nth > 0 {
			others++
		}
	}
	if len(out.Devices) != len(ids) || len(out.Collisions) > 0 || others == 0 {
		t.Errorf("%d of %d devices are there, %d by another than their first name; %v", len(out.Devices), len(ids), others, out.Collisions)
	}
}
