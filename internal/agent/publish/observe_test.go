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
