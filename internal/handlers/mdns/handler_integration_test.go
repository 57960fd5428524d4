//go:build integration

package mdns_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/internal/eventually"
	"github.com/akri-go/akri/internal/handlers/mdns"
	"github.com/akri-go/akri/internal/handlers/multicast/multicasttest"
	"github.com/akri-go/akri/internal/leaktest"
)

// watched is a request that is being answered.
type watched struct {
	t testing.TB

	mu      sync.Mutex
	last    discovery.Report
	reports int
	took    []time.Duration
	dropped map[string]int
	passed  map[string]int
	log     strings.Builder
	err     error
}

// watch asks a new handler.
func watch(t testing.TB, details string) *watched {
	t.Helper()
	w := &watched{t: t, dropped: map[string]int{}, passed: map[string]int{}}
	count := func(m map[string]int) func(string) {
		return func(key string) {
			w.mu.Lock()
			defer w.mu.Unlock()
			m[key]++
		}
	}
	h := mdns.New(mdns.Options{
		Log:     slog.New(slog.NewTextHandler(io.MultiWriter(t.Output(), writer(w.write)), nil)),
		Dropped: count(w.dropped), Passed: count(w.passed),
		Reported: func(d time.Duration) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.took = append(w.took, d)
		},
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		err := h.Explain(ctx, discovery.Request{Details: details}, func(r discovery.Report) error {
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

type writer func([]byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }

func (w *watched) write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.Write(p)
}

// until waits for a report that check is content with.
func (w *watched) until(check func(discovery.Report) error) discovery.Report {
	w.t.Helper()
	var r discovery.Report
	eventually.Succeeds(w.t, 40*time.Second, func(context.Context) error {
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

// devices waits for a report of just these ids, and returns it.
func (w *watched) devices(want ...string) discovery.Report {
	w.t.Helper()
	slices.Sort(want)
	return w.until(func(r discovery.Report) error {
		var got []string
		for _, d := range r.Devices {
			got = append(got, d.ID)
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			return fmt.Errorf("devices %q, want %q", got, want)
		}
		return nil
	})
}

// What Avahi announces is there with all that it says, and leaves with its
// good-bye; what says nothing any more leaves when its records end.
func TestAvahi(t *testing.T) {
	leaktest.Check(t)
	street := multicasttest.NewStreet(t)
	a := startAvahi(t, street.In, "lobby", "cable", "yes", "yes")
	a.ready()
	w := watch(t, "types: [_ipp._tcp, _universal._sub._http._tcp]\ninterfaces: [eth0]\ndiscoveryTimeoutSeconds: 1")
	w.devices()
	printer := a.publish("Printer 2.0, lobby", "_ipp._tcp", "631", "UUID=7F3A", "rp=ipp/print", "Color=", "Duplex")
	r := w.devices(`printer 2\.0, lobby._ipp._tcp.local`)
	want := map[string]string{
		"MDNS_INSTANCE": "Printer 2.0, lobby", "MDNS_TYPE": "_ipp._tcp", "MDNS_HOST": "lobby.local", "MDNS_PORT": "631",
		"MDNS_ADDRESS":  r.Devices[0].Properties["MDNS_ADDRESS"],
		"MDNS_TXT_UUID": "7F3A", "MDNS_TXT_RP": "ipp/print", "MDNS_TXT_COLOR": "", "MDNS_TXT_DUPLEX": "",
	}
	if got := r.Devices[0].Properties; fmt.Sprint(got) != fmt.Sprint(want) || !strings.HasPrefix(got["MDNS_ADDRESS"], "10.99.0.") || r.Note != "" {
		t.Errorf("properties %v, want %v; note %q", got, want, r.Note)
	}
	page := a.publish("--subtype=_universal._sub._http._tcp", "Page", "_http._tcp", "80")
	a.publish("Other", "_http._tcp", "81")
	w.devices(`printer 2\.0, lobby._ipp._tcp.local`, "page._http._tcp.local")
	stop(printer, syscall.SIGTERM)
	w.devices("page._http._tcp.local")
	stop(page, syscall.SIGTERM)
	w.devices()
}
