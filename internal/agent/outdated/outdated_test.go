package outdated

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/internal/agent/grant"
	"github.com/akri-go/akri/internal/agent/inventory"
	"github.com/akri-go/akri/internal/agent/ledger"
	"github.com/akri-go/akri/internal/agent/podresources"
)

var cam = types.NamespacedName{Namespace: "ns", Name: "cam-00000a"}

func device(node string, properties map[string]string) inventory.Device {
	return inventory.Device{
		Instance: cam, Configuration: "cam", Usable: true,
		Reported: discovery.Device{ID: "a", Properties: properties, DeviceSpecs: []discovery.DeviceSpec{
			{ContainerPath: node, HostPath: node, Permissions: "rw"},
		}},
	}
}

func given(pod types.UID, node string, envs map[string]string) podresources.Given {
	return podresources.Given{
		Pod: pod, Resource: "akri.sh/cam-00000a", Slots: []string{"cam-00000a-0"},
		Grant: grant.Grant{Env: envs, DeviceSpecs: []discovery.DeviceSpec{{ContainerPath: node, HostPath: node}}},
	}
}

// fixture is what a Finder looks at.
type fixture struct {
	mu     sync.Mutex
	claims []ledger.Claim
	given  []podresources.Given
	pods   map[types.UID]types.NamespacedName
	err    error
	links  map[string]string
	reads  int
	told   []string
}

func (w *fixture) finder() *Finder {
	return New(Options{
		Claims: func() []ledger.Claim { w.mu.Lock(); defer w.mu.Unlock(); return w.claims },
		Given: func() ([]podresources.Given, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.reads++
			return w.given, nil
		},
		Pods: func(context.Context) (map[types.UID]types.NamespacedName, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.pods, w.err
		},
		// A link leads where the fixture says; else a path is its own end.
		Resolve: func(d discovery.Device) (discovery.Device, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			d.DeviceSpecs = slices.Clone(d.DeviceSpecs)
			for i, s := range d.DeviceSpecs {
				if end, ok := w.links[s.HostPath]; ok && end == "" {
					return d, errors.New(s.HostPath + " is not there")
				} else if ok {
					d.DeviceSpecs[i].HostPath = end
				}
			}
			return d, nil
		},
		Tell: func(instance types.NamespacedName, slots []v0.OutdatedSlot) {
			text := instance.Name + ":"
			for _, s := range slots {
				text += fmt.Sprintf(" %s %s/%s %s %s", s.Slot, s.PodNamespace, s.PodName, s.PodUID, s.Change)
			}
			w.mu.Lock()
			defer w.mu.Unlock()
			w.told = append(w.told, text)
		},
		Logger: slog.New(slog.DiscardHandler),
	})
}

func (w *fixture) want(t *testing.T, want ...string) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if diff := cmp.Diff(want, w.told); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
	w.told = nil
}

func plain() *fixture {
	return &fixture{
		claims: []ledger.Claim{{Instance: cam, Slot: 0, Door: v0.DoorInstance}},
		given:  []podresources.Given{given("u1", "/dev/x0", nil)},
		pods:   map[types.UID]types.NamespacedName{"u1": {Namespace: "ns", Name: "p"}},
	}
}

// A device changes, its Pod is replaced, and all is well again.
func TestReplug(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := plain()
		f := w.finder()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- f.Run(ctx) }()
		step := func() {
			time.Sleep(2 * lookDelay) // fake
			synctest.Wait()
		}

		f.DeviceChanged(device("/dev/x0", nil))
		step()
		w.want(t, "cam-00000a:")

		gone := device("/dev/x0", nil)
		gone.Usable, gone.State = false, v0.DeviceOffline
		f.DeviceChanged(gone)
		step()
		f.DeviceChanged(device("/dev/x1", nil))
		step()
		w.want(t, "cam-00000a: cam-00000a-0 ns/p u1 device node /dev/x1 instead of /dev/x0")

		f.Kick()
		step()
		w.want(t) // nothing new

		w.mu.Lock()
		w.given = []podresources.Given{given("u2", "/dev/x1", nil)}
		w.mu.Unlock()
		f.Kick()
		step()
		w.want(t, "cam-00000a:")
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// What a link leads to is what a container is given: as long as it leads there
// nothing has changed, and while it leads nowhere what was said stays said.
func TestLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := plain()
		w.links = map[string]string{"/dev/link": "/dev/x0"}
		f := w.finder()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- f.Run(ctx) }()
		leads := func(to string) {
			w.mu.Lock()
			w.links["/dev/link"] = to
			w.mu.Unlock()
			f.Kick()
			time.Sleep(2 * lookDelay) // fake
			synctest.Wait()
		}

		d := device("/dev/x0", nil)
		d.Reported.DeviceSpecs[0].HostPath = "/dev/link"
		f.DeviceChanged(d)
		leads("/dev/x0")
		w.want(t, "cam-00000a:")
		leads("/dev/x1")
		w.want(t, "cam-00000a: cam-00000a-0 ns/p u1 device node /dev/x1 instead of /dev/x0")
		leads("")
		w.want(t)
		w.mu.Lock()
		w.links["/dev/link"] = "/dev/x0"
		w.mu.Unlock()
		time.Sleep(retryDelay + lookDelay) // fake: it looks again by itself
		synctest.Wait()
		w.want(t, "cam-00000a:")
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// The API server is away: it is said when it is back.
func TestCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := plain()
		w.err = errors.New("no API server")
		f := w.finder()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- f.Run(ctx) }()
		f.DeviceChanged(device("/dev/x1", nil))
		time.Sleep(3 * retryDelay)
		synctest.Wait()
		w.want(t)
		w.mu.Lock()
		w.err = nil
		w.mu.Unlock()
		time.Sleep(2 * retryDelay)
		synctest.Wait()
		w.want(t, "cam-00000a: cam-00000a-0 ns/p u1 device node /dev/x1 instead of /dev/x0")
		cancel()
		<-done
	})
}

