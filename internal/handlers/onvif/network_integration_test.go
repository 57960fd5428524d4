//go:build integration

package onvif_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/internal/eventually"
	"github.com/akri-go/akri/internal/handlers/multicast/multicasttest"
	"github.com/akri-go/akri/internal/handlers/onvif"
	"github.com/akri-go/akri/samples/simulators/camera/simulator"
)

// TestMain runs the tests in a network namespace of their own: the node's.
func TestMain(m *testing.M) { multicasttest.Main(m) }

// street is the network with the cameras.
type street struct{ *multicasttest.Street }

func newStreet(t *testing.T) street {
	t.Helper()
	return street{multicasttest.NewStreet(t)}
}

// cameras starts cameras at 10.99.0.11 and so on.
func (s street) cameras(t *testing.T, n int, o simulator.Options) *simulator.Simulator {
	t.Helper()
	for i := range n {
		o.Addresses = append(o.Addresses, netip.AddrFrom4([4]byte{10, 99, 0, byte(11 + i)}))
	}
	o.Port, o.NoRTSP, o.MaxDelay = 80, true, 20*time.Millisecond
	var sim *simulator.Simulator
	s.In(func() {
		var err error
		if sim, err = simulator.New(o); err == nil {
			err = sim.Start()
		}
		if err != nil {
			t.Error(err)
		}
	})
	if t.Failed() {
		t.FailNow()
	}
	t.Cleanup(func() { s.In(func() { _ = sim.Close() }) })
	return sim
}

// logBook is a log that tests read.
type logBook struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *logBook) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *logBook) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// watched is a request that is being answered.
type watched struct {
	t   *testing.T
	log *logBook

	mu      sync.Mutex
	last    discovery.Report
	reports int
	dropped map[string]int
	err     error
}

// watch asks a new handler.
func watch(t *testing.T, req discovery.Request) *watched {
	t.Helper()
	return watchWith(t, req, onvif.Options{})
}

func watchWith(t *testing.T, req discovery.Request, o onvif.Options) *watched {
	t.Helper()
	w := &watched{t: t, log: &logBook{}, dropped: map[string]int{}}
	o.Log = slog.New(slog.NewTextHandler(io.MultiWriter(w.log, t.Output()), nil))
	o.Dropped = func(why string) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.dropped[why]++
	}
	h := onvif.New(o)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		err := h.Explain(ctx, req, func(r discovery.Report) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.last, w.reports = r, w.reports+1
			return nil
		})
		w.mu.Lock()
		defer w.mu.Unlock()
		w.err = err
	}()
	t.Cleanup(func() { cancel(); <-done })
	return w
}

// until waits for a report that check is content with.
func (w *watched) until(check func(discovery.Report) error) discovery.Report {
	w.t.Helper()
	var r discovery.Report
	eventually.Succeeds(w.t, eventually.Patience, func(context.Context) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		r = w.last
		if w.err != nil {
			return fmt.Errorf("it has ended: %w", w.err)
		}
		if w.reports == 0 {
			return errors.New("nothing is reported yet")
		}
		if err := check(r); err != nil {
			return fmt.Errorf("%w; the report is %+v", err, r)
		}
		return nil
	})
	return r
}

// devices waits for a report of just these cameras, and returns it.
func (w *watched) devices(want ...*simulator.Camera) discovery.Report {
	w.t.Helper()
	return w.until(func(r discovery.Report) error {
		if got, want := idsOf(r), uuids(want...); !slices.Equal(got, want) {
			return fmt.Errorf("devices %q, want %q", got, want)
		}
		return nil
	})
}

// note waits for a note with all of these words.
func (w *watched) note(words ...string) {
	w.t.Helper()
	w.until(func(r discovery.Report) error {
		for _, word := range words {
			if !strings.Contains(r.Note, word) {
				return fmt.Errorf("the note lacks %q", word)
			}
		}
		return nil
	})
}

func idsOf(r discovery.Report) (ids []string) {
	for _, d := range r.Devices {
		ids = append(ids, d.ID)
	}
	slices.Sort(ids)
	return ids
}

func uuids(cameras ...*simulator.Camera) (ids []string) {
	for _, c := range cameras {
		ids = append(ids, c.UUID)
	}
	slices.Sort(ids)
	return ids
}
