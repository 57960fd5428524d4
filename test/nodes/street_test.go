//go:build e2e

package nodes

import (
	"net/netip"
	"sync"
	"testing"

	"github.com/akri-go/akri/internal/street"
)

// streetLength is enough for the addresses of all tests.
const streetLength = 16

// town has the street, which is there while a test has a plot: a cluster has one.
var town struct {
	sync.Mutex
	street *street.Street
	plots  int // that tests have now
	given  int // addresses, to all tests
}

// plot is a test's part of the street.
type plot struct {
	*street.Street
	addr []netip.Addr // no other test's
}

// cameras is locked by the test that has some: they answer everybody on their network.
var cameras sync.Mutex

// newPlot takes n addresses of the street, until the end of the test.
func newPlot(t *testing.T, n int) plot {
	t.Helper()
	town.Lock()
	defer town.Unlock()
	if town.plots == 0 {
		s, err := bed.OpenStreet(t.Context(), streetLength)
		if err != nil {
			t.Fatal(err)
		}
		town.street = s
	}
	town.plots++
	t.Cleanup(func() {
		town.Lock()
		defer town.Unlock()
		if town.plots--; town.plots > 0 {
			return
		}
		if err := town.street.Close(); err != nil {
			t.Error(err)
		}
	})
	p := plot{Street: town.street}
	for range n {
		p.addr = append(p.addr, bed.Network().Street(town.given%streetLength))
		town.given++
	}
	return p
}

// newCameraPlot is newPlot for cameras, when no other test has any.
func newCameraPlot(t *testing.T, n int) plot {
	t.Helper()
	cameras.Lock()
	t.Cleanup(cameras.Unlock)
	return newPlot(t, n)
}

// there runs f in the street.
func there(t *testing.T, s plot, f func() error) {
	t.Helper()
	if err := s.Do(f); err != nil {
		t.Fatal(err)
	}
}
