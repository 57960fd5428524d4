package view

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	v0 "github.com/akri-go/akri/api/v0"
)

// The cache keeps what identifies devices, also when it is trimmed again.
func TestDevicesOf(t *testing.T) {
	long := strings.Repeat("x", 1000)
	for name, tt := range map[string]struct {
		id, at string
		shared bool
		want   []string
	}{
		"nothing is known": {},
		"id":               {id: "foo", want: []string{"a id foo", "b id foo"}},
		"place":            {id: "s-1", at: "/devices/usb1", want: []string{"a id s-1", "a at /devices/usb1", "b id s-1", "b at /devices/usb1"}},
		"shared":           {id: "foo", at: "/devices/usb1", shared: true, want: []string{"* id foo"}},
		"long":             {id: long, shared: true, want: []string{"* id " + brief(long)}},
	} {
		inst := &v0.Instance{}
		inst.Spec.Nodes, inst.Spec.Shared = []string{"a", "b"}, tt.shared
		inst.Annotations = map[string]string{v0.AnnotationDeviceID: tt.id, "other": "x"}
		inst.Spec.BrokerProperties = map[string]string{devPath: tt.at, "PASSWORD": "hush"}
		for range 2 {
			if _, err := trim(inst); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.want, DevicesOf(inst)); d != "" {
				t.Errorf("%s: %s", name, d)
			}
		}
		if _, kept := inst.Spec.BrokerProperties["PASSWORD"]; kept || len(inst.Annotations[v0.AnnotationDeviceID]) > maxIDBytes {
			t.Errorf("%s: the cache keeps %v, %v", name, inst.Spec.BrokerProperties, inst.Annotations)
		}
	}
}

func TestDiscoveryDigest(t *testing.T) {
	ask := func(handler, details string, properties ...string) v0.DiscoveryHandlerInfo {
		h := v0.DiscoveryHandlerInfo{Name: handler, DiscoveryDetails: details}
		for _, p := range properties {
			h.DiscoveryProperties = append(h.DiscoveryProperties, v0.DiscoveryProperty{Name: p})
		}
		return h
	}
	first := DiscoveryDigest(ask("udev", "a"))
	if DiscoveryDigest(ask("udev", "a\n")) != first {
		t.Error("a line's end makes another request")
	}
	for _, other := range []v0.DiscoveryHandlerInfo{ask("mine", "a"), ask("udev", "b"), ask("udev", "a", "P")} {
		if DiscoveryDigest(other) == first {
			t.Errorf("%+v is the same request", other)
		}
	}
	c := &v0.Configuration{}
	c.Spec.DiscoveryHandler = ask("udev", "a", "P")
	want := DiscoveryDigest(c.Spec.DiscoveryHandler)
	for range 2 {
		if _, err := trim(c); err != nil || DiscoveryDigest(c.Spec.DiscoveryHandler) != want {
			t.Errorf("trimmed, it asks %s, want %s: %v", DiscoveryDigest(c.Spec.DiscoveryHandler), want, err)
		}
	}
}
