package grant

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/internal/agent/inventory"
)

// stick returns a device with one device node.
func stick(hash, node string, change ...func(*inventory.Device)) inventory.Device {
	d := slotOf(hash, 0, map[string]string{"NODE": node, "SIGNAL": "1"}, nil,
		[]discovery.DeviceSpec{{ContainerPath: node, HostPath: node, Permissions: "rw"}}).Device
	for _, f := range change {
		f(&d)
	}
	return d
}

func TestChanges(t *testing.T) {
	a, b := "cam-00000a-0", "cam-00000b-0"
	mounts := func(host string) func(*inventory.Device) {
		return func(d *inventory.Device) {
			d.Reported.Mounts = []discovery.Mount{{ContainerPath: "/data", HostPath: host}}
		}
	}
	property := func(key, value string) func(*inventory.Device) {
		return func(d *inventory.Device) {
			d.Reported.Properties[key] = value
		}
	}
	for _, tt := range []struct {
		name     string
		was, now map[string]inventory.Device
		change   func(*Grant)
		want     map[string]string
	}{
		{name: "the same", was: map[string]inventory.Device{a: stick("00000a", "/dev/x0")}, now: map[string]inventory.Device{a: stick("00000a", "/dev/x0")}},
		{
			name: "another device node",
			was:  map[string]inventory.Device{a: stick("00000a", "/dev/x0")},
			now:  map[string]inventory.Device{a: stick("00000a", "/dev/x1")},
			want: map[string]string{a: "device node /dev/x1 instead of /dev/x0; property NODE has another value"},
		},
		{
			name: "two in one container have swapped",
			was:  map[string]inventory.Device{a: stick("00000a", "/dev/x0"), b: stick("00000b", "/dev/x1")},
			now:  map[string]inventory.Device{a: stick("00000a", "/dev/x1"), b: stick("00000b", "/dev/x0")},
			// The nodes of both are there as before; which is whose only the
			// properties say.
			want: map[string]string{a: "property NODE has another value", b: "property NODE has another value"},
		},
		{
			name: "of two, one has changed",
			was:  map[string]inventory.Device{a: stick("00000a", "/dev/x0"), b: stick("00000b", "/dev/x1")},
			now:  map[string]inventory.Device{a: stick("00000a", "/dev/x2"), b: stick("00000b", "/dev/x1")},
			want: map[string]string{a: "device node /dev/x2 instead of /dev/x0; property NODE has another value"},
		},
		{
			name: "of two, one is not known now",
			was:  map[string]inventory.Device{a: stick("00000a", "/dev/x0"), b: stick("00000b", "/dev/x1")},
			now:  map[string]inventory.Device{b: stick("00000b", "/dev/x1")},
		},
		{
			name: "one node at the same place",
			was:  map[string]inventory.Device{a: stick("00000a", "/dev/x0")},
			now: map[string]inventory.Device{a: stick("00000a", "/dev/x0", func(d *inventory.Device) {
				d.Reported.DeviceSpecs = []discovery.DeviceSpec{{ContainerPath: "/dev/x0", HostPath: "/dev/x9"}}
			})},
			want: map[string]string{a: "device node /dev/x9 instead of /dev/x0"},
		},
		{
			name: "a node more",
			was:  map[string]inventory.Device{a: stick("00000a", "/dev/x0")},
			now: map[string]inventory.Device{a: stick("00000a", "/dev/x0", func(d *inventory.Device) {
				d.Reported.DeviceSpecs = append(d.Reported.DeviceSpecs, discovery.DeviceSpec{ContainerPath: "/dev/y", HostPath: "/dev/y"})
			})},
			want: map[string]string{a: "device node /dev/y is new"},
		},
		{
			name: "no node any more",
			was:  map[string]inventory.Device{a: stick("00000a", "/dev/x0")},
			now:  map[string]inventory.Device{a: stick("00000a", "/dev/x0", func(d *inventory.Device) { d.Reported.DeviceSpecs = nil })},
			want: map[string]string{a: "device node /dev/x0 is no longer there"},
		},
		{
			name: "permissions and order are not the device",
			was:  map[string]inventory.Device{a: stick("00000a", "/dev/x0")},
			now: map[string]inventory.Device{a: stick("00000a", "/dev/x0", func(d *inventory.Device) {
				d.Reported.DeviceSpecs[0].Permissions = "r"
			})},
		},
		{
			name: "another mount",
			was:  map[string]inventory.Device{a: stick("00000a", "/dev/x0", mounts("/one"))},
			now:  map[string]inventory.Device{a: stick("00000a", "/dev/x0", mounts("/two"))},
			want: map[string]string{a: "mount /two instead of /one"},
		},
		{
			name: "an address that has changed",
			was:  map[string]inventory.Device{a: stick("00000a", "/dev/x0", property("URL", "rtsp://one"))},
			now:  map[string]inventory.Device{a: stick("00000a", "/dev/x0", property("URL", "rtsp://two"))},
			want: map[string]string{a: "property URL has another value"},
		},
		{
			name: "a reading",
			was:  map[string]inventory.Device{a: stick("00000a", "/dev/x0")},
			now:  map[string]inventory.Device{a: stick("00000a", "/dev/x0", property("SIGNAL", "2"))},
		},
		{
			name: "properties that are new or gone",
			was:  map[string]inventory.Device{a: stick("00000a", "/dev/x0", property("OLD", "1"))},
			now:  map[string]inventory.Device{a: stick("00000a", "/dev/x0", property("NEW", "1"))},
		},
		{
			name: "the Configuration's properties",
			was:  map[string]inventory.Device{a: stick("00000a", "/dev/x0", property("RATE", "1"))},
			now: map[string]inventory.Device{a: stick("00000a", "/dev/x0", property("RATE", "2"), func(d *inventory.Device) {
				d.BrokerProperties = map[string]string{"RATE": "60", "NODE": "mine"}
			})},
		},
		{
			name:   "upstream's answer has no more to it",
			was:    map[string]inventory.Device{a: stick("00000a", "/dev/x0")},
			now:    map[string]inventory.Device{a: stick("00000a", "/dev/x0")},
			change: func(g *Grant) { g.Env = map[string]string{"NODE_00000A": "/dev/x0"} },
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var slots []Slot
			var ids []string
			for id, d := range tt.was {
				slots = append(slots, Slot{ID: id, Device: d})
				ids = append(ids, id)
			}
			given, err := Of(slots)
			if err != nil {
				t.Fatal(err)
			}
			if tt.change != nil {
				tt.change(&given)
			}
			got := Changes(given, ids,
				func(id string) (inventory.Device, bool) { d, ok := tt.now[id]; return d, ok },
				func(_ inventory.Device, key string) bool { return key == "SIGNAL" })
			if tt.want == nil {
				tt.want = map[string]string{}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("changes (-want +got):\n%s", diff)
			}
		})
	}
}

func TestChangesAreBounded(t *testing.T) {
	given := Grant{}
	d := stick("00000a", "/dev/"+strings.Repeat("ü", 1000))
	got := Changes(given, []string{"cam-00000a-0"},
		func(string) (inventory.Device, bool) { return d, true }, func(inventory.Device, string) bool { return false })
	if text := got["cam-00000a-0"]; text == "" || len(text) > v0.MaxChange || !strings.HasSuffix(text, "…") {
		t.Errorf("%d bytes: %q", len(text), text)
	}
	// Slots of upstream's own numbering, and those of nobody, say nothing.
	got = Changes(given, []string{"7", "x-1"},
		func(string) (inventory.Device, bool) { return inventory.Device{}, false }, func(inventory.Device, string) bool { return false })
	if len(got) > 0 {
		t.Errorf("changes of what is not known: %v", got)
	}
}
