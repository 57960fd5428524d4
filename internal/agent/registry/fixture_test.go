package registry

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/akri-go/akri/discovery"
)

// recorder notes what an observer is told, in words.
type recorder struct {
	mu     sync.Mutex
	facts  []string
	block  chan struct{} // if not nil, calls wait for it
	losses []Loss
	full   error // what reports are answered
}

func (o *recorder) note(format string, args ...any) {
	o.mu.Lock()
	o.facts = append(o.facts, fmt.Sprintf(format, args...))
	block := o.block
	o.mu.Unlock()
	if block != nil {
		<-block
	}
}

func (o *recorder) Reported(r Report) error {
	var ids []string
	for _, d := range r.Devices {
		ids = append(ids, d.ID)
	}
	o.note("%s: %s reports %v", r.Configuration.Name, r.Endpoint, ids)
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.full
}

func (o *recorder) Failed(f Failure) {
	kind := "fails"
	if f.Final {
		kind = "refuses"
	} else if f.Silent {
		kind = "is silent"
	}
	o.note("%s: %s %s: %.40v", f.Configuration.Name, f.Endpoint, kind, f.Err)
}

func (o *recorder) Lost(l Loss) {
	o.losses = append(o.losses, l)
	o.note("%s: %s lost", l.Configuration.Name, l.Endpoint)
}

// told returns and forgets what was told, once everything is at rest.
func (o *recorder) told() string {
	synctest.Wait()
	o.mu.Lock()
	defer o.mu.Unlock()
	text := strings.Join(o.facts, "\n")
	o.facts = nil
	return text
}

// fake is a source that a test plays.
type fake struct {
	calls chan *call
	alive bool // what check says
}

type call struct {
	ctx   context.Context
	req   discovery.Request
	limit int // bytes of a report
	on    func(list, error)
	end   chan error
}

func newFake() *fake { return &fake{calls: make(chan *call)} }

func (f *fake) ask(ctx context.Context, req discovery.Request, limit int, on func(list, error)) error {
	c := &call{ctx: ctx, req: req, limit: limit, on: on, end: make(chan error)}
	select {
	case f.calls <- c:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-c.end:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (f *fake) check(context.Context) error {
	if f.alive {
		return nil
	}
	return errors.New("nobody is there")
}

func (f *fake) close() {}

func (c *call) report(ids ...string) {
	devices := []discovery.Device{}
	for _, id := range ids {
		devices = append(devices, discovery.Device{ID: id})
	}
	c.on(list{devices: devices}, nil)
}

// fixture is a registry without its socket, in a bubble of package synctest.
type fixture struct {
	*Registry
	t *testing.T
	o *recorder
}

func newFixture(t *testing.T) *fixture {
	o := &recorder{}
	r, err := New(Options{Dir: "/nowhere", Observer: o})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if err := r.start(ctx); err != nil {
		t.Fatal(err)
	}
	delivered := make(chan struct{})
	go func() { r.mail.deliver(ctx, o, r.refuse); close(delivered) }()
	t.Cleanup(func() {
		cancel()
		r.stop()
		<-delivered
	})
	return &fixture{r, t, o}
}

// endpoint registers a fake.
func (r *fixture) endpoint(name, id string, shared bool) *fake {
	r.t.Helper()
	f := newFake()
	if err := r.add(&endpoint{name: name, id: id, shared: shared, client: f, grace: socketGrace}); err != nil {
		r.t.Fatal(err)
	}
	return f
}

func (r *fixture) again(name, id string, shared bool) error {
	return r.add(&endpoint{name: name, id: id, shared: shared, client: newFake(), grace: socketGrace})
}

func (r *fixture) want(lines ...string) {
	r.t.Helper()
	if got, want := r.o.told(), strings.Join(lines, "\n"); got != want {
		r.t.Errorf("the observer was told\n%s\nwant\n%s", got, want)
	}
}

// next waits for the next call and returns it with the time that it took.
func (r *fixture) next(f *fake) (*call, time.Duration) {
	r.t.Helper()
	began := time.Now()
	select {
	case c := <-f.calls:
		return c, time.Since(began)
	case <-time.After(24 * time.Hour):
		r.t.Fatal("not asked")
		return nil, 0
	}
}

func (r *fixture) idle(f *fake, d time.Duration) {
	r.t.Helper()
	select {
	case <-f.calls:
		r.t.Error("asked, but should not have been")
	case <-time.After(d):
	}
}

func requestOf(configuration, handler, details string) Request {
	return Request{
		Configuration: types.NamespacedName{Namespace: "default", Name: configuration},
		Handler:       handler,
		Request:       discovery.Request{Details: details},
	}
}
