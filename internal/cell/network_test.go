package cell

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func TestNetworksDoNotOverlap(t *testing.T) {
	whole := netip.MustParsePrefix("10.208.0.0/12")
	for i := range MaxLabs {
		n := Network{i}
		if !whole.Overlaps(n.All()) || n.All().Bits() < whole.Bits() {
			t.Errorf("%s is outside %s", n.All(), whole)
		}
		for j := range i {
			if n.All().Overlaps(Network{j}.All()) {
				t.Errorf("labs %d and %d share addresses", i, j)
			}
		}
		if !n.All().Contains(n.Cells().Addr()) {
			t.Errorf("%s is outside %s", n.Cells(), n.All())
		}
		seen := []netip.Addr{n.Host(), n.Hub()}
		for m := 1; m <= MaxMembers; m++ {
			if !n.Cells().Contains(n.Member(m)) || slices.Contains(seen, n.Member(m)) {
				t.Errorf("member %d has %s", m, n.Member(m))
			}
			seen = append(seen, n.Member(m))
		}
		if len(n.Interface()) > 15 {
			t.Errorf("%s is too long for an interface", n.Interface())
		}
	}
}

func TestPlansNameEachCellsOwn(t *testing.T) {
	l := Lab{Network: Network{3}, Hub: "cloud", Members: []string{"shop", "farm"}}
	text := func(plan [][]string) (lines []string) {
		for _, args := range plan {
			lines = append(lines, strings.Join(args, " "))
		}
		return lines
	}
	for _, tt := range []struct {
		plan [][]string
		want []string
	}{
		{l.hubPlan(), []string{
			"-n akri3-cloud addr add 10.211.0.2/24 dev akri",
			"link add akri3 address 02:ac:0a:d3:00:01 type veth peer name host netns akri3-cloud",
			"addr add 10.211.0.1/24 dev akri3",
		}},
		{l.memberPlan("farm", 2, false), []string{
			"-n akri3-cloud link add farm type veth peer name eth0 address 02:ac:0a:d3:00:0c netns akri3-farm",
			"-n akri3-farm addr add 10.211.0.12/24 dev eth0",
			"-n akri3-farm route add default via 10.211.0.1",
		}},
		{l.memberPlan("farm", 2, true), []string{"-n akri3-cloud link set farm up"}},
	} {
		lines := text(tt.plan)
		for _, want := range tt.want {
			if !slices.Contains(lines, want) {
				t.Errorf("missing: ip %s\nin\n%s", want, strings.Join(lines, "\n"))
			}
		}
	}
}
