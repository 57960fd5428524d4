package inventory

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/agent/registry"
)

// What cannot be asked is said, and takes away nothing that was asked before.
func TestProblem(t *testing.T) {
	v, r, _ := start(t, nil, "")
	request := Configuration{Name: cfg, Owner: "uid", Handler: "h", Capacity: 1}
	says := func(state v0.DiscoveryState, devices int32, parts ...string) {
		t.Helper()
		s := r.status()
		if s.State != state || s.Devices != devices {
			t.Errorf("status %+v, want %s with %d devices", s, state, devices)
		}
		for _, part := range parts {
			if !strings.Contains(s.Message, part) {
				t.Errorf("status %q has no %q", s.Message, part)
			}
		}
	}
	v.SetConfiguration(request)
	says(v0.DiscoveryWaiting, 0, "reading what discoveryProperties refer to")
	request.Problem = "Secret ns/s is not there"
	v.SetConfiguration(request)
	says(v0.DiscoveryFailed, 0, "Secret ns/s is not there")
	request.RequestID, request.Problem = "q", ""
	v.SetConfiguration(request)
	report(v, "q", "e", "x")
	says(v0.DiscoveryActive, 1)
	if strings.Contains(r.status().Message, "Secret") {
		t.Errorf("status %q tells of what is over", r.status().Message)
	}
	r.take()
	request.Problem = "Secret ns/s is not there"
	v.SetConfiguration(request)
	says(v0.DiscoveryActive, 1, "Secret ns/s is not there", "the handler keeps what it was asked before", "asked e")
	report(v, "q", "e", "x", "y")
	says(v0.DiscoveryActive, 2, "Secret ns/s is not there")
	want(t, r, "+y Online usable=true")
}

// A request that cannot be asked after a restart keeps its devices for now.
func TestRestartWithProblem(t *testing.T) {
	store := &memory{}
	v, _, _ := start(t, store, "boot")
	ask(v, "q")
	report(v, "q", "e", "x")
	v.save()

	v, r, _ := start(t, store, "boot")
	want(t, r, "+x Online usable=true")
	v.Retain(map[types.NamespacedName]bool{cfg: true})
	v.SetConfiguration(Configuration{Name: cfg, Owner: "uid", Handler: "h", Capacity: 1})
	v.SetConfiguration(Configuration{Name: cfg, Owner: "uid", Handler: "h", Capacity: 1, Problem: "no"})
	v.Adopt(nil)
	want(t, r, "")
	ask(v, "q2")
	report(v, "q2", "e", "x")
	want(t, r, "")
}

func TestTally(t *testing.T) {
	v, _, _ := start(t, nil, "")
	is := func(want string) {
		t.Helper()
		var got []string
		for _, one := range v.Tally() {
			got = append(got, fmt.Sprintf("%s online=%d offline=%d answered=%t shared=%t", one.Configuration, one.Online, one.Offline, one.Answered, one.Shared))
		}
		if s := strings.Join(got, ", "); s != want {
			t.Errorf("tally %q, want %q", s, want)
		}
	}
	is("")
	ask(v, "q")
	is("ns/c online=0 offline=0 answered=false shared=false")
	v.Reported(registry.Report{Configuration: cfg, RequestID: "q", Endpoint: "e", Shared: true, Devices: devices("x", "y")})
	is("ns/c online=2 offline=0 answered=true shared=true")
	v.Reported(registry.Report{Configuration: cfg, RequestID: "q", Endpoint: "e", Shared: true, Devices: devices("x")})
	is("ns/c online=1 offline=1 answered=true shared=true")
	v.DropConfiguration(cfg)
	is("")
}

// What a report has changed carries the time of the report; the rest does not.
func TestReportedAt(t *testing.T) {
	times := map[string]time.Time{}
	v, _, _ := start(t, nil, "")
	v.opts.Consumers = []Consumer{timed(times)}
	ask(v, "q")
	at := time.Unix(1, 0)
	v.Reported(registry.Report{Configuration: cfg, RequestID: "q", Endpoint: "e", Devices: devices("x", "y"), Received: at})
	if !times["+x"].Equal(at) || !times["+y"].Equal(at) {
		t.Errorf("told %v", times)
	}
	clear(times)
	later := time.Unix(2, 0)
	v.Reported(registry.Report{Configuration: cfg, RequestID: "q", Endpoint: "e", Devices: devices("y"), Received: later})
	if len(times) != 1 || !times["-x"].Equal(later) {
		t.Errorf("told %v of one that is gone", times)
	}
	v.SetConfiguration(Configuration{Name: cfg, Owner: "uid", Handler: "h", RequestID: "q", Capacity: 2})
	if at, told := times["+y"]; !told || !at.IsZero() {
		t.Errorf("told %v of an edit", times)
	}
}

type timed map[string]time.Time

func (t timed) DeviceChanged(d Device) { t["+"+d.Reported.ID] = d.ReportedAt }
func (t timed) DeviceGone(d Device)    { t["-"+d.Reported.ID] = d.ReportedAt }
