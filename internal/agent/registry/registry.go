package registry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/discovery/contract"
	"github.com/akri-go/akri/discovery/hostpath"
	"github.com/akri-go/akri/internal/logging"
)

// Socket is the name of the agent's socket in the directory of the handlers.
const Socket = contract.AgentSocket

// How long an endpoint that cannot be reached stays registered. A socket that is
// gone or refuses has no process behind it; a network may come back.
const (
	socketGrace  = 30 * time.Second
	networkGrace = 10 * time.Minute
)

// Options say how a Registry works. Dir and Observer are needed.
type Options struct {
	// Dir is the directory where agent and handlers meet, /var/lib/akri by
	// custom. Handlers' sockets must be below it.
	Dir string
	// Observer is told what handlers say.
	Observer Observer
	// Logger may be nil.
	Logger *slog.Logger
	// Limits that are 0 are those of [contract.DefaultLimits].
	Limits contract.Limits
	// HostPaths judge mounts and device nodes; nil means [hostpath.New] with no
	// options.
	HostPaths contract.HostPaths
	// SocketGID is the group that owns Dir. Its members may register handlers,
	// as may root and the agent's own user.
	SocketGID int
	// PeerUIDs are further users who may.
	PeerUIDs []int
	// HandlerUIDs bind names of handlers: only processes of these users may
	// register one of such a name. An empty list is nobody.
	HandlerUIDs map[string][]int
	// Refused, if not nil, is called for each registration that was refused. It
	// must return soon.
	Refused func(Refusal)
	// Answered, if not nil, is called once for each call of a handler: when it
	// has answered, or has ended without an answer. It must return soon and not
	// call back.
	Answered func(Answer)
}

// Registry knows the handlers of a node and asks them.
type Registry struct {
	opts  Options
	log   *slog.Logger
	rules contract.Rules
	mail  *mailbox

	// touched says that the folder has changed, refused that a socket in it
	// refuses. Both hold one value.
	touched, refused chan struct{}

	// mu is never held while handlers or the observer are called.
	mu            sync.Mutex
	ctx           context.Context // nil before Run
	running       sync.WaitGroup  // streams
	requests      map[types.NamespacedName]*request
	handlers      map[string]*handler
	problem       error          // why handlers cannot register
	inFlight      map[string]int // bytes that may be under way, by handler name
	registrations int            // how many there were of new endpoints
	starved       bool           // a stream was not opened, for want of room
	lines         map[place]*logging.Sparing

	turn chan struct{} // holds one value while a report is decoded
}

// request is a request and the streams that ask it.
type request struct {
	Request
	id      string
	streams map[*endpoint]*stream
}

// handler is what is registered under one name; it has at least one endpoint.
type handler struct {
	shared    bool
	endpoints map[string]*endpoint
}

// endpoint is a place where a handler answers.
type endpoint struct {
	name         string // of the handler
	id           string
	shared       bool
	client       client
	registration int // its number
	streams      int // how many there are; guarded by Registry.mu
	// grace is how long it may be unreachable, and since is when that began.
	// Registry.mu guards since.
	grace time.Duration
	since time.Time
}

// New returns a Registry. Call its Run.
func New(o Options) (*Registry, error) {
	if o.Observer == nil || !filepath.IsAbs(o.Dir) {
		return nil, fmt.Errorf("registry: want an observer and an absolute directory, got %q", o.Dir)
	}
	o.Dir = filepath.Clean(o.Dir)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Refused == nil {
		o.Refused = func(Refusal) {}
	}
	if o.Answered == nil {
		o.Answered = func(Answer) {}
	}
	if o.HostPaths == nil {
		paths, err := hostpath.New(hostpath.Options{})
		if err != nil {
			return nil, fmt.Errorf("registry: %w", err)
		}
		o.HostPaths = paths
	}
	return &Registry{
		opts:     o,
		log:      o.Logger,
		rules:    contract.Rules{Limits: o.Limits.OrDefault(), Paths: o.HostPaths},
		mail:     newMailbox(),
		touched:  make(chan struct{}, 1),
		refused:  make(chan struct{}, 1),
		problem:  errNotYet,
		inFlight: make(map[string]int),
		turn:     make(chan struct{}, 1),
		requests: make(map[types.NamespacedName]*request),
		handlers: make(map[string]*handler),
		lines:    make(map[place]*logging.Sparing),
	}, nil
}

