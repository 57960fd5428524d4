package publish

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/agent/inventory"
)

func TestConcerns(t *testing.T) {
	for _, c := range []struct {
		name string
		set  func(*v0.Instance)
		want bool
	}{
		{"other nodes", func(*v0.Instance) {}, false},
		{"among the nodes", func(o *v0.Instance) { o.Spec.Nodes = []string{"b", "a"} }, true},
		{"holds a slot", func(o *v0.Instance) { o.Spec.DeviceUsage = map[string]string{"x-0": "b", "x-1": "a"} }, true},
		{"holds one through the other door", func(o *v0.Instance) { o.Spec.DeviceUsage = map[string]string{"x-0": "C:x-0:a"} }, true},
		{"only in a value that cannot be read", func(o *v0.Instance) { o.Spec.DeviceUsage = map[string]string{"x-0": "C::a:a"} }, false},
		{"has said something", func(o *v0.Instance) { o.Status.Nodes = []v0.InstanceNode{{Name: "a"}} }, true},
		{"upstream's finalizer", func(o *v0.Instance) { o.Finalizers = []string{"a"} }, true},
	} {
		o := published("a", deviceFor("b", true, nil), "b", "c")
		c.set(o)
		if got := concerns("a", o); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

// Of shared Instances that are not this node's, the name is kept and nothing
// else, until one of them comes to matter.
func TestOthersInstancesAreNotKept(t *testing.T) {
	const foreign = 50
	f := newFakeAPI()
	device := func(i int) inventory.Device {
		d := deviceFor("a", true, map[string]string{"K": "1"})
		d.Reported.ID = fmt.Sprint("device-", i)
		d.Instance.Name = v0.InstanceName("cam", v0.DeviceHash(d.Reported.ID, "", true))
		return d
	}
	for i := range foreign {
		o := published("a", device(i), "b")
		o.Spec.BrokerProperties["K"] = strings.Repeat("x", 100_000)
		f.objects[nameOf(o)] = o
	}
	mine := published("a", device(foreign), "b", "a")
	f.objects[nameOf(mine)] = mine

	inBubble(t, f, func(p *Publisher) {
		known := func(what string, observed, unread int) {
			t.Helper()
			synctest.Wait()
			p.mu.Lock()
			defer p.mu.Unlock()
			if len(p.observed) != observed || len(p.unread) != unread {
				t.Errorf("%s: %d Instances are kept and %d names, want %d and %d", what, len(p.observed), len(p.unread), observed, unread)
			}
		}
		known("at first", 1, foreign)

		// A device of one of those names is not a new one.
		p.DeviceChanged(device(7))
		known("with one that this node sees too", 2, foreign-1)
		f.mu.Lock()
		applied := f.applied[device(7).Instance.Name]
		f.mu.Unlock()
		if !strings.Contains(applied, `"uid":"uid-1"`) || !strings.Contains(applied, strings.Repeat("x", 100_000)) {
			t.Errorf("it was made as if there were none: %.500q", applied)
		}

		// While the API server is away it waits, and is not made anew either.
		f.setAway(true)
		p.DeviceChanged(device(8))
		known("away", 2, foreign-1)
		f.setAway(false)
		p.APIReachable(true)
		known("back", 3, foreign-2)

		// One that is gone is forgotten, and can be made.
		f.mu.Lock()
		delete(f.objects, device(9).Instance)
		f.mu.Unlock()
		p.DeviceChanged(device(9))
		known("made anew", 4, foreign-3)
	})
}

// The answer to a request may come after the watch has said that the Instance is
// gone, or has changed since.
func TestLearn(t *testing.T) {
	d := deviceFor("a", true, nil)
	version := func(v string) *v0.Instance {
		return with(published("a", d, "b", "a"), func(o *v0.Instance) { o.ResourceVersion = v })
	}
	for _, c := range []struct {
		name   string
		watch  func(*watchObserver)
		answer *v0.Instance
		want   string // the version that is known then; "" is gone
	}{
		{"the watch is behind", func(w *watchObserver) { w.Changed(version("5")) }, version("7"), "7"},
		{"the watch is ahead", func(w *watchObserver) { w.Changed(version("9")) }, version("7"), "9"},
		{"deleted since", func(w *watchObserver) { w.Changed(version("7")); w.Deleted(version("8")) }, version("7"), ""},
		{"deleted and made again since", func(w *watchObserver) { w.Changed(version("6")); w.Deleted(version("8")) }, version("10"), "10"},
		{"not in a later list", func(w *watchObserver) { w.Replaced(nil, "8") }, version("7"), ""},
		{"made after the list", func(w *watchObserver) { w.Replaced(nil, "5") }, version("7"), "7"},
		{"of the other watch", func(w *watchObserver) { w.p.watches[0].Replaced(nil, "8") }, version("7"), "7"},
		{"its name is known", func(w *watchObserver) {
			o := with(version("7"), func(o *v0.Instance) { o.Spec.Nodes = []string{"b"} })
			w.p.trimWatched(o)
			w.Replaced([]*v0.Instance{o}, "8")
		}, version("7"), "7"},
	} {
		p := New(Options{Node: "a", API: newFakeAPI()})
		c.watch(p.watches[1])
		p.mu.Lock()
		o := p.learn(c.answer)
		known := p.observed[d.Instance]
		p.mu.Unlock()
		switch {
		case c.want == "":
			if o != nil || known != nil {
				t.Errorf("%s: %+v, known as %+v", c.name, o, known)
			}
		case o == nil || known == nil || o != known.object || o.ResourceVersion != c.want:
			t.Errorf("%s: %+v, known as %+v", c.name, o, known)
		}
	}
}
