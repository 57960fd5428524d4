package inventory

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/types"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/internal/agent/registry"
)

// A handler that comes later, by whatever name, does not get at the devices of
// one that lives; nor by being faster when the agent starts anew.
func TestALaterHandlerChangesNothing(t *testing.T) {
	says := func(v *Inventory, endpoint string) {
		v.Reported(registry.Report{Configuration: cfg, RequestID: "q", Endpoint: endpoint,
			Devices: []discovery.Device{{ID: "x", Properties: map[string]string{"OF": endpoint}}}})
	}
	of := func(v *Inventory) string {
		d, _ := v.Device(adopted("x", nil).Instance)
		return d.Reported.Properties["OF"]
	}
	store := &memory{}
	v, r, _ := start(t, store, "boot")
	ask(v, "q")
	says(v, "/var/lib/akri/udev.sock")
	says(v, "/var/lib/akri/aaa0.sock")
	want(t, r, "+x Online usable=true")
	v.save()

	v, r, _ = start(t, store, "boot")
	want(t, r, "+x Online usable=true")
	ask(v, "q")
	says(v, "/var/lib/akri/aaa0.sock")
	want(t, r, "")
	if got := of(v); got != "/var/lib/akri/udev.sock" {
		t.Errorf("x is as of %s", got)
	}
	says(v, "/var/lib/akri/udev.sock")
	want(t, r, "")

	v.Lost(registry.Loss{Configuration: cfg, RequestID: "q", Endpoint: "/var/lib/akri/udev.sock"})
	want(t, r, "")
	says(v, "/var/lib/akri/udev.sock")
	v.Reported(registry.Report{Configuration: cfg, RequestID: "q", Endpoint: "/var/lib/akri/udev.sock"})
	if got := of(v); got != "/var/lib/akri/aaa0.sock" {
		t.Errorf("x is as of %s, but aaa0.sock alone lists it", got)
	}
}

// What was saved is judged by the rules of today, which the status says, and does
// not come back by way of its Instance.
func TestRestoredDevicesAreVetted(t *testing.T) {
	store := &memory{}
	v, _, _ := start(t, store, "boot")
	ask(v, "q")
	bad := discovery.Device{ID: "x", Properties: map[string]string{"BAD": ""}}
	v.Reported(registry.Report{Configuration: cfg, RequestID: "q", Endpoint: "e", Devices: append(devices("y"), bad)})
	v.save()

	v, r, _ := start(t, store, "boot")
	want(t, r, "+y Online usable=true")
	ask(v, "q")
	if s := r.status(); s.Devices != 1 || !strings.Contains(s.Message, `e: device "x": BAD`) {
		t.Errorf("status %+v, want 1 device, and what is wrong with x", s)
	}
	v.Adopt([]Device{adopted("x", nil), adopted("y", nil)})
	want(t, r, "-x")
	report(v, "q", "e", "x", "y")
	want(t, r, "+x Online usable=true")
	if s := r.status(); strings.Contains(s.Message, "BAD") {
		t.Errorf("status %q tells of what is over", s.Message)
	}
}

// Instances are written by others as well. Of their properties, those of the
// Configuration are the user's, who may use any name.
func TestAdoptedDevicesAreVetted(t *testing.T) {
	v, r, _ := start(t, nil, "")
	ask(v, "q")
	v.Adopt([]Device{adopted("x", map[string]string{"BAD": ""}), adopted("y", map[string]string{"GOOD": ""})})
	want(t, r, "-x, +y Online usable=false")
	if s := r.status(); !strings.Contains(s.Message, `adopted:local: device "x": BAD`) {
		t.Errorf("status %q, want what is wrong with x", s.Message)
	}
	report(v, "q", "e", "y")
	if s := r.status(); strings.Contains(s.Message, "BAD") {
		t.Errorf("status %q tells of what is over", s.Message)
	}

	v, r, _ = start(t, nil, "")
	v.SetConfiguration(Configuration{Name: cfg, Owner: "uid", Handler: "h", RequestID: "q", BrokerProperties: map[string]string{"BAD": "of the user"}})
	v.Adopt([]Device{adopted("x", map[string]string{"BAD": "of the user"})})
	want(t, r, "+x Online usable=false")
}

// Names that are not the first stay over a restart, with a checkpoint and
// without.
func TestNamesStay(t *testing.T) {
	a, b := collide(t)
	other := func(id string) Device {
		d := adopted(id, nil)
		d.Instance.Name = v0.InstanceName("c", v0.NthDeviceHash(id, "n", false, 1))
		return d
	}
	store := &memory{}
	v, _, _ := start(t, store, "boot")
	ask(v, "q")
	report(v, "q", "e", b)
	report(v, "q", "e", a, b)
	is := func() {
		t.Helper()
		for _, d := range []Device{adopted(b, nil), other(a)} {
			if got, _ := v.Device(d.Instance); got.Reported.ID != d.Reported.ID {
				t.Errorf("%s is that of %q, want %q", d.Instance.Name, got.Reported.ID, d.Reported.ID)
			}
		}
	}
	is()
	v.save()
	v, _, _ = start(t, store, "boot")
	is()
	ask(v, "q")
	report(v, "q", "e", a, b)
	is()

	v, _, _ = start(t, nil, "")
	ask(v, "q")
	v.Adopt([]Device{other(a), adopted(b, nil)})
	is()
	report(v, "q", "e", a, b)
	is()

	// The API knows better: this one was called otherwise.
	v, _, _ = start(t, nil, "")
	ask(v, "q")
	report(v, "q", "e", a)
	d, _ := v.Device(adopted(a, nil).Instance)
	if !v.Named(d, d.Instance.Name, b) || v.Named(other(a), d.Instance.Name, b) {
		t.Error("a device has the name of another's Instance")
	}
	report(v, "q", "e", a, b)
	is()

	// It changes its mind: the last word counts.
	d, _ = v.Device(adopted(b, nil).Instance)
	nth := func(n int) string { return v0.InstanceName("c", v0.NthDeviceHash(b, "n", false, n)) }
	for _, n := range []int{3, 2, 3, 0} {
		v.Named(d, nth(n), b)
		if d, _ := v.Device(types.NamespacedName{Namespace: "ns", Name: nth(n)}); d.Reported.ID != b {
			t.Errorf("the device has not name %d", n)
		}
	}
	is()
}

func adopted(id string, properties map[string]string) Device {
	return Device{
		Instance:      types.NamespacedName{Namespace: "ns", Name: v0.InstanceName("c", v0.DeviceHash(id, "n", false))},
		Configuration: "c", Reported: discovery.Device{ID: id, Properties: properties},
	}
}
