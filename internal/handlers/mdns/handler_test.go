package mdns

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/discovery/discoverytest"
	"github.com/akri-go/akri/internal/eventually"
	"github.com/akri-go/akri/internal/handlers/mdns/dnsmsg"
	"github.com/akri-go/akri/internal/handlers/multicast"
	"github.com/akri-go/akri/internal/leaktest"
)

var (
	ipp  = dnsmsg.MustName("_ipp", "_tcp", "local")
	eth0 = multicast.Interface{Name: "eth0", Index: 2, Flags: net.FlagUp | net.FlagMulticast, Prefixes: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/24")}}
	eth1 = multicast.Interface{Name: "eth1", Index: 3, Flags: net.FlagUp | net.FlagMulticast, Prefixes: []netip.Prefix{netip.MustParsePrefix("10.0.1.1/24")}}
)

// printer is a device with an address.
func printer(label, address string, texts ...string) fakeDevice {
	a := netip.MustParseAddr(address)
	name, host := ipp.Child(label), dnsmsg.MustName("h"+strings.ReplaceAll(address, ".", "-"), "local")
	var text []byte
	for _, s := range texts {
		text = append(append(text, byte(len(s))), s...)
	}
	return fakeDevice{a, []dnsmsg.Record{
		{Name: ipp, Type: dnsmsg.TypePTR, TTL: 4500, Target: name},
		{Name: name, Type: dnsmsg.TypeSRV, TTL: 120, Target: host, Port: 631, Flush: true},
		{Name: name, Type: dnsmsg.TypeTXT, TTL: 4500, Text: text, Flush: true},
		{Name: host, Type: dnsmsg.TypeA, TTL: 120, Addr: a, Flush: true},
	}}
}

// goodbye is what a device sends last.
func goodbye(d fakeDevice) fakeDevice {
	r := d.records[0]
	r.TTL = 0
	return fakeDevice{d.from, []dnsmsg.Record{r}}
}

func newFake() *fakeAir {
	return &fakeAir{
		open: map[*fakeOpen]bool{}, interfaces: []multicast.Interface{eth0, eth1},
		devices: map[int][]fakeDevice{2: {printer("One", "10.0.0.11"), printer("Two", "10.0.0.12")}, 3: {printer("Far", "10.0.1.11")}},
	}
}

func TestConformance(t *testing.T) {
	discoverytest.Run(t, func(t *testing.T) discoverytest.Fixture {
		f := newFake()
		near := []string{"one._ipp._tcp.local", "two._ipp._tcp.local"}
		all := append([]string{"far._ipp._tcp.local"}, near...)
		return discoverytest.Fixture{
			Handler: New(Options{NewAir: f.new, Log: slog.New(slog.DiscardHandler), patience: 200 * time.Millisecond}),
			Request: discovery.Request{Details: "types: [_ipp._tcp]"},
			Present: all,
			Unplug: func() []string {
				f.set(eth0)
				return near
			},
			Depart: func() string {
				f.mu.Lock()
				one := f.devices[2][0]
				f.devices[2] = f.devices[2][1:]
				f.mu.Unlock()
				f.say(2, goodbye(one))
				return near[0]
			},
			Plug: func() []string {
				f.mu.Lock()
				f.devices[2] = newFake().devices[2]
				f.mu.Unlock()
				f.set(eth0, eth1)
				f.say(2, f.devices[2][0])
				return all
			},
			Invalid:     discovery.Request{Details: ""},
			AlsoInvalid: []discovery.Request{{Details: "types: [ipp]"}, {Details: "types: [_ipp._tcp]\nother: 1"}},
			Nothing:     &discovery.Request{Details: "types: [_none._tcp]"},
		}
	})
}

// asked is a request that is being answered.
type asked struct {
	mu   sync.Mutex
	list []discovery.Report
}

func ask(t *testing.T, o Options, details string) *asked {
	t.Helper()
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.patience = 100 * time.Millisecond
	a := &asked{}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = New(o).Explain(ctx, discovery.Request{Details: details}, func(r discovery.Report) error {
			a.mu.Lock()
			defer a.mu.Unlock()
			a.list = append(a.list, r)
			return nil
		})
	}()
	t.Cleanup(func() { cancel(); <-done })
	return a
}

// until waits for a report with ids and a note that has a text.
func (a *asked) until(t *testing.T, ids, note string) {
	t.Helper()
	eventually.Succeeds(t, eventually.Patience, func(context.Context) error {
		a.mu.Lock()
		defer a.mu.Unlock()
		if len(a.list) == 0 {
			return errors.New("no report")
		}
		last := a.list[len(a.list)-1]
		var got []string
		for _, d := range last.Devices {
			got = append(got, strings.TrimSuffix(d.ID, "._ipp._tcp.local"))
		}
		if strings.Join(got, " ") != ids || !strings.Contains(last.Note, note) || note == "" && last.Note != "" {
			return fmt.Errorf("want %q and the note %q, got %+v", ids, note, last)
		}
		return nil
	})
}

