package edgecontroller

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"k8s.io/client-go/rest"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
	"github.com/akri-go/akri/internal/cloud/cloudhub"
	"github.com/akri-go/akri/internal/cloud/edgecontroller/index"
	"github.com/akri-go/akri/internal/cloud/edgecontroller/kube"
	"github.com/akri-go/akri/internal/eventually"
	"github.com/akri-go/akri/internal/logging"
	"github.com/akri-go/akri/internal/testlog"
)

const patience = eventually.Patience

// run makes a controller that runs until the test ends.
func run(t testing.TB, cfg *rest.Config, o Options) *Controller {
	t.Helper()
	client, err := kube.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	log := &testlog.Buffer{}
	o.Client = client
	if o.Log, err = logging.New(log, "debug"); err != nil {
		t.Fatal(err)
	}
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("cloudcore's log:\n%s", log)
		}
	})
	eventually.Succeeds(t, patience, func(context.Context) error { return c.Ready() })
	return c
}

// edge is an edge node's end for tests: it has a store for each interest, and says
// what the protocol has it say. There is no link between it and the controller.
type edge struct {
	t      testing.TB
	node   string
	s      cloudhub.Session
	cancel context.CancelFunc

	mu      sync.Mutex
	next    uint64
	has     map[uint64]map[index.Key]edgev1.Item
	objects map[index.Key]string // the last JSON of each
	synced  map[uint64]int
	refused map[uint64]*edgev1.Refused
	replies map[uint64]*edgev1.Reply
	log     []string // kinds, of what was sent to it
	hold    chan struct{}
}

// connect begins a session of a node.
func connect(t testing.TB, c *Controller, node string) *edge {
	e := &edge{
		t: t, node: node, has: map[uint64]map[index.Key]edgev1.Item{}, objects: map[index.Key]string{},
		synced: map[uint64]int{}, refused: map[uint64]*edgev1.Refused{}, replies: map[uint64]*edgev1.Reply{},
	}
	e.open(c)
	t.Cleanup(e.close)
	return e
}

func (e *edge) open(c *Controller) {
	ctx, cancel := context.WithCancel(context.Background())
	e.cancel = cancel
	e.s = c.Open(ctx, e.node, edgev1.Hello{Protocol: edgev1.Protocol, Node: e.node}, e.receive)
}

func (e *edge) close() {
	if e.s != nil {
		e.cancel()
		e.s.Close()
		e.s = nil
	}
}

// reconnect closes the session and begins another; what is stored stays.
func (e *edge) reconnect(c *Controller, interests ...edgev1.Interest) {
	e.close()
	e.mu.Lock()
	e.synced, e.refused, e.log = map[uint64]int{}, map[uint64]*edgev1.Refused{}, nil
	e.mu.Unlock()
	e.open(c)
	for _, i := range interests {
		e.s.Receive(&i)
		e.s.Receive(&edgev1.Have{ID: i.ID, Digest: edgev1.Digest(e.items(i.ID))})
	}
}

func (e *edge) items(id uint64) []edgev1.Item {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Collect(maps.Values(e.has[id]))
}

// receive is the controller's send.
func (e *edge) receive(ctx context.Context, m edgev1.Message) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	e.mu.Lock()
	hold := e.hold
	e.mu.Unlock()
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if _, err := edgev1.Append(nil, m); err != nil {
		e.t.Errorf("%s cannot be encoded: %v", edgev1.KindOf(m), err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.log = append(e.log, edgev1.KindOf(m).String())
	switch m := m.(type) {
	case *edgev1.Differ:
		items := slices.Collect(maps.Values(e.has[m.ID]))
		s := e.s
		go s.Receive(&edgev1.Have{ID: m.ID, Items: items})
	case *edgev1.Put:
		var o kube.Meta
		if err := json.Unmarshal(m.Object, &o); err != nil {
			e.t.Errorf("put: %v", err)
		}
		k := index.Key{Namespace: o.Metadata.Namespace, Name: o.Metadata.Name}
		e.store(m.ID)[k] = edgev1.Item{Namespace: k.Namespace, Name: k.Name, UID: o.Metadata.UID, Version: m.Version}
		e.objects[k] = string(m.Object)
	case *edgev1.Gone:
		k := index.Key{Namespace: m.Item.Namespace, Name: m.Item.Name}
		if m.Item.UID == "" {
			e.t.Errorf("%v is gone without UID", k)
		}
		if e.store(m.ID)[k].UID == m.Item.UID {
			delete(e.store(m.ID), k)
		}
	case *edgev1.Synced:
		e.synced[m.ID]++
	case *edgev1.Refused:
		e.refused[m.ID] = m
	case *edgev1.Reply:
		e.replies[m.ID] = m
	default:
		e.t.Errorf("cloudcore sent %T", m)
	}
	return nil
}

func (e *edge) store(id uint64) map[index.Key]edgev1.Item {
	if e.has[id] == nil {
		e.has[id] = map[index.Key]edgev1.Item{}
	}
	return e.has[id]
}

// want begins an interest with nothing at the edge.
func (e *edge) want(i edgev1.Interest) edgev1.Interest {
	e.mu.Lock()
	e.next++
	i.ID = e.next
	e.mu.Unlock()
	e.s.Receive(&i)
	e.s.Receive(&edgev1.Have{ID: i.ID})
	return i
}

// outcome waits until an interest is synced, or refused.
func (e *edge) outcome(i edgev1.Interest) *edgev1.Refused {
	e.t.Helper()
	var refused *edgev1.Refused
	eventually.Succeeds(e.t, patience, func(context.Context) error {
		e.mu.Lock()
		defer e.mu.Unlock()
		if refused = e.refused[i.ID]; refused == nil && e.synced[i.ID] == 0 {
			return fmt.Errorf("interest %+v is neither synced nor refused", i)
		}
		return nil
	})
	return refused
}

// granted waits until an interest is synced.
func (e *edge) granted(i edgev1.Interest) edgev1.Interest {
	e.t.Helper()
	i = e.want(i)
	if r := e.outcome(i); r != nil {
		e.t.Fatalf("interest %+v: %+v", i, r)
	}
	return i
}

// names waits until the store has these objects of an interest.
func (e *edge) names(i edgev1.Interest, want ...string) {
	e.t.Helper()
	slices.Sort(want)
	eventually.Succeeds(e.t, patience, func(context.Context) error {
		var got []string
		for _, item := range e.items(i.ID) {
			got = append(got, item.Name)
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			return fmt.Errorf("it has %q, want %q", got, want)
		}
		return nil
	})
}

// call makes a call and waits for the reply.
func (e *edge) call(c edgev1.Call) *edgev1.Reply {
	e.t.Helper()
	e.mu.Lock()
	e.next++
	c.ID = e.next
	e.mu.Unlock()
	e.s.Receive(&c)
	var reply *edgev1.Reply
	eventually.Succeeds(e.t, patience, func(context.Context) error {
		e.mu.Lock()
		defer e.mu.Unlock()
		if reply = e.replies[c.ID]; reply == nil {
			return fmt.Errorf("%s %s has no reply", c.Method, c.Path)
		}
		return nil
	})
	return reply
}

// said returns the kinds of what was sent, and how often.
func (e *edge) said() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	counts := map[string]int{}
	for _, k := range e.log {
		counts[k]++
	}
	var out []string
	for _, k := range slices.SortedFunc(maps.Keys(counts), cmp.Compare[string]) {
		out = append(out, fmt.Sprintf("%s %d", k, counts[k]))
	}
	return strings.Join(out, ", ")
}
