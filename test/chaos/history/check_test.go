package history

import (
	"slices"
	"strings"
	"testing"
	"time"

	v0 "github.com/akri-go/akri/api/v0"
)

var (
	limits = Limits{MaxDelay: 10 * time.Second, FindTimeout: 30 * time.Second, Replacements: 2, FaultPeriod: 20 * time.Second}
	local  = Device{Configuration: "c", ID: "/dev/x"}
	shared = Device{Configuration: "c", ID: "camera", Shared: true}
)

func at(seconds int) time.Time { return time.Unix(1000+int64(seconds), 0) }

func came(s int, d Device, node string) Presence { return Presence{at(s), d, node, true} }
func went(s int, d Device, node string) Presence { return Presence{at(s), d, node, false} }

// found is a version of the Instance c-000001; usage is slot=holder.
func found(s int, uid string, d Device, capacity int, nodes string, usage ...string) Instance {
	i := Instance{At: at(s), Name: "c-000001", UID: uid, Device: d, Capacity: capacity, Nodes: strings.Split(nodes, ","), Usage: map[string]v0.Usage{}}
	for _, u := range usage {
		slot, node, _ := strings.Cut(u, "=")
		i.Usage["c-000001-"+slot] = v0.Usage{Node: node, Door: v0.DoorInstance}
	}
	return i
}

func gone(s int, i Instance) Instance {
	i.At, i.Gone = at(s), true
	return i
}

func broker(s int, uid, phase string) Pod {
	return Pod{At: at(s), Name: "c-000001-pod", UID: uid, Node: "a", Instance: "c-000001", Phase: phase}
}

func deleting(s int, uid string) Pod {
	p := broker(s, uid, "Running")
	p.Deleting = true
	return p
}

// polls are the answers of a kubelet once a second, in which Pods have slots:
// pod=slot.
func polls(from, to int, node string, holds ...string) (all []Poll) {
	for s := from; s <= to; s++ {
		p := Poll{At: at(s), Node: node}
		for _, h := range holds {
			pod, slot, _ := strings.Cut(h, "=")
			p.Holds = append(p.Holds, Hold{"ns/" + pod, "akri.sh/c-000001", "c-000001-" + slot})
		}
		all = append(all, p)
	}
	return all
}

