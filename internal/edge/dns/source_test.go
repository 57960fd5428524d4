package dns

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
	"github.com/akri-go/akri/internal/edge/metamanager/store"
	"github.com/akri-go/akri/internal/eventually"
	"github.com/akri-go/akri/internal/leaktest"
)

func TestSource(t *testing.T) {
	leaktest.Check(t)
	st, err := store.Open(t.Context(), store.Options{Path: filepath.Join(t.TempDir(), "db"), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	as := edgev1.As{Component: "kube-proxy"}
	s := &Source{Store: st, As: as, Domain: "cluster.local", Show: func(_ store.Key, object []byte) ([]byte, bool) {
		return bytes.ReplaceAll(object, []byte("10.9.9.9"), []byte("10.1.0.1")), false // a view of some kind
	}}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); s.Run(ctx) }()
	defer func() { cancel(); <-done }()

	what := Interests(as)
	add := func(what edgev1.Interest, version, object string) {
		t.Helper()
		if err := st.Put(what, version, []byte(object)); err != nil {
			t.Fatal(err)
		}
	}
	is := func(name, want string) {
		t.Helper()
		eventually.Succeeds(t, eventually.Patience, func(context.Context) error {
			r := s.Records()
			if r == nil {
				return fmt.Errorf("there are no records")
			}
			if got := text(r.find(name, dnsmessage.TypeA)); got != want {
				return fmt.Errorf("%s: %s, want %s", name, got, want)
			}
			return nil
		})
	}
	for _, w := range what {
		if err := st.Add(w); err != nil {
			t.Fatal(err)
		}
	}
	add(what[0], "1", `{"apiVersion":"v1","kind":"Service","metadata":{"name":"db","namespace":"shop","uid":"1"},"spec":{"clusterIP":"None"}}`)
	st.Complete(what[0], "1")
	if s.Records() != nil {
		t.Error("there are records before EndpointSlices are known")
	}
	st.Complete(what[1], "1")
	is("db.shop.svc.cluster.local.", "nothing")
	add(what[1], "2", `{"apiVersion":"discovery.k8s.io/v1","kind":"EndpointSlice","metadata":{"name":"db-1","namespace":"shop","uid":"2","labels":{"kubernetes.io/service-name":"db","service.kubernetes.io/headless":""}},"endpoints":[{"addresses":["10.9.9.9"]}]}`)
	is("db.shop.svc.cluster.local.", "A 10.1.0.1")
	st.Gone(what[0], edgev1.Item{Namespace: "shop", Name: "db", UID: "1"})
	is("db.shop.svc.cluster.local.", "no such name")
}
