package metrics

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/agent/deviceplugin"
	"github.com/akri-go/akri/internal/agent/inventory"
	"github.com/akri-go/akri/internal/agent/publish"
	"github.com/akri-go/akri/internal/agent/registry"
)

func configurations(handler string, names ...string) []*v0.Configuration {
	var all []*v0.Configuration
	for _, name := range names {
		c := &v0.Configuration{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name}}
		c.Spec.DiscoveryHandler.Name = handler
		all = append(all, c)
	}
	return all
}

// fixture is what an agent would have to count.
type fixture struct {
	tally     []inventory.Tally
	endpoints map[string]int
	reachable bool
}

func start(t *testing.T, n *fixture) (*Metrics, *prometheus.Registry) {
	t.Helper()
	r := prometheus.NewPedanticRegistry()
	m, err := New(r, Counted{
		Devices:   func() []inventory.Tally { return n.tally },
		Endpoints: func() map[string]int { return n.endpoints },
		APIServer: func() bool { return n.reachable },
	})
	if err != nil {
		t.Fatal(err)
	}
	return m, r
}

// shows checks the samples of some metrics.
func shows(t *testing.T, r *prometheus.Registry, metric, want string) {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range families {
		if f.GetName() != metric {
			continue
		}
		for _, s := range f.GetMetric() {
			var labels []string
			for _, l := range s.GetLabel() {
				labels = append(labels, l.GetValue())
			}
			var value any
			switch {
			case s.GetHistogram() != nil:
				value = s.GetHistogram().GetSampleCount()
			case s.GetCounter() != nil:
				value = s.GetCounter().GetValue()
			default:
				value = s.GetGauge().GetValue()
			}
			got = append(got, strings.TrimSpace(strings.Join(labels, "/")+" "+fmt.Sprint(value)))
		}
	}
	if s := strings.Join(got, ", "); s != want {
		t.Errorf("%s is %q, want %q", metric, s, want)
	}
}

func TestDevicesAndHandlers(t *testing.T) {
	n := &fixture{endpoints: map[string]int{}}
	_, r := start(t, n)
	shows(t, r, "akri_instance_count", "")
	shows(t, r, "akri_api_server_reachable", "0")
	cam, usb := types.NamespacedName{Namespace: "a", Name: "cam"}, types.NamespacedName{Namespace: "a", Name: "usb"}
	n.tally = []inventory.Tally{
		{Configuration: cam, Online: 2, Offline: 1, Answered: true, Shared: true},
		{Configuration: usb}, // nobody has answered yet
	}
	n.endpoints, n.reachable = map[string]int{"onvif": 2, "udev\xff": 1}, true
	shows(t, r, "akri_instance_count", "cam/true 3")
	shows(t, r, "akri_devices", "cam/Offline 1, cam/Online 2, usb/Offline 0, usb/Online 0")
	shows(t, r, "akri_discovery_handler_endpoints", "onvif 2, udev\uFFFD 1")
	shows(t, r, "akri_api_server_reachable", "1")
	// Two of one name, in two namespaces, are no fault of the scrape.
	n.tally = []inventory.Tally{
		{Configuration: usb, Online: 1, Answered: true},
		{Configuration: types.NamespacedName{Namespace: "b", Name: "usb"}, Online: 3, Answered: true},
	}
	n.endpoints = nil
	shows(t, r, "akri_instance_count", "usb/false 4")
	shows(t, r, "akri_devices", "usb/Offline 0, usb/Online 4")
	shows(t, r, "akri_discovery_handler_endpoints", "")
}

func TestAnswers(t *testing.T) {
	m, r := start(t, &fixture{})
	answer := func(configuration, handler string, err error) {
		m.Answered(registry.Answer{Configuration: types.NamespacedName{Namespace: "ns", Name: configuration}, Handler: handler, Took: time.Second, Err: err})
	}
	// What was asked from the checkpoint counts before Configurations are known.
	answer("cam", "onvif", nil)
	answer("old", "onvif", nil)
	shows(t, r, "akri_discovery_response_time", "cam 1, old 1")
	m.SetConfigurations(append(configurations("udev", "usb"), configurations("onvif", "cam")...))
	shows(t, r, "akri_discovery_response_time", "cam 1")
	shows(t, r, "akri_discovery_response_result", "onvif/Fail 0, onvif/Success 2, udev/Fail 0, udev/Success 0")

	answer("usb", "udev", nil)
	answer("usb", "udev", errors.New("no"))
	answer("usb", "udev", nil)
	shows(t, r, "akri_discovery_response_time", "cam 1, usb 2")
	shows(t, r, "akri_discovery_response_result", "onvif/Fail 0, onvif/Success 2, udev/Fail 1, udev/Success 2")

	m.SetConfigurations(configurations("onvif", "cam"))
	answer("usb", "udev", nil) // it was under way
	answer("cam", "other", errors.New("an earlier handler of it"))
	shows(t, r, "akri_discovery_response_time", "cam 1")
	shows(t, r, "akri_discovery_response_result", "onvif/Fail 0, onvif/Success 2")
	m.SetConfigurations(nil)
	shows(t, r, "akri_discovery_response_time", "")
	shows(t, r, "akri_discovery_response_result", "")
}

func TestHooks(t *testing.T) {
	m, r := start(t, &fixture{})
	shows(t, r, "akri_slot_claims_total", "denied 0, granted 0")
	m.Allocated(deviceplugin.Allocation{Slots: []string{"a-0", "b-0"}})
	m.Allocated(deviceplugin.Allocation{Slots: []string{"a-0"}, Err: errors.New("taken")})
	shows(t, r, "akri_slot_claims_total", "denied 1, granted 2")
	m.Refused(registry.Refusal{Reason: registry.Mixed, Repeated: true})
	shows(t, r, "akri_discovery_handler_refusals_total", "Malformed 0, Mixed 1, NotPermitted 0, TooMany 0")
	m.Published(time.Millisecond)
	shows(t, r, "akri_instance_publish_seconds", "1")
	m.Written(types.NamespacedName{}, publish.Apply, time.Millisecond)
	m.Written(types.NamespacedName{}, publish.Delete, time.Millisecond)
	shows(t, r, "akri_instance_write_seconds", "apply 1, delete 1")
}
