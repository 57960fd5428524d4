package multicast

import (
	"fmt"
	"net"
	"net/netip"
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
	if got := fmt.Sprint(all[1].Sources()); got != "[10.0.0.5 fe80::5%eth0]" {
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
	var l Limiter
	now := time.Unix(1000, 0)
	bad, good := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")
	taken := 0
	for range 10_000 {
		if l.Allow(bad, now) {
			taken++
		}
	}
	if taken != sourceBurst {
		t.Errorf("%d of a flood were taken", taken)
	}
	if !l.Allow(good, now) {
		t.Error("another's flood keeps a camera out")
	}
	now = now.Add(time.Second)
	for taken = 0; l.Allow(bad, now); taken++ {
	}
	if taken != sourceRate {
		t.Errorf("%d after a second", taken)
	}
	// Senders without number.
	for i := range 3 * maxLimited {
		l.Allow(netip.AddrFrom4([4]byte{11, byte(i >> 16), byte(i >> 8), byte(i)}), now)
	}
	if len(l.sources) > maxLimited {
		t.Errorf("%d senders are remembered", len(l.sources))
	}
	if !l.Allow(netip.MustParseAddr("10.0.0.3"), now.Add(time.Minute)) {
		t.Error("nobody new is let in a minute after")
	}
}
