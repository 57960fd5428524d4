package inventory

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/discovery"
)

func devices(ids ...string) []discovery.Device {
	var all []discovery.Device
	for _, id := range ids {
		all = append(all, discovery.Device{ID: id})
	}
	return all
}

func known(r Configuration, shared bool, ids ...string) map[string]Known {
	out := Plan(Input{Node: "n", Configuration: r, Lists: []List{{Endpoint: "e", Shared: shared, Devices: devices(ids...)}}})
	return out.Devices
}

func requestFor(name string, grace time.Duration) Configuration {
	r := Configuration{Name: types.NamespacedName{Namespace: "ns", Name: name}, Owner: "uid", Capacity: 1}
	if grace >= 0 {
		r.OfflineGracePeriod = &metav1.Duration{Duration: grace}
	}
	return r
}

// states shows a decision as id=state, for tables.
func states(devices map[string]Known) string {
	var all []string
	for k := range maps.Values(devices) {
		all = append(all, k.Reported.ID+"="+string(k.State))
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

func TestPlan(t *testing.T) {
	const def = time.Duration(-1)
	missing := func(k map[string]Known, since time.Duration) map[string]Known {
		for name, d := range k {
			d.Missing, d.MissingAt, d.State = true, since, v0.DeviceOffline
			k[name] = d
		}
		return k
	}
	for _, c := range []struct {
		name    string
		grace   time.Duration
		lists   []List
		known   map[string]Known
		up      time.Duration
		want    string
		next    time.Duration
		expired string
	}{
		{name: "nothing known, nothing reported", grace: def},
		{
			name: "reported", grace: def,
			lists: []List{{Endpoint: "a", Devices: devices("x", "y")}},
			want:  "x=Online y=Online",
		},
		{
			name: "two endpoints are merged", grace: def,
			lists: []List{{Endpoint: "a", Devices: devices("x", "y")}, {Endpoint: "b", Devices: devices("y", "z")}},
			want:  "x=Online y=Online z=Online",
		},
		{
			name: "local and missing: gone at once", grace: def,
			lists: []List{{Endpoint: "a", Devices: devices("x")}},
			known: known(requestFor("c", def), false, "x", "y"),
			want:  "x=Online",
		},
		{
			name: "shared and missing: offline for a minute", grace: def,
			lists: []List{{Endpoint: "a", Shared: true}},
			known: known(requestFor("c", def), true, "x"),
			up:    time.Hour,
			want:  "x=Offline", next: time.Hour + time.Minute,
		},
		{
			name: "the minute is over", grace: def,
			lists: []List{{Endpoint: "a", Shared: true}},
			known: missing(known(requestFor("c", def), true, "x"), time.Hour),
			up:    time.Hour + time.Minute,
		},
		{
			name: "the minute is not over", grace: def,
			lists: []List{{Endpoint: "a", Shared: true}},
			known: missing(known(requestFor("c", def), true, "x"), time.Hour),
			up:    time.Hour + time.Minute - 1,
			want:  "x=Offline", next: time.Hour + time.Minute,
		},
		{
			name: "back within its grace", grace: def,
			lists: []List{{Endpoint: "a", Shared: true, Devices: devices("x")}},
			known: missing(known(requestFor("c", def), true, "x"), time.Hour),
			up:    time.Hour + time.Second,
			want:  "x=Online",
		},
		{
			name: "grace set for local devices", grace: 10 * time.Second,
			lists: []List{{Endpoint: "a"}},
			known: known(requestFor("c", def), false, "x"),
			up:    time.Second,
			want:  "x=Offline", next: 11 * time.Second,
		},
		{
			name: "no grace for shared devices if the user says so", grace: 0,
			lists: []List{{Endpoint: "a", Shared: true}},
			known: known(requestFor("c", def), true, "x"),
		},
		{
			name: "handler gone: devices stay online", grace: def,
			lists: []List{{Endpoint: "a", Lost: true, LostAt: time.Minute, Devices: devices("x")}},
			known: known(requestFor("c", def), false, "x"),
			up:    2 * time.Minute,
			want:  "x=Online", next: 6 * time.Minute,
		},
		{
			name: "handler gone for five minutes", grace: def,
			lists:   []List{{Endpoint: "a", Lost: true, LostAt: time.Minute, Devices: devices("x")}},
			known:   known(requestFor("c", def), false, "x"),
			up:      6 * time.Minute,
			expired: "a",
		},
		{
			name: "no second grace after five minutes without handler", grace: def,
			lists:   []List{{Endpoint: "a", Shared: true, Lost: true, Devices: devices("x")}},
			known:   known(requestFor("c", def), true, "x"),
			up:      5 * time.Minute,
			expired: "a",
		},
		{
			name: "another handler still reports it", grace: def,
			lists: []List{{Endpoint: "a", Lost: true, Devices: devices("x", "y")}, {Endpoint: "b", Devices: devices("x")}},
			known: known(requestFor("c", def), false, "x", "y"),
			up:    5 * time.Minute,
			want:  "x=Online", expired: "a",
		},
		{
			name: "a lost handler without devices needs no deadline", grace: def,
			lists: []List{{Endpoint: "a", Lost: true}},
			up:    time.Minute,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			out := Plan(Input{Node: "n", Configuration: requestFor("c", c.grace), Lists: c.lists, Known: c.known, Up: c.up})
			if got := states(out.Devices); got != c.want {
				t.Errorf("devices %q, want %q", got, c.want)
			}
			if out.Next != c.next {
				t.Errorf("next %v, want %v", out.Next, c.next)
			}
			if got := strings.Join(out.Expired, " "); got != c.expired {
				t.Errorf("expired %q, want %q", got, c.expired)
			}
		})
	}
}

// A lost endpoint counts no more once its handler has come back at another.
func TestPlanSupersedes(t *testing.T) {
	lost := List{Endpoint: "old", Handler: "h", RequestID: "q", Lost: true, Alone: true, Registration: 3, Devices: devices("old")}
	with := func(change func(*List)) List {
		s := lost
		change(&s)
		return s
	}
	back := List{Endpoint: "new", Handler: "h", RequestID: "q", Registration: 4, Devices: devices("new")}
	for _, c := range []struct {
		name string
		lost List
		back List
		want string
	}{
		{"it has come back", lost, back, "new=Online old=Offline"},
		{"with nothing", lost, List{Endpoint: "new", Handler: "h", RequestID: "q", Registration: 4}, "old=Offline"},
		{"it is another that was there before", lost, List{Endpoint: "new", Handler: "h", RequestID: "q", Registration: 3, Devices: devices("new")},
			"new=Online old=Online"},
		{"there were two", with(func(s *List) { s.Alone = false }), back, "new=Online old=Online"},
		{"it was restored", with(func(s *List) { s.Registration = 0 }), back, "new=Online old=Offline"},
		{"it answers an earlier request", lost, List{Endpoint: "new", Handler: "h", RequestID: "p", Registration: 4, Devices: devices("new")},
			"new=Online old=Online"},
		{"another handler", lost, List{Endpoint: "new", Handler: "i", RequestID: "q", Registration: 4, Devices: devices("new")}, "new=Online old=Online"},
		{"it is lost as well", lost, List{Endpoint: "new", Handler: "h", RequestID: "q", Registration: 4, Lost: true, Devices: devices("new")},
			"new=Online old=Online"},
	} {
		r := requestFor("c", time.Minute)
		r.Handler, r.RequestID = "h", "q"
		out := Plan(Input{Node: "n", Configuration: r, Lists: []List{c.lost, c.back}, Known: known(r, false, "old")})
		if got := states(out.Devices); got != c.want {
			t.Errorf("%s: devices %q, want %q", c.name, got, c.want)
		}
	}
}

// A Configuration has a limit of devices, over all its handlers.
func TestPlanLimit(t *testing.T) {
	r := requestFor("c", time.Minute)
	missing := func(k map[string]Known) map[string]Known {
		for name, d := range k {
			d.Missing, d.State = true, v0.DeviceOffline
			k[name] = d
		}
		return k
	}
	for _, c := range []struct {
		name  string
		lists []List
		known map[string]Known
		want  string
		says  string
	}{
		{"as many as there may be", []List{{Endpoint: "a", Devices: devices("1", "2")}, {Endpoint: "b", Devices: devices("2")}}, nil,
			"1=Online 2=Online", ""},
		{"known ones stay", []List{{Endpoint: "a", Devices: devices("new")}, {Endpoint: "b", Devices: devices("1", "2")}},
			known(r, false, "1", "2"), "1=Online 2=Online", "1 devices are left out"},
		{"missing ones go first", []List{{Endpoint: "a", Devices: devices("new", "newer")}}, missing(known(r, false, "1")),
			"new=Online newer=Online", ""},
		{"over all endpoints", []List{{Endpoint: "a", Devices: devices("1", "2")}, {Endpoint: "b", Devices: devices("3", "4")}},
			known(r, false, "1", "2"), "1=Online 2=Online", "2 devices are left out"},
	} {
		out := Plan(Input{Node: "n", Configuration: r, Lists: c.lists, Known: c.known, Limit: 2})
		if got := states(out.Devices); got != c.want {
			t.Errorf("%s: devices %q, want %q", c.name, got, c.want)
		}
		var says []string
		for _, err := range out.Collisions {
			says = append(says, err.Error())
		}
		if got := strings.Join(says, "; "); (got == "") != (c.says == "") || !strings.Contains(got, c.says) {
			t.Errorf("%s: it says %q, want %q", c.name, got, c.says)
		}
	}
}

func TestPlanPrefersLiveSources(t *testing.T) {
	d := func(v string) []discovery.Device {
		return []discovery.Device{{ID: "x", Properties: map[string]string{"V": v}}}
	}
	out := Plan(Input{Node: "n", Configuration: requestFor("c", 0), Lists: []List{
		{Endpoint: "a", Lost: true, Void: true, Devices: d("old")},
		{Endpoint: "b", Devices: d("new")},
	}})
	for _, k := range out.Devices {
		if k.Reported.Properties["V"] != "new" || !k.Usable {
			t.Errorf("got %+v, want what the live endpoint says", k)
		}
	}
}

// Of several endpoints that list a device, the first has it while it lives, not
// the one whose name comes first.
func TestPlanKeepsTheHolder(t *testing.T) {
	list := func(endpoint string) List {
		return List{Endpoint: endpoint, Devices: []discovery.Device{{ID: "x", Properties: map[string]string{"OF": endpoint}}}}
	}
	lost := func(s List, at time.Duration) List { s.Lost, s.LostAt = true, at; return s }
	without := func(s List) List { s.Devices = nil; return s }
	a, u := list("aaa"), list("udev")
	for _, c := range []struct {
		name   string
		holder string // known before
		saved  bool   // not known, but in the checkpoint
		lists  []List
		up     time.Duration
		of     string // the endpoint as which the device is
		then   string // the holder
		next   time.Duration
	}{
		{name: "the first", lists: []List{u}, of: "udev", then: "udev"},
		{name: "a second", holder: "udev", lists: []List{a, u}, of: "udev", then: "udev"},
		{name: "and the other way round", holder: "aaa", lists: []List{a, u}, of: "aaa", then: "aaa"},
		{name: "the first does not list it any more", holder: "udev", lists: []List{a, without(u)}, of: "aaa", then: "aaa"},
		{name: "the first is gone", holder: "udev", lists: []List{a}, of: "aaa", then: "aaa"},
		{name: "the first is waited for", holder: "udev", lists: []List{a, lost(u, time.Minute)}, up: time.Minute, of: "udev", then: "udev", next: time.Minute + holderGrace},
		{name: "but not long; it stays the first", holder: "udev", lists: []List{a, lost(u, 0)}, up: holderGrace, of: "aaa", then: "udev", next: HandlerGrace},
		{name: "until it is given up", holder: "udev", lists: []List{a, lost(u, 0)}, up: HandlerGrace, of: "aaa", then: "aaa"},
		{name: "all are gone for long", holder: "udev", lists: []List{lost(a, 0), lost(u, 0)}, up: time.Minute, of: "udev", then: "udev", next: HandlerGrace},
		{name: "after a restart", saved: true, holder: "udev", lists: []List{lost(a, 0), lost(u, 0)}, of: "udev", then: "udev", next: holderGrace},
		{name: "after a restart the second is faster", saved: true, holder: "udev", lists: []List{a, lost(u, 0)}, of: "udev", then: "udev", next: holderGrace},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := Input{Node: "n", Configuration: requestFor("c", 0), Lists: c.lists, Up: c.up}
			name := v0.InstanceName("c", v0.DeviceHash("x", "n", false))
			if c.saved {
				in.Holders = map[string]string{"x": c.holder}
			} else if c.holder != "" {
				in.Known = map[string]Known{name: {Holder: c.holder, Device: Device{Reported: discovery.Device{ID: "x"}}}}
			}
			out := Plan(in)
			got := out.Devices[name]
			if of := got.Reported.Properties["OF"]; of != c.of || got.Holder != c.then {
				t.Errorf("the device is as of %q and %q has it, want %q and %q", of, got.Holder, c.of, c.then)
			}
			if out.Next != c.next {
				t.Errorf("next %v, want %v", out.Next, c.next)
			}
		})
	}
}

// collide finds two ids with one hash: 24 bits make that quick.
func collide(t *testing.T) (string, string) {
	seen := map[string]string{}
	for i := range 200_000 {
		id := "device-" + string(rune('a'+i%26)) + time.Duration(i).String()
		h := v0.DeviceHash(id, "n", false)
		if other, ok := seen[h]; ok {
			return other, id
		}
		seen[h] = id
	}
	t.Fatal("no collision found")
	return "", ""
}
