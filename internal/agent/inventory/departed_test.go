package inventory

import (
	"testing"

	"github.com/akri-go/akri/internal/agent/registry"
)

// A device whose handler says that it has departed is gone at once, without its
// grace period; only the handler that has it can say so.
func TestDeparted(t *testing.T) {
	v, r, _ := start(t, nil, "")
	ask(v, "q")
	says := func(endpoint string, departed []string, ids ...string) {
		t.Helper()
		err := v.Reported(registry.Report{Configuration: cfg, RequestID: "q", Endpoint: endpoint, Shared: true,
			Devices: devices(ids...), Departed: departed})
		if err != nil {
			t.Fatal(err)
		}
	}
	says("e", nil, "w", "x", "y", "z")
	r.take()
	says("e", []string{"x"}, "w", "y", "z")
	want(t, r, "-x")
	says("e", []string{"x"}, "w", "y") // z is missing, and says so later
	want(t, r, "+z Offline usable=false")
	says("other", []string{"z", "y"})
	want(t, r, "")
	says("e", []string{"z", "y", "w"}, "w", "y") // what is listed is there
	want(t, r, "-z")
	says("other", nil, "y")
	says("e", []string{"y"}, "w") // another has it too
	want(t, r, "")
	says("e", []string{"x"}, "w", "x") // it is back
	want(t, r, "+x Online usable=true")
}
