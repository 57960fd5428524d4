package devcluster

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func TestNetworksDoNotOverlap(t *testing.T) {
	whole := netip.MustParsePrefix("10.208.0.0/12")
	for i := range maxClusters {
		n := Network{i}
		if !whole.Overlaps(n.All()) || n.All().Bits() < whole.Bits() {
			t.Errorf("%s is outside %s", n.All(), whole)
		}
		for j := range i {
			if n.All().Overlaps(Network{j}.All()) {
				t.Errorf("clusters %d and %d share addresses", i, j)
			}
		}
		parts := []netip.Prefix{n.Nodes(), n.Services(), n.Pods()}
		for k, p := range parts {
			if !n.All().Contains(p.Addr()) {
				t.Errorf("%s is outside %s", p, n.All())
			}
			for _, q := range parts[:k] {
				if p.Overlaps(q) {
					t.Errorf("%s overlaps %s", p, q)
				}
			}
		}
		for node := 1; node <= MaxNodes; node++ {
			if !n.Nodes().Contains(n.Node(node)) || !n.Pods().Contains(n.NodePods(node).Addr()) {
				t.Errorf("node %d has %s and %s", node, n.Node(node), n.NodePods(node))
			}
		}
		for _, a := range []netip.Addr{n.APIService(), n.DNS()} {
			if !n.Services().Contains(a) {
				t.Errorf("%s is outside %s", a, n.Services())
			}
		}
		if len(n.Interface()) > 15 {
			t.Errorf("%s is too long for an interface", n.Interface())
		}
	}
}

func TestRoutesReachEveryNodeFromEverywhere(t *testing.T) {
	n := Network{3}
	var lines []string
	for _, args := range n.routePlan(2) {
		lines = append(lines, strings.Join(args, " "))
	}
	for _, want := range []string{
		"route replace 10.211.16.0/20 via 10.211.0.11",
		"route replace 10.211.65.0/24 via 10.211.0.11",
		"route replace 10.211.66.0/24 via 10.211.0.12",
		"-n akri3-control-plane route replace 10.211.65.0/24 via 10.211.0.11",
		"-n akri3-control-plane route replace 10.211.66.0/24 via 10.211.0.12",
		"-n akri3-node2 route replace 10.211.65.0/24 via 10.211.0.11",
		"-n akri3-node1 route replace 10.211.66.0/24 via 10.211.0.12",
	} {
		if !slices.Contains(lines, want) {
			t.Errorf("missing: ip %s", want)
		}
	}
	if len(lines) != 7 {
		t.Errorf("%d routes:\n%s", len(lines), strings.Join(lines, "\n"))
	}
}

func TestChooseIndex(t *testing.T) {
	prefixes := func(list ...string) (out []netip.Prefix) {
		for _, s := range list {
			out = append(out, netip.MustParsePrefix(s))
		}
		return out
	}
	full := map[int]string{}
	for i := range maxClusters {
		full[i] = "/other"
	}
	tests := []struct {
		name  string
		want  int
		used  map[int]string
		inUse []netip.Prefix
		index int
		err   string
	}{
		{name: "first", want: -1, index: 0},
		{name: "next free", want: -1, used: map[int]string{0: "/a", 1: "/b"}, index: 2},
		{name: "own again", want: -1, used: map[int]string{0: "/a", 4: "/mine"}, index: 4},
		{name: "own again although its interface is up", want: 4, used: map[int]string{4: "/mine"}, inUse: prefixes("10.212.0.1/24"), index: 4},
		{name: "network of the machine", want: -1, inUse: prefixes("10.208.7.1/24", "10.209.0.0/16"), index: 2},
		{name: "address alone", want: -1, inUse: prefixes("10.208.1.1/32"), index: 1},
		{name: "after a reboot", want: 5, index: 5},
		{name: "after a reboot, taken by a cluster", want: 5, used: map[int]string{5: "/other"}, err: "/other"},
		{name: "after a reboot, taken by a network", want: 5, inUse: prefixes("10.213.0.0/16"), err: "10.213.0.0/16"},
		{name: "all taken", want: -1, used: full, err: "no free network"},
		{name: "all covered", want: -1, inUse: prefixes("10.192.0.0/10"), err: "no free network"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := chooseIndex("/mine", tt.want, tt.used, tt.inUse)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Fatalf("error %v, want one with %q", err, tt.err)
				}
				return
			}
			if err != nil || got != tt.index {
				t.Errorf("got %d, %v, want %d", got, err, tt.index)
			}
		})
	}
}

func TestParseRoutes(t *testing.T) {
	text := `Iface	Destination	Gateway 	Flags	RefCnt	Use	Metric	Mask		MTU	Window	IRTT
eth0	00000000	010200C0	0003	0	0	0	00000000	0	0	0
eth0	000200C0	00000000	0001	0	0	0	00FFFFFF	0	0	0
tun0	0000000A	00000000	0001	0	0	0	000000FF	0	0	0
akri0	0000D00A	00000000	0001	0	0	0	0000FFFF	0	0	0
broken	zz	00000000	0001	0	0	0	00FFFFFF	0	0	0
short	00
`
	want := []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("10.208.0.0/16")}
	if got := parseRoutes(text); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
