package edgecontroller

import (
	"slices"
	"strings"
	"testing"
)

func TestSites(t *testing.T) {
	var s sites
	for _, c := range []struct {
		node, site string
		changed    string
		reach      string // of node
	}{
		{"a", "", "", "a"},
		{"a", "shop", "a", "a"},
		{"b", "shop", "a b", "b a"},
		{"b", "shop", "", "b a"},
		{"c", "shop", "a b c", "c a b"},
		{"b", "ship", "a b c", "b"},
		{"c", "ship", "a b c", "c b"},
		{"c", "", "b c", "c"},
		{"b", "", "b", "b"},
		{"a", "", "a", "a"},
	} {
		changed := s.set(c.node, c.site)
		slices.Sort(changed)
		if got := strings.Join(changed, " "); got != c.changed {
			t.Errorf("%s to %q: %q have changed, want %q", c.node, c.site, got, c.changed)
		}
		if got := strings.Join(s.reach(c.node), " "); got != c.reach {
			t.Errorf("%s at %q reaches %q, want %q", c.node, c.site, got, c.reach)
		}
	}
	if len(s.of)+len(s.nodes) > 0 {
		t.Errorf("left over: %v %v", s.of, s.nodes)
	}
}
