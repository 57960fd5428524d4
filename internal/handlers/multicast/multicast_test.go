package multicast

import (
	"fmt"
	"net"
	"net/netip"
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

// A flood from all addresses of a network, each within its limits, keeps nobody from
// being read that sends little.
func TestLimiterIsFair(t *testing.T) {
	var l Limiter
	now := time.Unix(1000, 0)
	good := netip.MustParseAddr("10.0.0.1")
	taken := 0
	for i := range 60 * 5000 { // a minute
		now = now.Add(time.Second / 5000)
		if l.Allow(netip.AddrFrom4([4]byte{10, 0, 1, byte(i % 250)}), now) {
			taken++
		}
		if i%5000 == 0 && !l.Allow(good, now) {
			t.Fatalf("after %d s it is not read", i/5000)
		}
	}
	if most := 60*(totalRate+250*leastRate) + totalBurst + 250*leastBurst; taken > most {
		t.Errorf("%d were taken, at most %d should be", taken, most)
	}
}

// One that was there before is read whatever number of senders come, and forgotten
// when it has been silent for long.
func TestLimiterRemembers(t *testing.T) {
	var l Limiter
	now := time.Unix(1000, 0)
	good := netip.MustParseAddr("10.0.0.1")
	for range 2 {
		l.Allow(good, now)
		now = now.Add(settledAfter)
	}
	flood := func() {
		for i := range 2 * maxLimited {
			now = now.Add(time.Millisecond)
			l.Allow(netip.AddrFrom4([4]byte{11, byte(now.Unix()), byte(i >> 8), byte(i)}), now)
		}
	}
	l.Allow(good, now)
	for range 5 {
		flood()
	}
	if l.sources[good] == nil || !l.Allow(good, now) || len(l.sources) > maxLimited {
		t.Errorf("it is not read; %d senders are remembered", len(l.sources))
	}
	now = now.Add(settledAfter)
	flood()
	if l.sources[good] != nil {
		t.Error("it is never forgotten")
	}
}

// Whoever names an interface that is not there is told which are.
func TestNoneCalled(t *testing.T) {
	up := func(name string) Interface {
		return Interface{Name: name, Flags: net.FlagUp, Prefixes: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/24")}}
	}
	all := []Interface{up("eth0"), {Name: "down0"}, up("lo")}
	got := NoneCalled(all, []string{"eth1", "wlan*"})
	if want := "no suitable network interface: none that is up and has an address is called eth1 or wlan*; there are eth0, lo"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got := NoneCalled(nil, []string{"eth1"}); !strings.HasSuffix(got, "is called eth1") {
		t.Errorf("%s", got)
	}
	for n := range 20 {
		all = append(all, up(fmt.Sprintf("eth%d", 1+n)))
	}
	if got := NoneCalled(all, []string{"x"}); !strings.HasSuffix(got, ", 8 more") {
		t.Errorf("%s", got)
	}
}
