package sync

import (
	"context"
	"maps"
	"slices"
	gosync "sync"
	"time"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
	"github.com/akri-go/akri/internal/backoff"
)

// session is one session with cloudcore.
type session struct {
	ctx  context.Context
	end  context.CancelFunc
	send func(context.Context, edgev1.Message) error
	due  chan struct{} // there are tasks
	done chan struct{} // closed when nothing is sent any more

	mu     gosync.Mutex
	lastID uint64
	subs   map[uint64]*sub
	byWhat map[edgev1.Interest]*sub
	calls  map[uint64]chan edgev1.Reply
	tasks  []task
	timers map[edgev1.Interest]*time.Timer
	denied refusals
}

// sub is an interest in a session.
type sub struct {
	id   uint64
	what edgev1.Interest
	// done is closed when it is synced or refused; err says which.
	done     chan struct{}
	err      error
	finished bool
	asked    bool // its items are due
	doubted  bool // they will be, after a while
}

// task is something that is to be sent.
type task struct {
	kind taskKind
	sub  *sub
	call uint64
}

type taskKind int

const (
	taskOpen taskKind = iota
	taskItems
	taskForget
	taskCancel
)

func newSession(parent context.Context, send func(context.Context, edgev1.Message) error, retry backoff.Backoff) *session {
	ctx, cancel := context.WithCancel(parent)
	return &session{
		ctx: ctx, end: cancel, send: send, due: make(chan struct{}, 1), done: make(chan struct{}),
		subs: map[uint64]*sub{}, byWhat: map[edgev1.Interest]*sub{}, calls: map[uint64]chan edgev1.Reply{},
		timers: map[edgev1.Interest]*time.Timer{}, denied: refusals{retry: retry},
	}
}

// add is called with the lock held.
func (of *session) add(t task) {
	of.tasks = append(of.tasks, t)
	select {
	case of.due <- struct{}{}:
	default:
	}
}

func (of *session) next() (task, bool) {
	of.mu.Lock()
	defer of.mu.Unlock()
	if len(of.tasks) == 0 {
		return task{}, false
	}
	t := of.tasks[0]
	of.tasks = of.tasks[1:]
	if t.kind == taskItems {
		t.sub.asked = false
	}
	return t, true
}

// open begins an interest, or returns the one that has begun.
func (of *session) open(what edgev1.Interest) *sub {
	of.mu.Lock()
	defer of.mu.Unlock()
	if sub := of.byWhat[what]; sub != nil {
		return sub
	}
	of.lastID++
	s := &sub{id: of.lastID, what: what, done: make(chan struct{})}
	of.subs[s.id], of.byWhat[what] = s, s
	of.add(task{kind: taskOpen, sub: s})
	return s
}

func (of *session) sub(id uint64) *sub {
	of.mu.Lock()
	defer of.mu.Unlock()
	return of.subs[id]
}

func (of *session) find(what edgev1.Interest) *sub {
	of.mu.Lock()
	defer of.mu.Unlock()
	return of.byWhat[what]
}

// all returns the interests.
func (of *session) all() []*sub {
	of.mu.Lock()
	defer of.mu.Unlock()
	return slices.Collect(maps.Values(of.subs))
}

// remove ends an interest without a word.
func (of *session) remove(id uint64) *sub {
	of.mu.Lock()
	defer of.mu.Unlock()
	s := of.subs[id]
	if s != nil {
		delete(of.subs, id)
		delete(of.byWhat, s.what)
	}
	return s
}

// forget ends an interest and tells cloudcore.
func (of *session) forget(s *sub, err error) {
	if of.remove(s.id) == nil {
		return
	}
	of.mu.Lock()
	of.add(task{kind: taskForget, sub: s})
	of.mu.Unlock()
	of.finish(s, err)
}

// granted notes that an interest is synced.
func (of *session) granted(s *sub) {
	of.mu.Lock()
	of.denied.forget(s.what)
	of.mu.Unlock()
	of.finish(s, nil)
}

// deny notes that an interest is refused, and returns how long that counts.
func (of *session) deny(what edgev1.Interest, why error) time.Duration {
	of.mu.Lock()
	defer of.mu.Unlock()
	return of.denied.add(what, why, time.Now())
}

// refused returns why an interest is not asked for now; nil if it may be.
func (of *session) refused(what edgev1.Interest) error {
	of.mu.Lock()
	defer of.mu.Unlock()
	if of.byWhat[what] != nil {
		return nil // it is asked for again already
	}
	return of.denied.of(what, time.Now())
}

// finish tells those who wait how an interest has begun.
func (of *session) finish(s *sub, err error) {
	of.mu.Lock()
	defer of.mu.Unlock()
	if !s.finished {
		s.finished, s.err = true, err
		close(s.done)
	}
}

// differ notes that cloudcore wants to know the items.
func (of *session) differ(id uint64) {
	of.mu.Lock()
	defer of.mu.Unlock()
	if s := of.subs[id]; s != nil && !s.asked {
		s.asked = true
		of.add(task{kind: taskItems, sub: s})
	}
}

// compareLater tells cloudcore the items after a while.
func (of *session) compareLater(after time.Duration, s *sub) {
	of.mu.Lock()
	defer of.mu.Unlock()
	if s.doubted {
		return
	}
	s.doubted = true
	time.AfterFunc(after, func() {
		of.mu.Lock()
		s.doubted = false
		of.mu.Unlock()
		if of.ctx.Err() == nil {
			of.differ(s.id)
		}
	})
}

// compareRead has what is only read compared after a while. Each interest that is
// followed is told that the cluster has gone back; of these nobody tells.
func (of *session) compareRead(after time.Duration) {
	for _, s := range of.all() {
		if s.what.Get {
			of.compareLater(after, s)
		}
	}
}

// later opens an interest after a while.
func (of *session) later(after time.Duration, what edgev1.Interest) {
	of.mu.Lock()
	defer of.mu.Unlock()
	if t := of.timers[what]; t != nil {
		t.Stop()
	}
	of.timers[what] = time.AfterFunc(after, func() {
		if of.ctx.Err() == nil {
			of.open(what)
		}
	})
}

// do makes a call.
func (of *session) do(ctx context.Context, call edgev1.Call) (edgev1.Reply, error) {
	c := make(chan edgev1.Reply, 1)
	of.mu.Lock()
	of.lastID++
	call.ID = of.lastID
	of.calls[call.ID] = c
	of.mu.Unlock()
	err := of.send(ctx, &call)
	if err == nil {
		select {
		case reply := <-c:
			return reply, nil
		case <-of.ctx.Done():
			err = ErrCut
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
	}
	of.mu.Lock()
	defer of.mu.Unlock()
	delete(of.calls, call.ID)
	of.add(task{kind: taskCancel, call: call.ID})
	return edgev1.Reply{}, err
}

func (of *session) reply(m *edgev1.Reply) {
	of.mu.Lock()
	defer of.mu.Unlock()
	if c := of.calls[m.ID]; c != nil {
		delete(of.calls, m.ID)
		c <- *m // it has room for one
	}
}

func (of *session) count() (open, syncing, calls int) {
	of.mu.Lock()
	defer of.mu.Unlock()
	for _, s := range of.subs {
		if !s.finished {
			syncing++
		}
	}
	return len(of.subs), syncing, len(of.calls)
}
