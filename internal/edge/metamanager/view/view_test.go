package view

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
	"github.com/akri-go/akri/internal/edge/metamanager/rewrite"
	"github.com/akri-go/akri/internal/edge/metamanager/store"
	"github.com/akri-go/akri/internal/eventually"
	"github.com/akri-go/akri/internal/leaktest"
)

var (
	own    = edgev1.Interest{Version: "v1", Resource: "nodes", FieldSelector: "metadata.name=edge-1"}
	site   = edgev1.Interest{Version: "v1", Resource: "nodes", LabelSelector: "edge.akri.sh/site=shop", As: edgev1.As{Component: "kube-proxy"}}
	slices = edgev1.Interest{Group: "discovery.k8s.io", Version: "v1", Resource: "endpointslices"}
)

const slice = `{"apiVersion":"discovery.k8s.io/v1","kind":"EndpointSlice","metadata":{"name":"s","namespace":"a","uid":"s","resourceVersion":"1"},"endpoints":[{"addresses":["10.0.0.2"],"nodeName":"edge-2"}]}`

func node(name, site string) []byte {
	return fmt.Appendf(nil, `{"apiVersion":"v1","kind":"Node","metadata":{"name":%q,"uid":%q,"labels":{"edge.akri.sh/site":%q}}}`, name, name, site)
}

// A view with a store, and a cloud that syncs what is asked for with Nodes.
func start(t *testing.T, nodes map[string][]byte) (*View, *store.Store) {
	t.Helper()
	leaktest.Check(t)
	log := slog.New(slog.DiscardHandler)
	st, err := store.Open(t.Context(), store.Options{Path: filepath.Join(t.TempDir(), "db"), Log: log})
	if err != nil {
		t.Fatal(err)
	}
	put := func(what edgev1.Interest, version string, objects ...[]byte) error {
		err := st.Add(what)
		for _, o := range objects {
			err = errors.Join(err, st.Put(what, version, o))
		}
		st.Complete(what, version)
		return err
	}
	if err := errors.Join(put(own, "1", node("edge-1", "")), put(slices, "1", []byte(slice))); err != nil {
		t.Fatal(err)
	}
	v := New(Options{Rules: rewrite.Rules{Node: "edge-1"}, Store: st, As: site.As, Log: log, Want: func(_ context.Context, what edgev1.Interest) error {
		if what != site {
			return fmt.Errorf("asked for %+v", what)
		}
		var all [][]byte
		for _, n := range nodes {
			all = append(all, n)
		}
		return put(what, "5", all...)
	}})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); v.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-done
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	return v, st
}

// shows waits until the slice has the neighbour's endpoint, or has it not.
func shows(t *testing.T, v *View, st *store.Store, neighbour bool) {
	t.Helper()
	eventually.Succeeds(t, eventually.Patience, func(context.Context) error {
		o := st.Get(store.Key{Resource: store.Resource(rewrite.EndpointSlices), Namespace: "a", Name: "s"})
		shown, differs := v.Show(o.Key, o.JSON)
		if differs == neighbour || strings.Contains(string(shown), "10.0.0.2") != neighbour {
			return fmt.Errorf("%s", shown)
		}
		return nil
	})
}