func TestLook(t *testing.T) {
	changed := "cam-00000a: cam-00000a-0 ns/p u1 device node /dev/x1 instead of /dev/x0"
	for _, tt := range []struct {
		name   string
		change func(*fixture, *inventory.Device)
		want   []string
		reads  int
	}{
		{"changed while the agent was away", func(*fixture, *inventory.Device) {}, []string{changed}, 1},
		{"nobody holds a slot", func(w *fixture, _ *inventory.Device) { w.claims = nil }, nil, 0},
		{"not heard of since the start", func(_ *fixture, d *inventory.Device) { d.Usable = false }, nil, 0},
		{"a Pod that is gone", func(w *fixture, _ *inventory.Device) { w.pods = nil }, []string{"cam-00000a:"}, 1},
		{"through the other door", func(w *fixture, _ *inventory.Device) { w.claims[0].Door = v0.DoorConfiguration }, []string{"cam-00000a:"}, 1},
		{"a slot that nobody holds any more", func(w *fixture, _ *inventory.Device) { w.claims[0].Slot = 1 }, []string{"cam-00000a:"}, 1},
		{"upstream's number of a slot", func(w *fixture, _ *inventory.Device) {
			w.claims[0].Door, w.claims[0].VirtualDevice = v0.DoorConfiguration, "0"
			w.given[0].Resource, w.given[0].Slots = "akri.sh/cam", []string{"0"}
		}, []string{"cam-00000a:"}, 1},
		{"nothing is on record", func(w *fixture, _ *inventory.Device) { w.given = nil }, []string{"cam-00000a:"}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w, d := plain(), device("/dev/x1", nil)
			tt.change(w, &d)
			f := w.finder()
			f.DeviceChanged(d)
			if err := f.look(t.Context()); err != nil {
				t.Fatal(err)
			}
			w.want(t, tt.want...)
			if w.reads != tt.reads {
				t.Errorf("the kubelet's record was read %d times, want %d", w.reads, tt.reads)
			}
		})
	}
}

// What changes all the time is no reason to replace a Pod.
func TestReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := plain()
		w.given[0] = given("u1", "/dev/x0", map[string]string{"SIGNAL_00000A": "0", "URL_00000A": "one"})
		f := w.finder()
		report := func(signal, url string, later time.Duration) {
			t.Helper()
			time.Sleep(later) // fake
			f.DeviceChanged(device("/dev/x0", map[string]string{"SIGNAL": signal, "URL": url}))
			if err := f.look(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		report("0", "one", 0)
		w.want(t, "cam-00000a:")
		report("1", "one", time.Minute)
		w.want(t, "cam-00000a: cam-00000a-0 ns/p u1 property SIGNAL has another value")
		report("2", "one", time.Minute)
		w.want(t)
		report("3", "one", time.Minute)
		w.want(t, "cam-00000a:") // it is a reading by now
		report("4", "two", time.Minute)
		w.want(t, "cam-00000a: cam-00000a-0 ns/p u1 property URL has another value")
		report("4", "one", time.Minute)
		w.want(t, "cam-00000a:")
		report("5", "one", 2*time.Hour) // quiet for long: it counts again
		w.want(t, "cam-00000a: cam-00000a-0 ns/p u1 property SIGNAL has another value")
	})
}

// A device that changes all the time keeps nobody from being heard.
func TestKickedWithoutEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := plain()
		f := w.finder()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- f.Run(ctx) }()
		f.DeviceChanged(device("/dev/x0", nil))
		time.Sleep(2 * lookDelay) // fake
		f.DeviceChanged(device("/dev/x1", nil))
		for i := range 10 {
			other := device("/dev/y0", map[string]string{"LEVEL": fmt.Sprint(i)})
			other.Instance.Name = "cam-00000b"
			f.DeviceChanged(other)
			time.Sleep(lookDelay / 5) // fake
		}
		w.want(t, "cam-00000a:", "cam-00000a: cam-00000a-0 ns/p u1 device node /dev/x1 instead of /dev/x0")
		w.mu.Lock()
		w.reads = 0
		w.mu.Unlock()
		for i := range 6000 {
			other := device("/dev/y0", map[string]string{"LEVEL": fmt.Sprint(i)})
			other.Instance.Name = "cam-00000b"
			f.DeviceChanged(other)
			time.Sleep(lookDelay / 5) // fake
		}
		if w.reads < 60 || w.reads > 90 {
			t.Errorf("the kubelet's record was read %d times in %v", w.reads, 1200*lookDelay)
		}
		cancel()
		<-done
	})
}

// A camera whose address has changed often has the last for long: then it counts,
// though nothing else happens.
func TestQuietAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := plain()
		w.given[0] = given("u1", "/dev/x0", map[string]string{"URL_00000A": "0"})
		f := w.finder()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- f.Run(ctx) }()
		for i := range 4 {
			f.DeviceChanged(device("/dev/x0", map[string]string{"URL": fmt.Sprint(i)}))
			time.Sleep(time.Minute) // fake
		}
		w.want(t, "cam-00000a:", "cam-00000a: cam-00000a-0 ns/p u1 property URL has another value", "cam-00000a:")
		time.Sleep(2 * time.Hour) // fake
		w.want(t, "cam-00000a: cam-00000a-0 ns/p u1 property URL has another value")
		if w.reads > 8 {
			t.Errorf("the kubelet's record was read %d times in two hours", w.reads)
		}
		cancel()
		<-done
	})
}
