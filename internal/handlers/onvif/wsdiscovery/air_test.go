package wsdiscovery

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/akri-go/akri/internal/handlers/multicast"
)

func TestMemory(t *testing.T) {
	m := memory{keep: time.Second}
	now := time.Unix(1000, 0)
	got := []bool{m.add("a", now), m.add("a", now), m.has("b", now), m.add("a", now.Add(time.Second))}
	if !reflect.DeepEqual(got, []bool{true, false, false, true}) {
		t.Errorf("%v", got)
	}
	for i := range 3 * maxRemembered {
		m.add(fmt.Sprint(i), now)
	}
	if len(m.at) > maxRemembered || !m.has(fmt.Sprint(3*maxRemembered-1), now) {
		t.Errorf("%d are remembered", len(m.at))
	}
}

// What cannot be probed is said, and an Air that is closed says so.
func TestNowhere(t *testing.T) {
	a := NewAir(Options{Interfaces: func() ([]multicast.Interface, error) { return nil, nil }, Log: slog.New(slog.DiscardHandler)})
	for want, patterns := range map[string][]string{
		"name one in interfaces":  nil,
		"nothing to probe":        {},
		"is called eth7 or wlan*": {"eth7", "wlan*"},
	} {
		if err := a.Probe(t.Context(), Where{Interfaces: patterns}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", patterns, err, want)
		}
	}
	a.Close()
	if err := a.Probe(t.Context(), Where{}); !errors.Is(err, errClosed) {
		t.Errorf("closed: %v", err)
	}
}

// full is a fake of a socket that has room again after some attempts: only
// addresses of a link that nobody has fill a real one.
type full struct {
	after, attempts int
	bounded         bool
}

func (f *full) SetWriteDeadline(at time.Time) error {
	f.bounded = !at.IsZero()
	return nil
}

func (f *full) WriteToUDPAddrPort([]byte, netip.AddrPort) (int, error) {
	if f.attempts++; f.attempts <= f.after {
		return 0, os.ErrDeadlineExceeded
	}
	return 0, nil
}

// A probe waits for room in the socket, and not longer than it is wanted.
func TestSend(t *testing.T) {
	to := netip.MustParseAddrPort("10.0.0.1:3702")
	f := &full{after: 3}
	if err := send(t.Context(), f, nil, to); err != nil || f.attempts != 4 || !f.bounded {
		t.Errorf("%v after %d attempts", err, f.attempts)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	f = &full{after: 1000}
	if err := send(ctx, f, nil, to); !errors.Is(err, context.Canceled) || f.attempts != 1 {
		t.Errorf("%v after %d attempts", err, f.attempts)
	}
}
