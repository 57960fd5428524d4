package store

import (
	"context"
	"fmt"
	"testing"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
	"github.com/akri-go/akri/internal/edge/metamanager/selector"
)

func TestWithin(t *testing.T) {
	account := edgev1.As{ServiceAccount: "n/sa"}
	maps := edgev1.Interest{Version: "v1", Resource: "configmaps"}
	in := func(i edgev1.Interest, namespace, labels, fields string) edgev1.Interest {
		i.Namespace, i.LabelSelector, i.FieldSelector = namespace, labels, fields
		return i
	}
	as := func(i edgev1.Interest, as edgev1.As) edgev1.Interest { i.As = as; return i }
	got := func(i edgev1.Interest) edgev1.Interest { i.Get = true; return i }
	group := func(i edgev1.Interest) edgev1.Interest { i.Group = "other"; return i }
	version := func(i edgev1.Interest) edgev1.Interest { i.Version = "v2"; return i }
	one := in(maps, "n", "", "metadata.name=x")
	for name, c := range map[string]struct {
		query, wide edgev1.Interest
		want        bool
	}{
		"the same":                            {one, one, true},
		"one of a namespace":                  {one, in(maps, "n", "", ""), true},
		"one of all namespaces":               {one, maps, true},
		"a namespace of all":                  {in(maps, "n", "", ""), maps, true},
		"all of a namespace":                  {maps, in(maps, "n", "", ""), false},
		"another namespace":                   {one, in(maps, "m", "", ""), false},
		"another resource":                    {one, in(edgev1.Interest{Version: "v1", Resource: "secrets"}, "n", "", ""), false},
		"another group":                       {one, group(in(maps, "n", "", "")), false},
		"another version":                     {one, version(in(maps, "n", "", "")), false},
		"what somebody else follows":          {one, as(in(maps, "n", "", ""), account), false},
		"what the node follows, of a Pod":     {as(one, account), in(maps, "n", "", ""), false},
		"what the account itself follows":     {as(one, account), as(in(maps, "n", "", ""), account), true},
		"what another account follows":        {as(one, account), as(in(maps, "n", "", ""), edgev1.As{ServiceAccount: "n/other"}), false},
		"what was only got":                   {one, got(one), false},
		"a name within labels":                {in(maps, "n", "app=x", "metadata.name=x"), in(maps, "n", "app=x", ""), true},
		"a name that may not have the labels": {one, in(maps, "n", "app=x", ""), false},
		"a field that is not known here":      {in(maps, "n", "", "data.x=y"), in(maps, "n", "", ""), false},
	} {
		parse := func(i edgev1.Interest) selector.Selector {
			s, err := selector.Parse(i.Group, i.Resource, i.LabelSelector, i.FieldSelector)
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		if _, ok := within(c.query, parse(c.query), c.wide, parse(c.wide)); ok != c.want {
			t.Errorf("%s: %v", name, ok)
		}
	}
}

// A part is listed and watched as if it were followed itself.
func TestPart(t *testing.T) {
	tr := fresh(t)
	all := edgev1.Interest{Version: "v1", Resource: "pods", Namespace: "n"}
	running := edgev1.Interest{Version: "v1", Resource: "pods", Namespace: "n", FieldSelector: "status.phase=Running"}
	if _, _, err := tr.ListWithin(running); err != ErrNotSynced {
		t.Errorf("nothing is followed: %v", err)
	}
	tr.follow(all)
	tr.put(all, "a", "u1", "5", "Running")
	tr.put(all, "b", "u2", "6", "Failed")
	list, rv, err := tr.ListWithin(running)
	if err != nil || len(list) != 1 || list[0].Name != "a" {
		t.Fatalf("%v, %v", list, err)
	}
	w, err := tr.WatchWithin(running, rv)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	tr.put(all, "b", "u2", "7", "Running")
	tr.put(all, "a", "u1", "8", "Failed")
	tr.put(all, "a", "u1", "9", "Failed") // nothing that the watch sees
	tr.put(all, "b", "u2", "10", "Running")
	tr.Gone(all, edgev1.Item{Namespace: "n", Name: "b", UID: "u2"})
	text := ""
	for text != "ADDED b, DELETED a, MODIFIED b, DELETED b, " {
		ctx, cancel := context.WithCancel(t.Context())
		changes, _, err := w.Next(ctx)
		cancel()
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range changes {
			text += fmt.Sprintf("%s %s, ", c.Type, c.Object.Name)
		}
		if len(text) > 100 {
			t.Fatal(text)
		}
	}
	if tr.Follows(running) {
		t.Error("it takes a place of its own")
	}
	// It lasts as long as what it is a part of.
	tr.Drop(all)
	if _, _, err := w.Next(t.Context()); err != ErrDropped {
		t.Errorf("%v", err)
	}
}