func TestSite(t *testing.T) {
	v, st := start(t, map[string][]byte{"edge-1": node("edge-1", "shop"), "edge-2": node("edge-2", "shop")})
	shows(t, v, st, false)
	w, err := st.Watch(slices, st.RV())
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	old := edgev1.Interest{Version: "v1", Resource: "endpoints"}
	if err := st.Add(old); err != nil {
		t.Fatal(err)
	}
	if err := st.Put(old, "1", []byte(`{"apiVersion":"v1","kind":"Endpoints","metadata":{"name":"s","namespace":"a"},"subsets":[{"addresses":[{"ip":"10.0.2.1","nodeName":"edge-2"}]}]}`)); err != nil {
		t.Fatal(err)
	}
	st.Complete(old, "1")
	endpoints := func() uint64 {
		return st.Get(store.Key{Resource: store.Resource(rewrite.Endpoints), Namespace: "a", Name: "s"}).RV
	}
	rv := endpoints()
	told := func() {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), eventually.Patience)
		defer cancel()
		changes, _, err := w.Next(ctx)
		if err != nil || len(changes) != 1 || changes[0].Type != store.Modified || changes[0].Object.Name != "s" {
			t.Fatalf("%+v, %v", changes, err)
		}
	}
	// The Node gets its label, and so the neighbour comes.
	if err := st.Put(own, "2", node("edge-1", "shop")); err != nil {
		t.Fatal(err)
	}
	told()
	shows(t, v, st, true)
	eventually.Succeeds(t, eventually.Patience, func(context.Context) error {
		if endpoints() == rv {
			return errors.New("who watches Endpoints is not told")
		}
		return nil
	})
	// After a restart it is there from the beginning.
	again := New(v.Options)
	o := st.Get(store.Key{Resource: store.Resource(rewrite.EndpointSlices), Namespace: "a", Name: "s"})
	if _, differs := again.Show(o.Key, o.JSON); differs {
		t.Error("what is stored of the site is not known at once")
	}
	// The neighbour goes.
	st.Gone(site, edgev1.Item{Name: "edge-2"})
	told()
	shows(t, v, st, false)
	if err := st.Put(site, "7", node("edge-2", "shop")); err != nil {
		t.Fatal(err)
	}
	told()
	shows(t, v, st, true)
	// The Node is taken elsewhere.
	if err := st.Put(own, "8", node("edge-1", "")); err != nil {
		t.Fatal(err)
	}
	told()
	shows(t, v, st, false)
	if _, err := st.Peek(site); err == nil {
		t.Error("the old site is still followed")
	}
}

// While the link is cut a Pod's endpoint has the address that the Pod has.
func TestPods(t *testing.T) {
	v, st := start(t, nil)
	mine := edgev1.Interest{Version: "v1", Resource: "pods", FieldSelector: "spec.nodeName=edge-1"}
	pod := func(ip string) []byte {
		return fmt.Appendf(nil, `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p","namespace":"a","uid":"u"},"spec":{"nodeName":"edge-1"},"status":{"podIP":%q,"conditions":[{"type":"Ready","status":"True"}]}}`, ip)
	}
	const slice = `{"apiVersion":"discovery.k8s.io/v1","kind":"EndpointSlice","metadata":{"name":"own","namespace":"a","uid":"own"},"addressType":"IPv4","endpoints":[{"addresses":["10.0.0.1"],"nodeName":"edge-1","targetRef":{"kind":"Pod","namespace":"a","name":"p","uid":"u"}}]}`
	if err := errors.Join(st.Add(mine), st.Put(mine, "1", pod("10.0.0.1")), st.Put(slices, "1", []byte(slice))); err != nil {
		t.Fatal(err)
	}
	st.Complete(mine, "1")
	key := store.Key{Resource: store.Resource(rewrite.EndpointSlices), Namespace: "a", Name: "own"}
	is := func(want string) {
		t.Helper()
		eventually.Succeeds(t, eventually.Patience, func(context.Context) error {
			o := st.Get(key)
			if shown, _ := v.Show(o.Key, o.JSON); !strings.Contains(string(shown), fmt.Sprintf("%q", want)) {
				return fmt.Errorf("%s", shown)
			}
			return nil
		})
	}
	is("10.0.0.1")
	before := st.Get(key).RV
	if _, err := st.Overlay(store.Key{Resource: pods, Namespace: "a", Name: "p"}, func(*store.Object) ([]byte, error) { return pod("10.0.0.9"), nil }); err != nil {
		t.Fatal(err)
	}
	is("10.0.0.9")
	eventually.Succeeds(t, eventually.Patience, func(context.Context) error {
		if st.Get(key).RV == before {
			return errors.New("clients are not told")
		}
		return nil
	})
	st.Complete(mine, "2") // the cloud speaks, and the kubelet not yet
	is("10.0.0.9")
}
