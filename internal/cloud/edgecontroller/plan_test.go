package edgecontroller

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
)

// items reads "a@u1/3": name, UID and version.
func items(text string) (out []edgev1.Item) {
	for word := range strings.FieldsSeq(text) {
		name, rest, _ := strings.Cut(word, "@")
		uid, version, _ := strings.Cut(rest, "/")
		out = append(out, edgev1.Item{Namespace: "x", Name: name, UID: uid, Version: version})
	}
	return out
}

func TestPlan(t *testing.T) {
	for _, tt := range []struct{ has, should, put, gone string }{
		{"", "", "", ""},
		{"", "a@1/1 b@2/2", "a b", ""},
		{"a@1/1 b@2/2", "b@2/2 a@1/1", "", ""},
		{"a@1/1", "a@1/2", "a", ""},
		{"a@1/2", "a@1/1", "a", ""}, // a history that was forgotten
		{"a@1/1", "a@9/1", "a", ""}, // another object of that name
		{"a@1/1 b@2/2 c@3/3", "b@2/3", "b", "a@1 c@3"},
		{"a@1/1 a@1/1", "", "", "a@1"}, // said twice
		{"a@1/1 a@2/2", "", "", "a@2"},
		{"a@1/1 a@2/2", "a@2/2", "", ""},
	} {
		put, gone := Plan(items(tt.has), items(tt.should))
		var puts, gones []string
		for _, k := range put {
			puts = append(puts, k.Name)
		}
		for _, i := range gone {
			if i.Version != "" {
				t.Errorf("%q: %+v has a version", tt.has, i)
			}
			gones = append(gones, fmt.Sprintf("%s@%s", i.Name, i.UID))
		}
		slices.Sort(gones)
		if strings.Join(puts, " ") != tt.put || strings.Join(gones, " ") != tt.gone {
			t.Errorf("%q, should be %q: put %q, gone %q", tt.has, tt.should, puts, gones)
		}
	}
}

func TestLabelPatch(t *testing.T) {
	for _, tt := range []struct {
		has  map[string]string
		want string
	}{
		{nil, `{"metadata":{"labels":{"node-role.kubernetes.io/agent":"","node-role.kubernetes.io/edge":""}}}`},
		{map[string]string{"node-role.kubernetes.io/edge": "mine"},
			`{"metadata":{"labels":{"node-role.kubernetes.io/agent":""}}}`},
		{map[string]string{"node-role.kubernetes.io/edge": "", "node-role.kubernetes.io/agent": "x"}, ""},
	} {
		if got, err := labelPatch(tt.has); string(got) != tt.want || err != nil {
			t.Errorf("%v: %s, %v", tt.has, got, err)
		}
	}
}

// What is kept of objects, and that nonsense is nothing.
func TestKeep(t *testing.T) {
	pod := keepPod([]byte(`{"metadata":{"annotations":{"edge.akri.sh/autonomy":"false","x":"y"}},"spec":{"nodeName":"n","serviceAccountName":"a"}}`))
	if n := pod.(podNote); n.node != "n" || n.account != "a" || !n.lift ||
		fmt.Sprint(n.autonomy) != "map[edge.akri.sh/autonomy:false]" {
		t.Errorf("%+v", n)
	}
	ended := keepPod([]byte(`{"spec":{"nodeName":"n","serviceAccountName":"a"},"status":{"phase":"Failed"}}`))
	if n := ended.(podNote); n.account != "" || n.lift {
		t.Errorf("%+v", n)
	}
	node := keepNode([]byte(`{"metadata":{"uid":"u","labels":{"node-role.kubernetes.io/edge":"","x":"y"}}}`))
	if n := node.(nodeNote); n.uid != "u" || len(n.labels) != 1 || n.autonomy != nil {
		t.Errorf("%+v", n)
	}
	for _, keep := range []func([]byte) any{keepPod, keepNode, keepNamespace} {
		if got := keep([]byte(`{"metadata":1}`)); got != nil {
			t.Errorf("nonsense is %+v", got)
		}
	}
}

func TestForgotten(t *testing.T) {
	for _, tt := range []struct {
		has, should, list string
		certain           bool
		ahead             string
	}{
		{"", "a@1/5", "9", false, ""},
		{"a@1/5", "a@1/5", "9", false, ""},
		{"a@1/5", "a@1/6", "9", false, ""},
		{"a@1/6", "a@1/5", "9", true, ""},     // the list is newer, and yet
		{"a@1/6", "a@2/5", "9", false, ""},    // another object of that name
		{"a@1/6", "", "9", false, ""},         // deleted
		{"a@1/12", "a@1/5", "9", false, "12"}, // a call's answer, perhaps
		{"a@1/12 b@2/13", "a@1/5", "9", false, "13"},
		{"a@1/12 b@2/6", "b@2/5", "9", true, "12"},
		{"a@1/12", "a@1/5", "x", false, ""}, // no number: nothing can be told
	} {
		certain, ahead := forgotten(items(tt.has), items(tt.should), tt.list)
		if certain != tt.certain || ahead != tt.ahead {
			t.Errorf("has %q, should have %q, list %s: %v, %q", tt.has, tt.should, tt.list, certain, ahead)
		}
	}
}
