package onvif

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/internal/handlers/onvif/camera"
	"github.com/akri-go/akri/internal/handlers/onvif/soap"
	"github.com/akri-go/akri/internal/handlers/onvif/wsdiscovery"
)

// world is a fake: a network and cameras that a test makes up, in the time of
// synctest. Real sockets and the simulator are in the integration tests.
type world struct {
	heard func(wsdiscovery.Heard)

	mu      sync.Mutex
	there   map[string]string // the address of each camera, by UUID
	asked   map[string]int
	fails   map[string]error
	slow    map[string]time.Duration
	probes  []time.Time
	unicast []netip.Addr
	problem error
	deaf    func(uuid string, probe int) bool // whether an answer is lost, if not nil
}

func newWorld(cameras ...string) *world {
	w := &world{there: map[string]string{}, asked: map[string]int{}, fails: map[string]error{}, slow: map[string]time.Duration{}}
	for i, uuid := range cameras {
		w.there[uuid] = fmt.Sprintf("10.0.0.%d", i+1)
	}
	return w
}

func (w *world) message(kind wsdiscovery.Kind, uuid, from string) wsdiscovery.Heard {
	return wsdiscovery.Heard{From: addr(from), Interface: "eth0", At: time.Now(), Message: wsdiscovery.Message{
		Kind: kind, Endpoints: []wsdiscovery.Endpoint{{UUID: uuid, Types: []string{"NetworkVideoTransmitter"}, XAddrs: []string{"http://" + from + "/"}}},
	}}
}

func (w *world) Probe(_ context.Context, where wsdiscovery.Where) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.probes = append(w.probes, time.Now())
	w.unicast = append(w.unicast, where.Addresses...)
	for uuid, from := range w.there {
		if w.deaf != nil && w.deaf(uuid, len(w.probes)) {
			continue
		}
		w.heard(w.message(wsdiscovery.ProbeMatches, uuid, from))
	}
	return w.problem
}

func (w *world) Close() {}

func (w *world) ask(ctx context.Context, q camera.Question) (camera.Facts, error) {
	s := q.Sightings[0]
	w.mu.Lock()
	w.asked[s.UUID]++
	slow, err := w.slow[s.UUID], w.fails[s.UUID]
	w.mu.Unlock()
	select {
	case <-time.After(slow):
	case <-ctx.Done():
		return camera.Facts{}, ctx.Err()
	}
	f := camera.Facts{URL: s.XAddrs[0], Address: s.From, Seen: s.From, Addresses: []netip.Addr{s.From}}
	if soap.IsAuth(err) {
		f.Missing = err
		return f, nil
	}
	return f, err
}

