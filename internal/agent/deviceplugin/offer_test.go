package deviceplugin

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	pluginapi "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/agent/ledger"
)

// slots makes the slots of an Instance from words, one a slot: "free", "inst",
// "conf" (held here), "other" (node), "old" (held under upstream's id) and
// "kept" (withheld), with "-idle", "-kept" and "-idle-kept".
func slots(instance string, words ...string) []ledger.Slot {
	var all []ledger.Slot
	for i, word := range words {
		s := ledger.Slot{ID: v0.SlotID(instance, i), Index: i}
		kind, state, _ := strings.Cut(word, "-")
		s.Idle, s.Withheld = strings.HasPrefix(state, "idle"), strings.HasSuffix(word, "kept")
		switch kind {
		case "inst":
			s.Here, s.Usage = true, v0.Usage{Node: "a", Door: v0.DoorInstance}
		case "conf":
			s.Here, s.Usage = true, v0.Usage{Node: "a", Door: v0.DoorConfiguration, VirtualDevice: s.ID}
		case "old":
			s.Here, s.Usage = true, v0.Usage{Node: "a", Door: v0.DoorConfiguration, VirtualDevice: "cam-9"}
		case "other":
			s.Usage = v0.Usage{Node: "b", Door: v0.DoorInstance}
		}
		all = append(all, s)
	}
	return all
}

func show(list []*pluginapi.Device) string {
	var ids []string
	for _, d := range list {
		id := strings.TrimPrefix(d.ID, "cam-")
		if d.Health != pluginapi.Healthy {
			id += "!"
		}
		ids = append(ids, id)
	}
	return strings.Join(ids, " ")
}

func TestOfferInstance(t *testing.T) {
	tests := []struct {
		words  string
		usable bool
		want   string
	}{
		{"", true, ""},
		{"free inst conf other inst-idle conf-idle old", true, "a-0 a-1 a-2! a-3! a-4 a-5! a-6!"},
		{"free inst conf", false, "a-0! a-1! a-2!"},
		{"free kept inst", true, "a-0 a-1! a-2"},
		{"inst-kept inst-idle-kept free", true, "a-0! a-1! a-2"},
	}
	for _, test := range tests {
		got := show(offerInstance(share{usable: test.usable, slots: slots("cam-a", strings.Fields(test.words)...)}))
		if got != test.want {
			t.Errorf("%q, usable %v: offers %q, want %q", test.words, test.usable, got, test.want)
		}
	}
}

func TestOfferConfiguration(t *testing.T) {
	type instance struct {
		words   string
		start   int
		offline bool
	}
	tests := map[string]struct {
		instances []instance
		want      string
	}{
		"nothing":                     {},
		"one free slot of each":       {[]instance{{words: "free free"}, {words: "free"}}, "a-1 b-0"},
		"the last of its turn":        {[]instance{{words: "free free free", start: 1}}, "a-0"},
		"and those in use":            {[]instance{{words: "conf free free"}, {words: "conf"}}, "a-0 a-2 b-0"},
		"none to spare":               {[]instance{{words: "inst other"}, {words: "free"}}, "b-0"},
		"an idle one is the spare":    {[]instance{{words: "conf-idle free free"}, {words: "free conf-idle"}}, "a-0 b-1"},
		"one of several idle ones":    {[]instance{{words: "conf-idle conf-idle conf"}}, "a-2 a-0"},
		"idle through the other":      {[]instance{{words: "inst-idle free"}}, "a-1"},
		"nothing that is kept back":   {[]instance{{words: "free kept"}, {words: "kept"}}, "a-0"},
		"in use, and given away":      {[]instance{{words: "conf-kept free"}}, "a-0! a-1"},
		"idle, and given away":        {[]instance{{words: "conf-idle-kept free"}, {words: "conf-idle-kept"}}, "a-1"},
		"offline":                     {[]instance{{words: "conf free", offline: true}, {words: "free"}}, "a-0! a-1! b-0"},
		"upstream's id, in use":       {[]instance{{words: "old free"}}, "9 a-1"},
		"upstream's id, not in use":   {[]instance{{words: "old-idle free"}}, "a-1"},
		"upstream's id, nothing else": {[]instance{{words: "old-idle"}}, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var shares []share
			for i, in := range test.instances {
				name := "cam-" + string(rune('a'+i))
				shares = append(shares, share{instance: name, usable: !in.offline, start: in.start, slots: slots(name, strings.Fields(in.words)...)})
			}
			if got := show(offerConfiguration(shares)); got != test.want {
				t.Errorf("offers %q, want %q", got, test.want)
			}
		})
	}
}

