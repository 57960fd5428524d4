//go:build integration

package mdns_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
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

// With one Avahi in the street: each test has service types of its own.
func TestAvahi(t *testing.T) {
	leaktest.Check(t)
	street := multicasttest.NewStreet(t)
	a := startAvahi(t, street.In, "lobby", "cable", "yes", "yes")
	a.ready()
	t.Run("at a time", func(t *testing.T) {
		for name, test := range map[string]func(*testing.T, *avahi){ // each has types of its own
			"comes and goes": comesAndGoes, "rename": rename, "filters": filters, "latency": latency, "strangers": strangers,
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				test(t, a.during(t))
			})
		}
	})
}

// What Avahi announces is there with all that it says, and leaves with its
// good-bye.
func comesAndGoes(t *testing.T, a *avahi) {
	w := watch(t, "types: [_ipp._tcp, _universal._sub._http._tcp]\ninterfaces: [eth0]\ndiscoveryTimeoutSeconds: 1")
	w.devices()
	printer := a.publish("Printer 2.0, lobby", "_ipp._tcp", "631", "UUID=7F3A", "rp=ipp/print", "Color=", "Duplex")
	w.devices(`printer 2\.0, lobby._ipp._tcp.local`)
	r := w.until(func(r discovery.Report) error { // on a slow machine its IPv6 address may be there first
		if len(r.Devices) != 1 || !strings.HasPrefix(r.Devices[0].Properties["MDNS_ADDRESS"], "10.99.0.") {
			return errors.New("it has no address of IPv4")
		}
		return nil
	})
	want := map[string]string{
		"MDNS_INSTANCE": "Printer 2.0, lobby", "MDNS_TYPE": "_ipp._tcp", "MDNS_HOST": "lobby.local", "MDNS_PORT": "631",
		"MDNS_ADDRESS":  r.Devices[0].Properties["MDNS_ADDRESS"],
		"MDNS_TXT_UUID": "7F3A", "MDNS_TXT_RP": "ipp/print", "MDNS_TXT_COLOR": "", "MDNS_TXT_DUPLEX": "",
	}
	if got := r.Devices[0].Properties; fmt.Sprint(got) != fmt.Sprint(want) || r.Note != "" {
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

// A device that the user knows by a key stays the same when its name changes.
func rename(t *testing.T, a *avahi) {
	old := a.publish("Old name", "_rename._tcp", "631", "id=4711")
	w := watch(t, "types: [_rename._tcp]\nidentityKey: ID\ntxtProperties: {items: [none]}")
	const id = "_rename._tcp.local 4711"
	w.devices(id)
	a.publish("New name", "_rename._tcp", "632", "ID=4711")
	w.until(func(r discovery.Report) error {
		if !strings.Contains(r.Note, `"New name": it has the same id as "Old name", which was there before and counts`) {
			return errors.New("the note does not say that there are two")
		}
		return nil
	})
	stop(old, syscall.SIGTERM)
	r := w.until(func(r discovery.Report) error {
		if len(r.Devices) != 1 {
			t.Fatalf("%d devices", len(r.Devices))
		}
		if r.Devices[0].Properties["MDNS_INSTANCE"] != "New name" {
			return errors.New("it has its old name")
		}
		return nil
	})
	if p := r.Devices[0].Properties; r.Devices[0].ID != id || p["MDNS_PORT"] != "632" || len(p) != 5 {
		t.Errorf("%+v", r.Devices[0])
	}
}

func filters(t *testing.T, a *avahi) {
	a.publish("Red", "_osc._udp", "1", "model=X1", "x=w")
	a.publish("Blue", "_osc._udp", "2", "model=Z9")
	const red, blue = "red._osc._udp.local", "blue._osc._udp.local"
	all := watch(t, "types: [_osc._udp]")
	all.devices(red, blue)
	began := map[*watched][]string{} // all at a time
	for details, want := range map[string][]string{
		"instances: {items: ['r*']}":                       {red},
		"instances: {action: Exclude, items: [RED]}":       {blue},
		"hosts: {items: [lobby]}":                          {red, blue},
		"hosts: {action: Exclude, items: ['lobby.local']}": {},
		"txt: {MODEL: {items: ['X*']}}":                    {red},
		"txt: {x: {action: Exclude, items: [w]}}":          {blue},
		"txt: {x: {items: [z]}}":                           {},
		"interfaces: [lo]":                                 {},
	} {
		began[watch(t, "types: [_osc._udp]\ndiscoveryTimeoutSeconds: 1\n"+details)] = want
	}
	for w, want := range began {
		w.devices(want...)
	}
}

// Avahi on the node has port 5353 too. Both hear all, and what is for Avahi alone
// is Avahi's.
func TestSharedPort(t *testing.T) {
	leaktest.Check(t)
	street := multicasttest.NewStreet(t)
	own := startAvahi(t, func(f func()) { f() }, "node", "eth0", "yes", "yes")
	own.ready()
	other := startAvahi(t, street.In, "lobby", "cable", "yes", "yes")
	other.ready()
	other.publish("There", "_ipp._tcp", "1")
	w := watch(t, "types: [_ipp._tcp]\ndiscoveryTimeoutSeconds: 1")
	w.devices("there._ipp._tcp.local")
	own.publish("Here", "_ipp._tcp", "2") // the node's own, which it hears too
	r := w.devices("there._ipp._tcp.local", "here._ipp._tcp.local")
	if a := r.Devices[0].Properties["MDNS_ADDRESS"]; a != "10.99.0.1" {
		t.Errorf("the node's own service is at %s", a)
	}
	eventually.Succeeds(t, eventually.Patience, func(ctx context.Context) error {
		out, err := own.browse(ctx, "_ipp._tcp")
		if err != nil || !strings.Contains(out, "There") {
			return fmt.Errorf("the node's Avahi does not find it: %s %w", out, err)
		}
		return nil
	})
	// What is sent to the node's port alone is Avahi's: it answers.
	eventually.Succeeds(t, eventually.Patience, func(context.Context) (err error) {
		street.In(func() { err = askAlone("10.99.0.1:5353") })
		return err
	})
}

// A second network that comes later is heard, and what was there is gone with it.
// It has no IPv4, and then the address has its zone.
func TestInterfacesComeAndGo(t *testing.T) {
	leaktest.Check(t)
	street := multicasttest.NewStreet(t)
	w := watch(t, "types: [_ipp._tcp]\ndiscoveryTimeoutSeconds: 1")
	w.devices()
	street.In(func() {
		multicasttest.IP(t, "link", "add", "cable2", "type", "veth", "peer", "name", "eth1", "netns", fmt.Sprint(os.Getpid()))
		multicasttest.IP(t, "addr", "add", "fe80::2/64", "dev", "cable2", "nodad")
		multicasttest.IP(t, "link", "set", "cable2", "up")
	})
	t.Cleanup(func() { street.In(func() { _ = exec.Command("ip", "link", "del", "cable2").Run() }) })
	a := startAvahi(t, street.In, "shed", "cable2", "no", "yes")
	a.ready()
	a.publish("Late", "_ipp._tcp", "1")
	multicasttest.IP(t, "link", "set", "eth1", "up")
	multicasttest.IP(t, "addr", "add", "fe80::1/64", "dev", "eth1", "nodad")
	r := w.devices("late._ipp._tcp.local")
	if got := r.Devices[0].Properties["MDNS_ADDRESS"]; !strings.HasPrefix(got, "fe80::") || !strings.HasSuffix(got, "%eth1") {
		t.Errorf("it is at %s", got)
	}
	multicasttest.IP(t, "link", "del", "eth1")
	w.devices()
}

// How long it takes, and how much is sent, is said and not judged.
func latency(t *testing.T, a *avahi) {
	w := watch(t, "types: [_latency._tcp]\ndiscoveryTimeoutSeconds: 1")
	w.devices()
	var all []string
	for n := range 4 {
		a.publish(fmt.Sprintf("Device %d", n), "_latency._tcp", "1", "id=x")
		all = append(all, fmt.Sprintf("device %d._latency._tcp.local", n))
		w.devices(all...)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	slices.Sort(w.took)
	t.Logf("from the answer to the report, %d times: p50 %s, the longest %s; messages %v, dropped %v", len(w.took), w.took[len(w.took)/2],
		w.took[len(w.took)-1], w.passed, w.dropped)
	if len(w.took) < 4 {
		t.Errorf("%d reports were timed", len(w.took))
	}
}