// set changes the world.
func (w *world) set(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

// run asks a handler in this world, in a bubble of synctest, and calls test
// with what it has reported last.
func (w *world) run(t *testing.T, details string, test func(last func() string)) {
	synctest.Test(t, func(t *testing.T) {
		h := New(Options{
			NewAir: func(o wsdiscovery.Options) Air { w.heard = o.Heard; return w },
			Ask:    w.ask, Log: slog.New(slog.DiscardHandler),
		})
		var mu sync.Mutex
		text := "nothing"
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			done <- h.Explain(ctx, discovery.Request{Details: details}, func(r discovery.Report) error {
				mu.Lock()
				defer mu.Unlock()
				var ids []string
				for _, d := range r.Devices {
					ids = append(ids, d.ID)
				}
				for _, id := range r.Departed {
					ids = append(ids, "-"+id)
				}
				text = strings.Join(ids, " ")
				if r.Note != "" {
					text += " (" + r.Note + ")"
				}
				return nil
			})
		}()
		synctest.Wait() // until w.heard is set
		test(func() string {
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			return text
		})
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

func TestFirstReport(t *testing.T) {
	w := newWorld("a", "b", "c")
	w.slow["b"] = 3 * time.Second
	w.slow["c"] = time.Hour
	w.run(t, "", func(last func() string) {
		time.Sleep(500 * time.Millisecond)
		if got := last(); got != "nothing" {
			t.Errorf("before the probe has had its time: %s", got)
		}
		time.Sleep(8 * time.Second)
		if got := last(); got != "a b" && got != "nothing" {
			t.Errorf("%s", got)
		}
		time.Sleep(5 * time.Second) // a slow camera holds up nothing for ever
		if got := last(); !strings.HasPrefix(got, "a b (camera c: context deadline exceeded: it is too slow") {
			t.Errorf("%s", got)
		}
	})
	w = newWorld()
	w.run(t, "", func(last func() string) {
		time.Sleep(1100 * time.Millisecond)
		if got := last(); got != "" {
			t.Errorf("of no camera: %s", got)
		}
	})
}

func TestHelloAndBye(t *testing.T) {
	w := newWorld("a")
	w.run(t, "interval: 1m", func(last func() string) {
		time.Sleep(2 * time.Second)
		if got := last(); got != "a" {
			t.Errorf("%s", got)
		}
		w.heard(w.message(wsdiscovery.Hello, "b", "10.0.0.9"))
		time.Sleep(50 * time.Millisecond)
		if got := last(); got != "a b" {
			t.Errorf("after Hello: %s", got)
		}
		w.heard(w.message(wsdiscovery.Bye, "a", "10.0.0.9"))
		time.Sleep(50 * time.Millisecond)
		if got := last(); got != "a b" {
			t.Errorf("after another's Bye: %s", got)
		}
		w.heard(w.message(wsdiscovery.Bye, "b", "10.0.0.9"))
		time.Sleep(50 * time.Millisecond)
		if got := last(); got != "a" {
			t.Errorf("after Bye: %s", got)
		}
		elsewhere := w.message(wsdiscovery.Hello, "c", "10.0.0.10")
		elsewhere.Interface = "docker0"
		w.heard(elsewhere)
		time.Sleep(50 * time.Millisecond)
		if got := last(); got != "a" {
			t.Errorf("after Hello on an interface that is not asked for: %s", got)
		}
	})
}

// While nothing changes there are ever fewer probes; a camera that misses one is
// soon probed again, by its address too.
func TestProbes(t *testing.T) {
	w := newWorld("a", "b")
	w.run(t, "interval: 10s", func(last func() string) {
		time.Sleep(time.Hour)
		w.set(func() {
			if n := len(w.probes); n < 55 || n > 100 {
				t.Errorf("%d probes in a quiet hour", n)
			}
			delete(w.there, "b")
			w.unicast, w.probes = nil, nil
		})
		time.Sleep(70 * time.Second)
		if got := last(); got != "a" {
			t.Errorf("a minute after: %s", got)
		}
		w.set(func() {
			if !slices.Contains(w.unicast, addr("10.0.0.2")) || len(w.probes) < maxMissed {
				t.Errorf("%d probes, of addresses %v", len(w.probes), w.unicast)
			}
		})
		w.set(func() { w.there["b"] = "10.0.0.2" })
		time.Sleep(70 * time.Second)
		if got := last(); got != "a b" {
			t.Errorf("when it is back: %s", got)
		}
	})
}

// A password that is wrong is rarely tried, whatever the camera announces.
func TestLocked(t *testing.T) {
	w := newWorld("a", "b")
	w.fails["a"] = &soap.AuthError{User: "u"}
	w.run(t, "", func(last func() string) {
		time.Sleep(2 * time.Second)
		if got := last(); !strings.HasPrefix(got, `a b (camera a at http://10.0.0.1/: it refuses the user "u"`) {
			t.Errorf("%s", got)
		}
		for range 600 {
			time.Sleep(time.Second)
			w.heard(w.message(wsdiscovery.Hello, "a", "10.0.0.1"))
		}
		w.set(func() {
			if n := w.asked["a"]; n > 12 {
				t.Errorf("%d times in ten minutes of announcements", n)
			}
			w.asked["a"] = 0
		})
		time.Sleep(2 * time.Hour)
		w.set(func() {
			if n := w.asked["a"]; n > 8 {
				t.Errorf("%d times in two hours", n)
			}
			delete(w.fails, "a")
		})
		w.heard(w.message(wsdiscovery.Hello, "a", "10.0.0.1"))
		time.Sleep(2 * time.Minute)
		if got := last(); got != "a b" {
			t.Errorf("%s", got)
		}
	})
}

// Nor if somebody says good-bye in its name each time.
func TestLockedByGoodByes(t *testing.T) {
	w := newWorld("a")
	w.fails["a"] = &soap.AuthError{User: "u"}
	w.run(t, "", func(func() string) {
		for range 600 {
			time.Sleep(time.Second)
			w.heard(w.message(wsdiscovery.Bye, "a", "10.0.0.1"))
			w.heard(w.message(wsdiscovery.Hello, "a", "10.0.0.1"))
		}
		w.set(func() {
			if n := w.asked["a"]; n > 12 {
				t.Errorf("%d times in ten minutes", n)
			}
		})
	})
}

// False cameras at each address of a network, none of which answers, do not hold
// up probes, and a camera that comes not for long.
func TestManySilent(t *testing.T) {
	w := newWorld("a")
	w.run(t, "", func(last func() string) {
		time.Sleep(20 * time.Second)
		w.set(func() { w.probes = nil })
		for i := range 16 {
			for n := range 254 {
				uuid := fmt.Sprintf("false-%d-%d", n, i)
				w.set(func() { w.slow[uuid], w.fails[uuid] = 10*time.Second, errors.New("silent") })
				w.heard(w.message(wsdiscovery.Hello, uuid, fmt.Sprintf("10.0.1.%d", n)))
			}
			time.Sleep(time.Millisecond)
		}
		w.heard(w.message(wsdiscovery.Hello, "late", "10.0.0.9"))
		w.set(func() { w.there["late"] = "10.0.0.9" })
		time.Sleep(time.Minute)
		w.set(func() {
			if n := len(w.probes); n < 2 {
				t.Errorf("%d probes in a minute", n)
			}
		})
		time.Sleep(2 * time.Minute)
		if got := last(); !strings.HasPrefix(got, "a late") {
			t.Errorf("%.300s", got)
		}
	})
}

// A camera that answers probes and nothing else is kept for a while, then given
// up and tried again.
func TestDeaf(t *testing.T) {
	w := newWorld("a")
	w.run(t, "", func(last func() string) {
		time.Sleep(2 * time.Second)
		w.set(func() { w.fails["a"] = errors.New("no route") })
		w.heard(w.message(wsdiscovery.Hello, "a", "10.0.0.1"))
		time.Sleep(time.Second)
		if got := last(); got != "a (camera a at http://10.0.0.1/: no route)" {
			t.Errorf("%s", got)
		}
		time.Sleep(time.Minute)
		if got := last(); got != " (camera a: no route)" {
			t.Errorf("a minute after: %s", got)
		}
		w.set(func() { delete(w.fails, "a") })
		time.Sleep(6 * time.Minute)
		if got := last(); got != "a" {
			t.Errorf("when it answers again: %s", got)
		}
	})
}

// What cannot be probed is said.
func TestProblem(t *testing.T) {
	w := newWorld("a")
	w.problem = errors.New("no suitable network interface")
	w.run(t, "uuids: {action: Exclude, items: [a]}", func(last func() string) {
		time.Sleep(2 * time.Second)
		if got := last(); got != " (no suitable network interface)" {
			t.Errorf("%s", got)
		}
		w.set(func() {
			if w.asked["a"] > 0 {
				t.Error("a camera that is excluded was asked")
			}
			w.problem = nil
		})
		time.Sleep(time.Minute)
		if got := last(); got != "" {
			t.Errorf("%s", got)
		}
	})
}

// A question that is refused costs nothing.
func TestRefused(t *testing.T) {
	h := New(Options{NewAir: func(wsdiscovery.Options) Air { t.Error("opened for a question that is refused"); return nil }})
	for _, details := range []string{"nonsense", "networks: [10.0.0.0/8]"} {
		if err := h.Discover(t.Context(), discovery.Request{Details: details}, nil); !discovery.IsInvalid(err) {
			t.Errorf("%s: %v", details, err)
		}
	}
}

func TestWhere(t *testing.T) {
	w := newWorld()
	w.run(t, "interfaces: []\naddresses: [10.1.0.1]\nnetworks: [10.2.0.0/30, 10.3.0.0/31, 10.4.0.0/32]", func(last func() string) {
		time.Sleep(1100 * time.Millisecond)
		last()
		w.set(func() {
			if got := fmt.Sprint(w.unicast); got != "[10.1.0.1 10.2.0.1 10.2.0.2 10.3.0.0 10.3.0.1 10.4.0.0]" {
				t.Errorf("probed %s", got)
			}
		})
	})
}
