package cell

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func TestChooseIndex(t *testing.T) {
	prefixes := func(list ...string) (out []netip.Prefix) {
		for _, s := range list {
			out = append(out, netip.MustParsePrefix(s))
		}
		return out
	}
	full := map[int]string{}
	for i := range MaxLabs {
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
