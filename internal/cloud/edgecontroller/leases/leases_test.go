package leases

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/client-go/rest"

	"github.com/akri-go/akri/internal/cloud/edgecontroller/kube"
	"github.com/akri-go/akri/internal/eventually"
	"github.com/akri-go/akri/internal/leaktest"
	"github.com/akri-go/akri/internal/logging"
)

// When what is due, as far as the queue decides it.
func TestQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := New(Options{})
		if l, pause := k.next(time.Now()); l != nil || pause != time.Hour {
			t.Errorf("nobody is there: %v, %v", l, pause)
		}
		k.Add("a")
		k.Add("b")
		k.Add("a")
		time.Sleep(time.Second)
		first, _ := k.next(time.Now())
		second, _ := k.next(time.Now())
		if first == nil || second == nil || first == second {
			t.Fatalf("due are %v and %v", first, second)
		}
		if l, _ := k.next(time.Now()); l != nil {
			t.Errorf("%s is due twice", l.node)
		}
		k.Remove("a")
		if _, n := k.Due(); n != 2 {
			t.Errorf("a has one session left, but there are %d nodes", n)
		}
		k.Remove("a")
		k.Remove("b")
		k.Remove("c")
		if overdue, n := k.Due(); n != 0 || overdue != 0 {
			t.Errorf("%d nodes are left, %d overdue", n, overdue)
		}
		k.Add("c")
		k.Remove("c")
		if len(k.due) != 0 {
			t.Errorf("%d wait for nobody", len(k.due))
		}
	})
}

// Nodes that connect at once do not have their Leases renewed at once ever after.
func TestSpread(t *testing.T) {
	const nodes, parts = 10_000, 10
	now := time.Now()
	var inPart [parts]int
	for range nodes {
		var l lease
		l.tried(now, RenewInterval, nil)
		in := l.at.Sub(now)
		if in <= 0 || in > RenewInterval {
			t.Fatalf("the second renewal is after %s, want within %s", in, RenewInterval)
		}
		inPart[(in-1)*parts/RenewInterval]++
		for range 3 {
			before := l.at
			l.tried(before, RenewInterval, nil)
			if in := l.at.Sub(before); in > RenewInterval || in < RenewInterval*9/10 {
				t.Fatalf("a renewal follows after %s, want %s", in, RenewInterval)
			}
		}
	}
	for i, n := range inPart[1:] {
		if n < nodes/parts/2 || n > 2*nodes/parts {
			t.Errorf("of %d second renewals, %d are in part %d of %d of the interval", nodes, n, i+1, parts)
		}
	}
	l := lease{failures: 1}
	l.tried(now, RenewInterval, errors.New("no"))
	if in := l.at.Sub(now); in > retry.Delay(2)*2 || l.renewed || l.failures != 2 {
		t.Errorf("after two failures: in %s, %+v", in, l)
	}
}

// leaseServer is a pretended API server with Leases alone, so that failures can
// be ordered; the integration test of the controller has a real one.
type leaseServer struct {
	mu     sync.Mutex
	fail   int // so many requests
	leases map[string]int
}

func (s *leaseServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var o leaseObject
	body, _ := io.ReadAll(r.Body)
	if err := json.Unmarshal(body, &o); err != nil || o.Spec.RenewTime.IsZero() {
		http.Error(w, "not a Lease", http.StatusBadRequest)
		return
	}
	node := o.Spec.HolderIdentity
	switch {
	case r.Header.Get("Impersonate-User") != "system:node:"+node || r.Header.Get("Impersonate-Group") != "system:nodes":
		http.Error(w, "in whose name?", http.StatusForbidden)
	case s.fail > 0:
		s.fail--
		http.Error(w, "later", http.StatusInternalServerError)
	case r.Method == http.MethodPatch && s.leases[node] == 0:
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, `{"kind":"Status","code":404,"reason":"NotFound","status":"Failure"}`)
	case r.Method == http.MethodPost && o.Metadata.OwnerReferences[0].UID != "u-a":
		http.Error(w, "no owner", http.StatusBadRequest)
	default:
		s.leases[node]++
	}
}

func TestRenew(t *testing.T) {
	leaktest.Check(t)
	s := &leaseServer{fail: 2, leases: map[string]int{}}
	server := httptest.NewServer(s)
	defer server.Close()
	client, err := kube.New(&rest.Config{Host: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	log, err := logging.New(io.Discard, "")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var failed int
	k := New(Options{
		Client: client, Logger: log, NodeUID: func(node string) string { return map[string]string{"a": "u-a"}[node] },
		Renewed: func(_ time.Duration, err error) {
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failed++
			}
		},
	})
	k.Interval = 10 * time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- k.Run(ctx) }()
	k.Add("a")
	k.Add("b") // has no Node
	eventually.Succeeds(t, eventually.Patience, func(context.Context) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		mu.Lock()
		defer mu.Unlock()
		if s.leases["a"] < 3 || failed < 3 {
			return fmt.Errorf("renewed %d times, failed %d", s.leases["a"], failed)
		}
		if s.leases["b"] > 0 {
			return errors.New("b has no Node, but a Lease")
		}
		return nil
	})
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
