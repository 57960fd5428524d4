package migrate

import (
	"slices"
	"strings"
	"testing"
)

func TestPlan(t *testing.T) {
	for _, c := range []struct {
		name       string
		finalizers string
		deleting   bool
		exist      string
		ours       string
		want       string
	}{
		{name: "none"},
		{name: "a node that is gone", finalizers: "old", want: "old"},
		{name: "a node with an agent of ours", finalizers: "a", exist: "a", ours: "a", want: "a"},
		{name: "a node whose agent may be upstream's", finalizers: "a", exist: "a"},
		{name: "the same, but the object is being deleted", finalizers: "a", exist: "a", deleting: true, want: "a"},
		{name: "some of several", finalizers: "a b gone c", exist: "a b c", ours: "b", want: "b gone"},
		{name: "a dotted name", finalizers: "ip-10-0-0-1.example.org", want: "ip-10-0-0-1.example.org"},
		{name: "others' stay", finalizers: "example.org/hold foregroundDeletion orphan akri.sh/x", deleting: true},
		{name: "among others'", finalizers: "foregroundDeletion a example.org/hold", deleting: true, exist: "a", want: "a"},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := func(list string) func(string) bool {
				return func(node string) bool { return slices.Contains(strings.Fields(list), node) }
			}
			got := Plan(State{Finalizers: strings.Fields(c.finalizers), Deleting: c.deleting, Exists: in(c.exist), Ours: in(c.ours)})
			if strings.Join(got, " ") != c.want {
				t.Errorf("removes %q, want %q", got, c.want)
			}
		})
	}
}

func TestPatch(t *testing.T) {
	got, err := Patch([]string{"a", "example.org/x", "b"}, []string{"a", "b"})
	if err != nil {
		t.Fatal(err)
	}
	const want = `[{"op":"test","path":"/metadata/finalizers/2","value":"b"},{"op":"remove","path":"/metadata/finalizers/2"},` +
		`{"op":"test","path":"/metadata/finalizers/0","value":"a"},{"op":"remove","path":"/metadata/finalizers/0"}]`
	if string(got) != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}