// What cannot be done is said, until it can be.
func TestProblems(t *testing.T) {
	leaktest.Check(t)
	f := newFake()
	f.problem = unix.EPERM
	a := ask(t, Options{NewAir: f.new}, "types: [_ipp._tcp]")
	a.until(t, "", "interface eth0: questions cannot be sent: operation not permitted")
	f.mu.Lock()
	f.problem = nil
	f.mu.Unlock()
	a.until(t, "far one two", "")
	f.set()
	a.until(t, "", "no suitable network interface: name one in interfaces")
	ask(t, Options{NewAir: f.new}, "types: [_ipp._tcp]\ninterfaces: []").until(t, "", "interfaces is empty")
	ask(t, Options{NewAir: f.new}, "types: [_ipp._tcp]\ninterfaces: [eth7]").until(t, "", "is called eth7")
}

// Requests share what is heard, and each gets what it wants.
func TestRequestsShare(t *testing.T) {
	leaktest.Check(t)
	f := newFake()
	h := New(Options{NewAir: f.new, Log: slog.New(slog.DiscardHandler), patience: 100 * time.Millisecond})
	complete := make(chan int, 2)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	for details, devices := range map[string]int{"types: [_ipp._tcp]\ninterfaces: [eth1]": 1, "types: [_ipp._tcp]\ninterfaces: [eth0]": 2} {
		running.Go(func() {
			_ = h.Explain(ctx, discovery.Request{Details: details}, func(r discovery.Report) error {
				if len(r.Devices) >= devices {
					select {
					case complete <- len(r.Devices):
					case <-ctx.Done():
					}
				}
				return nil
			})
		})
	}
	sum := <-complete + <-complete
	cancel()
	running.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	if sum != 3 || len(f.open) != 0 {
		t.Errorf("%d devices in all, %d stations are open", sum, len(f.open))
	}
}

// A device that says good-bye, and does not answer, has departed; one whose
// good-bye is another's has not.
func TestDeparted(t *testing.T) {
	leaktest.Check(t)
	f := newFake()
	a := ask(t, Options{NewAir: f.new}, "types: [_ipp._tcp]")
	a.until(t, "far one two", "")
	one, two := f.devices[2][0], f.devices[2][1]
	f.mu.Lock()
	f.devices[2] = []fakeDevice{two}
	f.mu.Unlock()
	f.say(2, goodbye(one))
	falseBye := goodbye(two)
	falseBye.from = netip.MustParseAddr("10.0.0.66")
	f.say(2, falseBye)
	a.until(t, "far two", "")
	eventually.Succeeds(t, eventually.Patience, func(context.Context) error {
		a.mu.Lock()
		defer a.mu.Unlock()
		last := a.list[len(a.list)-1]
		if strings.Join(last.Departed, " ") != "one._ipp._tcp.local" || len(last.Devices) != 2 {
			return fmt.Errorf("the last report is %+v", last)
		}
		return nil
	})
}

// A flood of services that do not exist is bounded, is said, and keeps nobody out.
func TestFlood(t *testing.T) {
	leaktest.Check(t)
	f := newFake()
	f.devices = nil
	var mu sync.Mutex
	dropped := 0
	a := ask(t, Options{NewAir: f.new, Dropped: func(string) {
		mu.Lock()
		defer mu.Unlock()
		dropped++
	}}, "types: [_ipp._tcp]\ninstances: {items: [real]}")
	a.until(t, "", "")
	for n := range 20 {
		var flood fakeDevice
		for i := range 100 {
			d := printer(fmt.Sprintf("False %d-%d", n, i), "10.0.0.66")
			flood.from, flood.records = d.from, append(flood.records, d.records...)
		}
		f.say(2, flood)
	}
	f.say(2, printer("Real", "10.0.0.11"))
	a.until(t, "real", "more than 512 of one address: the rest is left out")
	eventually.Succeeds(t, eventually.Patience, func(context.Context) error {
		mu.Lock()
		defer mu.Unlock()
		if dropped != 20*100-512 {
			return fmt.Errorf("%d were dropped", dropped)
		}
		return nil
	})
}

// That there was no room is said for some time, and not for ever.
func TestFullIsNoted(t *testing.T) {
	s := &station{all: []multicast.Interface{eth0}, links: map[int]*link{}}
	for after, noted := range map[time.Duration]bool{0: true, fullNoted / 2: true, fullNoted: false} {
		s.fullAt = time.Now().Add(-after)
		k, _ := s.known(&request{})
		if (len(k.problems) == 1) != noted || (k.again > 0) != noted || k.again > fullNoted {
			t.Errorf("after %s: %q, again after %s", after, k.problems, k.again)
		}
	}
}
