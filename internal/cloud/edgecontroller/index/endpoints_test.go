package index

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/akri-go/akri/internal/cloud/edgecontroller/kube"
)

func TestNodesOf(t *testing.T) {
	for object, want := range map[string]string{
		`{"metadata":{},"endpoints":[{"nodeName":"b"},{"nodeName":"a"},{"nodeName":"b"}]}`:        "a,b",
		`{"metadata":{},"endpoints":[{"nodeName":"b"},{}]}`:                                       "*",
		`{"metadata":{},"endpoints":[]}`:                                                          "",
		`{"metadata":{}}`:                                                                         "",
		`{"metadata":{},"endpoints":{}}`:                                                          "*",
		`{"metadata":{"labels":{"edge.akri.sh/endpoints":"all"}},"endpoints":[{"nodeName":"b"}]}`: "*",
		`{"metadata":{"labels":{"edge.akri.sh/endpoints":"x"}},"endpoints":[{"nodeName":"b"}]}`:   "b",
		`{"metadata":{"namespace":"default","labels":{"kubernetes.io/service-name":"kubernetes"}},"endpoints":[{"nodeName":"b"}]}`: "*",
		`{"metadata":{"namespace":"other","labels":{"kubernetes.io/service-name":"kubernetes"}},"endpoints":[{"nodeName":"b"}]}`:   "b",
	} {
		var m kube.Meta
		if err := json.Unmarshal([]byte(object), &m); err != nil {
			t.Fatal(err)
		}
		if got := nodesOf(&m, []byte(object)); got != want {
			t.Errorf("%s: %q, want %q", object, got, want)
		}
	}
}

func TestLists(t *testing.T) {
	for _, c := range []struct {
		a, b    string
		share   bool
		missing string // of a, that are not in b
	}{
		{"a", "a", true, ""}, {"a", "b", false, "a"}, {"a,b", "b,c", true, "a"}, {"a,b", "c", false, "a b"},
		{"ab", "a,b", false, "ab"}, {"", "a", false, ""}, {"a", "", false, "a"}, {"", "", true, ""},
	} {
		if got := share(c.a, c.b); got != c.share {
			t.Errorf("%q and %q share: %v", c.a, c.b, got)
		}
		if got := strings.Join(missing(c.a, c.b), " "); got != c.missing {
			t.Errorf("%q but not %q: %q", c.a, c.b, got)
		}
	}
}

// A node has the EndpointSlices with endpoints that it reaches, and is told of no
// others; one that is in several of its slices it has once.
func TestEndpointSlices(t *testing.T) {
	x := New(Options{Reach: func(node string) []string {
		return map[string][]string{"n1": {"n1"}, "n2": {"n2", "n3"}}[node]
	}})
	s := Selection{Resource: endpoints}
	one, first := follow(t, x, s, "n1", alice)
	two, second := follow(t, x, s, "n2", alice)
	if one.f != two.f {
		t.Fatal("they do not share a watch")
	}
	f := one.f
	event := func(kind, name, version string, nodes ...string) {
		t.Helper()
		var all []map[string]string
		for _, n := range nodes {
			all = append(all, map[string]string{"nodeName": n})
		}
		object, err := json.Marshal(map[string]any{"endpoints": all, "metadata": map[string]string{
			"namespace": "x", "name": name, "uid": "u" + name, "resourceVersion": version}})
		if err != nil {
			t.Fatal(err)
		}
		if err := f.take(kube.Event{Type: kind, Object: object}); err != nil {
			t.Fatal(err)
		}
	}
	check := func(wantFirst, wantSecond, hasFirst, hasSecond string) {
		t.Helper()
		// One that is in two of a node's slices is told twice, which is marked once.
		told := func(h *heard) string {
			keys := strings.Fields(h.take())
			return strings.Join(slices.Compact(keys), " ")
		}
		if got := told(first); got != wantFirst {
			t.Errorf("n1 was told %q, want %q", got, wantFirst)
		}
		if got := told(second); got != wantSecond {
			t.Errorf("n2 was told %q, want %q", got, wantSecond)
		}
		f.mu.Lock()
		f.synced = true
		f.mu.Unlock()
		for sub, want := range map[*Subscription]string{one: hasFirst, two: hasSecond} {
			if got, err := names(sub); err != nil || got != want {
				t.Errorf("%s has %q, want %q, %v", sub.slice, got, want, err)
			}
		}
	}
	event("ADDED", "a", "1", "n1")
	event("ADDED", "b", "2", "n2", "n3")
	event("ADDED", "c", "3", "")
	event("ADDED", "d", "4", "n9")
	event("ADDED", "e", "5")
	check("a c", "b c", "a@1 c@3", "b@2 c@3")
	event("MODIFIED", "b", "6", "n1", "n3")
	check("b", "-b b", "a@1 b@6 c@3", "b@6 c@3")
	event("MODIFIED", "b", "7", "n9")
	check("-b", "-b", "a@1 c@3", "c@3")
	event("MODIFIED", "b", "8", "n8")
	check("", "", "a@1 c@3", "c@3")
	event("MODIFIED", "e", "9", "n1", "n2")
	check("e", "e", "a@1 c@3 e@9", "c@3 e@9")
	event("DELETED", "e", "10", "n1", "n2")
	check("-e", "-e", "a@1 c@3", "c@3")
	if n := len(f.slices); n != 4 { // n1, *, n8, n9
		t.Errorf("%d slices are kept: %v", n, f.slices)
	}
	two.Close()
	one.Close()
	if len(f.subs) != 0 {
		t.Errorf("subscriptions are left: %v", f.subs)
	}
}