func TestPrefer(t *testing.T) {
	shares := map[string]share{
		"cam-a": {start: 2, slots: slots("cam-a", "inst", "free", "free", "conf-idle")},
		"cam-b": {slots: slots("cam-b", "free", "free")},
		"cam-c": {slots: slots("cam-c", "free", "conf", "conf")},
	}
	ids := func(s string) (ids []string) {
		for _, id := range strings.Fields(s) {
			ids = append(ids, "cam-"+id)
		}
		return ids
	}
	tests := map[string]struct {
		available, must string
		size            int
		distinct        bool
		want            string
	}{
		"its turn":                       {"a-1 a-2", "", 1, false, "a-2"},
		"what it holds first":            {"a-1 a-2 a-3", "", 2, false, "a-3 a-2"},
		"all":                            {"b-1 b-0", "", 2, false, "b-0 b-1"},
		"more than there are":            {"b-1 b-0", "", 3, false, "b-0 b-1"},
		"distinct, the least used first": {"c-0 a-1 b-0 b-1", "", 2, true, "b-0 a-1"},
		"distinct, all of them":          {"c-0 a-1 b-0 b-1", "", 3, true, "b-0 a-1 c-0"},
		"distinct, not enough":           {"b-0 b-1", "", 2, true, "b-0"},
		"distinct from what it must":     {"b-0 b-1 c-0", "b-1", 2, true, "b-1 c-0"},
		"what it must alone":             {"b-0 b-1", "b-1", 1, true, "b-1"},
		"unknown ones":                   {"x-0 b-0", "", 2, true, "b-0 x-0"},
		"no slot ids":                    {"b-0 x-y", "", 2, false, "b-0"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := prefer(ids(test.available), ids(test.must), test.size, test.distinct, shares)
			if !slices.Equal(got, ids(test.want)) {
				t.Errorf("prefers %v, want %v", got, ids(test.want))
			}
		})
	}
}

// Nodes begin at different slots, and the two doors meet at the end only.
func TestTurns(t *testing.T) {
	seen := make(map[int]bool)
	for _, node := range []string{"n1", "n2", "n3", "n4", "n5", "n6", "n7", "n8"} {
		start := startOf(node, true, 5)
		if start < 0 || start >= 5 || start != startOf(node, true, 5) {
			t.Fatalf("node %s starts at %d", node, start)
		}
		seen[start] = true
		s := share{instance: "cam-a", usable: true, start: start, slots: slots("cam-a", "free", "free", "free", "free", "free")}
		first := prefer([]string{"cam-a-0", "cam-a-1", "cam-a-2", "cam-a-3", "cam-a-4"}, nil, 5, false, map[string]share{"cam-a": s})
		if spare := offerConfiguration([]share{s})[0].ID; spare != first[4] {
			t.Errorf("node %s: the other door offers %s, want the last of %v", node, spare, first)
		}
	}
	if len(seen) < 3 {
		t.Errorf("8 nodes start at %d slots only", len(seen))
	}
	if got := []int{startOf("n1", false, 5), startOf("n1", true, 0)}; !cmp.Equal(got, []int{0, 0}) {
		t.Errorf("a local device and one without slots start at %v", got)
	}
}