// Run prepares the directory, takes registrations and sends requests until ctx is
// done. It returns nil once all calls of handlers have ended. Call it once. Its
// end says nothing about devices: the observer is not told of losses then.
func (r *Registry) Run(ctx context.Context) error {
	if err := r.start(ctx); err != nil {
		return err
	}
	var parts sync.WaitGroup
	parts.Go(func() { r.serve(ctx) })
	parts.Go(func() { r.tidy(ctx) })
	parts.Go(func() { r.mail.deliver(ctx, r.opts.Observer, r.refuse) })
	parts.Wait()
	r.stop()
	return nil
}

func (r *Registry) start(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ctx != nil {
		return errors.New("registry: Run was called twice")
	}
	r.ctx = ctx
	for _, req := range r.requests {
		r.askAll(req)
	}
	return nil
}

// ending tells whether the registry is being stopped.
func (r *Registry) ending() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ctx != nil && r.ctx.Err() != nil
}

// stop waits for the streams, whose context is done.
func (r *Registry) stop() {
	r.mu.Lock()
	//lint:ignore SA2001 a barrier: streams are opened under mu, and from here on none is
	r.mu.Unlock()
	r.running.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, h := range r.handlers {
		for _, e := range h.endpoints {
			e.client.close()
		}
	}
}

// Builtin adds a handler in this process, as the endpoint "builtin:<name>".
func (r *Registry) Builtin(h discovery.Handler) error {
	return r.add(&endpoint{
		name:   h.Name(),
		id:     "builtin:" + h.Name(),
		shared: h.Shared(),
		client: builtin{handler: h, rules: r.rules},
	})
}

// Endpoints returns how many endpoints are registered, by handler name.
func (r *Registry) Endpoints() map[string]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := make(map[string]int, len(r.handlers))
	for name, h := range r.handlers {
		n[name] = len(h.endpoints)
	}
	return n
}

// Serving returns nil if handlers can register now, or why they cannot.
func (r *Registry) Serving() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.problem
}

// Beat returns once the observer can be called, or when ctx is done.
func (r *Registry) Beat(ctx context.Context) {
	r.mu.Lock()
	//lint:ignore SA2001 it only checks that mu can be locked
	r.mu.Unlock()
	r.mail.pass(ctx)
}

// The functions below are called with r.mu held.

// drop forgets an endpoint that nothing replaces.
func (r *Registry) drop(e *endpoint) {
	r.remove(e)
	r.orphaned(e.name)
}

func (r *Registry) remove(e *endpoint) {
	h := r.handlers[e.name]
	if h == nil || h.endpoints[e.id] != e {
		return
	}
	delete(h.endpoints, e.id)
	if len(h.endpoints) == 0 {
		delete(r.handlers, e.name)
	}
	for _, req := range r.requests {
		s := req.streams[e]
		if s != nil {
			s.cancel()
			r.release(s)
			delete(req.streams, e)
			if s.answered || s.told != "" {
				r.lost(s)
			}
		}
	}
	e.client.close()
	r.openWaiting()
}

// remote returns a client for an address.
func (r *Registry) remote(a contract.Address) *remote {
	return &remote{address: a, rules: r.rules, inTurn: func(ctx context.Context, do func()) error {
		select {
		case r.turn <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
		defer func() { <-r.turn }()
		do()
		r.mail.pass(ctx)
		return ctx.Err()
	}}
}

// orphaned fails the requests to a handler that has no endpoint left.
func (r *Registry) orphaned(name string) {
	if r.handlers[name] != nil {
		return
	}
	for _, req := range r.requests {
		if req.Handler == name {
			r.nobody(req)
		}
	}
}