func TestCheck(t *testing.T) {
	x := found(1, "u1", local, 1, "a")
	for _, c := range []struct {
		name string
		h    History
		want []string // rules
	}{
		{name: "nothing"},
		{name: "a device comes and goes", h: History{
			Presences: []Presence{came(0, local, "a"), went(50, local, "a")},
			Instances: []Instance{x, found(3, "u1", local, 1, "a", "0=a"), gone(51, x)},
			Pods:      []Pod{broker(2, "p1", "Pending"), broker(4, "p1", "Running"), deleting(51, "p1")},
			Polls:     slices.Concat(polls(3, 52, "a", "p=0"), polls(53, 90, "a")),
		}},
		{name: "two Instances for a shared device", h: History{
			Presences: []Presence{came(0, shared, "a"), came(0, shared, "b")},
			Instances: []Instance{found(1, "u1", shared, 1, "a"), found(2, "u2", shared, 1, "b")},
		}, want: []string{"doubled"}},
		{name: "two Instances for a local device of one node", h: History{
			Presences: []Presence{came(0, local, "a")},
			Instances: []Instance{x, found(2, "u2", local, 1, "a")},
		}, want: []string{"doubled"}},
		{name: "a local device of each of two nodes", h: History{
			Presences: []Presence{came(0, local, "a"), came(0, local, "b")},
			Instances: []Instance{x, found(2, "u2", local, 1, "b")},
		}},
		{name: "made again with its device there", h: History{
			Presences: []Presence{came(0, local, "a")},
			Instances: []Instance{x, gone(40, x), found(41, "u2", local, 1, "a")},
		}, want: []string{"lost"}},
		{name: "a shared device that another node has", h: History{
			Presences: []Presence{came(0, shared, "a"), came(0, shared, "b"), went(20, shared, "a")},
			Instances: []Instance{found(1, "u1", shared, 1, "a,b"), gone(21, found(1, "u1", shared, 1, "a,b"))},
		}, want: []string{"lost", "not found"}},
		{name: "gone and back while nobody looked", h: History{
			Presences: []Presence{came(0, local, "a"), went(38, local, "a"), came(39, local, "a")},
			Instances: []Instance{x, gone(40, x), found(41, "u2", local, 1, "a")},
		}},
		{name: "back without its device", h: History{
			Presences: []Presence{came(0, local, "a"), went(20, local, "a"), came(40, local, "a")},
			Instances: []Instance{x, gone(21, x), found(23, "u2", local, 1, "a")},
		}, want: []string{"came back"}},
		{name: "back with its device", h: History{
			Presences: []Presence{came(0, local, "a"), went(20, local, "a"), came(24, local, "a")},
			Instances: []Instance{x, gone(21, x), found(23, "u2", local, 1, "a")},
		}},
		{name: "back with its device, which left again", h: History{
			Presences: []Presence{came(0, local, "a"), went(20, local, "a"), came(22, local, "a"), went(23, local, "a")},
			Instances: []Instance{x, gone(21, x), found(24, "u2", local, 1, "a"), gone(25, found(24, "u2", local, 1, "a"))},
		}},
		{name: "back just after its device, which left again", h: History{
			Presences: []Presence{came(0, local, "a"), went(18, local, "a"), came(20, local, "a"), went(22, local, "a")},
			Instances: []Instance{x, gone(21, x), found(21, "u2", local, 1, "a")},
		}},
		{name: "never found", h: History{
			Presences: []Presence{came(0, local, "a")},
		}, want: []string{"not found"}},
		{name: "found late", h: History{
			Presences: []Presence{came(0, local, "a")},
			Instances: []Instance{found(31, "u1", local, 1, "a")},
		}, want: []string{"not found"}},
		{name: "left before it had to be found", h: History{
			Presences: []Presence{came(0, local, "a"), went(29, local, "a")},
		}},
		{name: "found on the other node only", h: History{
			Presences: []Presence{came(0, local, "a")},
			Instances: []Instance{found(1, "u1", local, 1, "b")},
		}, want: []string{"not found"}},
		{name: "more holders than slots", h: History{
			Presences: []Presence{came(0, shared, "a")},
			Instances: []Instance{found(1, "u1", shared, 1, "a", "0=a", "1=b")},
		}, want: []string{"capacity"}},
		{name: "more containers than slots", h: History{
			Presences: []Presence{came(0, shared, "a")},
			Instances: []Instance{found(1, "u1", shared, 1, "a,b", "0=a")},
			Polls:     slices.Concat(polls(2, 5, "a", "p=0"), polls(5, 9, "b", "q=1")),
		}, want: []string{"capacity"}},
		{name: "one slot on two nodes", h: History{
			Presences: []Presence{came(0, shared, "a")},
			Instances: []Instance{found(1, "u1", shared, 2, "a,b", "0=a")},
			Polls:     append(polls(2, 5, "a", "p=0"), polls(4, 9, "b", "q=0")...),
		}, want: []string{"slot given twice"}},
		{name: "one slot for two Pods of a node", h: History{
			Presences: []Presence{came(0, local, "a")},
			Instances: []Instance{found(1, "u1", local, 2, "a", "0=a")},
			Polls:     polls(2, 5, "a", "p=0", "q=0"),
		}, want: []string{"slot given twice"}},
		{name: "one slot for one after the other", h: History{
			Presences: []Presence{came(0, shared, "a")},
			Instances: []Instance{found(1, "u1", shared, 1, "a,b", "0=a")},
			Polls:     append(polls(2, 5, "a", "p=0"), polls(6, 9, "b", "q=0")...),
		}},
		{name: "in use and never recorded", h: History{
			Presences: []Presence{came(0, local, "a")},
			Instances: []Instance{x},
			Polls:     polls(2, 14, "a", "p=0"),
		}, want: []string{"not recorded"}},
		{name: "in use and recorded as another node's", h: History{
			Presences: []Presence{came(0, shared, "a")},
			Instances: []Instance{found(1, "u1", shared, 1, "a,b", "0=a"), found(20, "u1", shared, 1, "a,b", "0=b")},
			Polls:     polls(2, 34, "a", "p=0"),
		}, want: []string{"not recorded"}},
		{name: "in use and recorded a little later", h: History{
			Presences: []Presence{came(0, local, "a")},
			Instances: []Instance{x, found(9, "u1", local, 1, "a", "0=a")},
			Polls:     polls(2, 60, "a", "p=0"),
		}},
		{name: "a broker is stopped for nothing", h: History{
			Presences: []Presence{came(0, local, "a")},
			Instances: []Instance{x},
			Faults:    []Fault{{at(29), "agent", "a", ""}},
			Pods:      []Pod{broker(2, "p1", "Pending"), broker(4, "p1", "Running"), deleting(30, "p1"), deleting(31, "p1")},
		}, want: []string{"broker ended"}},
		{name: "a broker is stopped with its device, which comes back before it has ended", h: History{
			Presences: []Presence{came(0, local, "a"), went(28, local, "a"), came(29, local, "a")},
			Instances: []Instance{x},
			Pods:      []Pod{broker(4, "p1", "Running"), deleting(30, "p1"), deleting(45, "p1")},
		}},
		{name: "a broker fails", h: History{
			Presences: []Presence{came(0, local, "a")},
			Instances: []Instance{x},
			Pods:      []Pod{broker(4, "p1", "Running"), broker(30, "p1", "Failed")},
		}, want: []string{"broker ended"}},
		{name: "the test deletes a broker", h: History{
			Presences: []Presence{came(0, local, "a")},
			Instances: []Instance{x},
			Faults:    []Fault{{at(29), "delete", "a", "c-000001-pod p1"}},
			Pods:      []Pod{broker(4, "p1", "Running"), deleting(30, "p1"), broker(31, "p2", "Pending")},
		}},
		{name: "a broker's device leaves", h: History{
			Presences: []Presence{came(0, local, "a"), went(29, local, "a")},
			Instances: []Instance{x, gone(30, x)},
			Pods:      []Pod{broker(4, "p1", "Running"), deleting(30, "p1")},
		}},
		{name: "a broker is refused again and again", h: History{
			Presences: []Presence{came(0, local, "a")},
			Instances: []Instance{x},
			Pods:      []Pod{broker(30, "p1", "Failed"), broker(31, "p2", "Failed"), broker(32, "p3", "Failed")},
		}, want: []string{"restart loop"}},
		{name: "a broker is refused while the kubelet starts", h: History{
			Presences: []Presence{came(0, local, "a")},
			Instances: []Instance{x},
			Faults:    []Fault{{at(29), "kubelet", "a", ""}},
			Pods:      []Pod{broker(30, "p1", "Failed"), broker(31, "p2", "Failed"), broker(32, "p3", "Failed")},
		}},
		{name: "a Job that changes", h: History{
			Instances: []Instance{x},
			Jobs:      []Job{{at(2), "c-000001-1-job", "j1", "c-000001", "u1"}, {at(3), "c-000001-1-job", "j1", "c-000001", "u1"}},
		}},
		{name: "a Job again for the next Instance", h: History{
			Presences: []Presence{came(0, local, "a"), went(4, local, "a"), came(6, local, "a")},
			Instances: []Instance{x, gone(5, x), found(6, "u2", local, 1, "a")},
			Jobs:      []Job{{at(2), "c-000001-1-job", "j1", "c-000001", "u1"}, {at(7), "c-000001-1-job", "j2", "c-000001", "u2"}},
		}},
		{name: "a second Job", h: History{
			Instances: []Instance{x},
			Jobs:      []Job{{at(2), "c-000001-1-job", "j1", "c-000001", "u1"}, {at(3), "c-000001-1-job", "j2", "c-000001", "u1"}},
		}, want: []string{"Job made twice"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.h.End = at(100)
			var got []string
			for _, v := range Check(&c.h, limits) {
				got = append(got, v.Rule)
				if story := c.h.Of(v.Object); len(story) == 0 && v.Rule != "not found" {
					t.Errorf("there is no story of %s", v.Object)
				}
			}
			slices.Sort(got)
			if !slices.Equal(got, c.want) {
				t.Errorf("violations %v, want %v:\n%v", got, c.want, Check(&c.h, limits))
			}
		})
	}
}

func TestStory(t *testing.T) {
	h := History{
		Presences: []Presence{came(0, local, "a"), came(0, shared, "a")},
		Instances: []Instance{found(1, "u1", local, 1, "a")},
		Faults:    []Fault{{at(3), "agent", "b", ""}},
		Pods:      []Pod{broker(4, "p1", "Running")},
		Polls:     polls(4, 6, "a", "c-000001-pod=0"),
	}
	for _, object := range []string{"c-000001", "c-000001-pod"} {
		got := strings.Join(h.Of(object), "\n")
		last := -1
		for _, fact := range []string{"device /dev/x on a", "instance c-000001", "fault agent b", "pod c-000001-pod", "has c-000001-0"} {
			i := strings.Index(got, fact)
			if i <= last {
				t.Errorf("of %s: %q is missing or too early in\n%s", object, fact, got)
			}
			last = i
		}
		if strings.Contains(got, "camera") {
			t.Errorf("of %s: there is another device in\n%s", object, got)
		}
	}
}
