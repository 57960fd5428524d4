package wsdiscovery

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestSuitable(t *testing.T) {
	const up = net.FlagUp | net.FlagMulticast
	prefixes := func(list ...string) (all []netip.Prefix) {
		for _, s := range list {
			all = append(all, netip.MustParsePrefix(s))
		}
		return all
	}
	all := []Interface{
		{Name: "lo", Index: 1, Flags: net.FlagUp | net.FlagLoopback, Prefixes: prefixes("127.0.0.1/8", "::1/128")},
		{Name: "eth0", Index: 2, Flags: up, Prefixes: prefixes("10.0.0.5/24", "fe80::5/64", "2001:db8::5/64")},
		{Name: "eth1", Index: 3, Flags: net.FlagMulticast, Prefixes: prefixes("10.0.1.5/24")}, // down
		{Name: "eth2", Index: 4, Flags: up}, // a port of a bridge
		{Name: "wlan0", Index: 5, Flags: up, Prefixes: prefixes("fe80::6/64")},
		{Name: "veth12", Index: 6, Flags: up, Prefixes: prefixes("fe80::7/64")},
		{Name: "cni0", Index: 7, Flags: up, Prefixes: prefixes("10.42.0.1/24")},
		{Name: "ppp0", Index: 8, Flags: up | net.FlagPointToPoint, Prefixes: prefixes("10.9.9.9/32")},
	}
	for want, patterns := range map[string][]string{
		"[eth0 wlan0]": nil,
		"[]":           {},
		"[lo]":         {"lo"},
		"[veth12]":     {"veth*", "none"},
		"[eth0]":       {"eth?"},
	} {
		var got []string
		for _, i := range Suitable(all, patterns) {
			got = append(got, i.Name)
		}
		if fmt.Sprint(got) != want {
			t.Errorf("%q: %v, want %s", patterns, got, want)
		}
	}
	if got := fmt.Sprint(all[1].sources()); got != "[10.0.0.5 fe80::5%eth0]" {
		t.Errorf("sources of eth0: %s", got)
	}
	if got := len(Suitable(many(40), nil)); got != maxInterfaces {
		t.Errorf("%d of 40 interfaces", got)
	}
}

func many(n int) (list []Interface) {
	for i := range n {
		list = append(list, Interface{Name: fmt.Sprintf("eth%d", i), Index: i + 1, Flags: net.FlagUp | net.FlagMulticast,
			Prefixes: []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i), 0, 1}), 24)}})
	}
	return list
}

func TestLimiter(t *testing.T) {
	var l limiter
	now := time.Unix(1000, 0)
	bad, good := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")
	taken := 0
	for range 10_000 {
		if l.allow(bad, now) {
			taken++
		}
	}
	if taken != sourceBurst {
		t.Errorf("%d of a flood were taken", taken)
	}
	if !l.allow(good, now) {
		t.Error("another's flood keeps a camera out")
	}
	now = now.Add(time.Second)
	for taken = 0; l.allow(bad, now); taken++ {
	}
	if taken != sourceRate {
		t.Errorf("%d after a second", taken)
	}
	// Senders without number.
	for i := range 3 * maxSources {
		l.allow(netip.AddrFrom4([4]byte{11, byte(i >> 16), byte(i >> 8), byte(i)}), now)
	}
	if len(l.sources) > maxSources {
		t.Errorf("%d senders are remembered", len(l.sources))
	}
	if !l.allow(netip.MustParseAddr("10.0.0.3"), now.Add(time.Minute)) {
		t.Error("nobody new is let in a minute after")
	}
}

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
	a := NewAir(Options{Interfaces: func() ([]Interface, error) { return nil, nil }, Log: slog.New(slog.DiscardHandler)})
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
