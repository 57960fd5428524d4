// Package sync keeps the edge node's store in step with the cluster, over the
// link: it holds the interests open, tells cloudcore what the store has of each,
// and puts what cloudcore sends into the store. It also makes the calls of local
// clients.
//
// A session begins with the interests of the store and those that every node
// has (its Node and CSINode). New ones come as local clients ask ([Sync.Want]);
// those that nobody has asked for in 7 days are given up. An interest that is
// refused is dropped, with what only it held; where cloudcore is merely busy, it
// is asked again. Each that was refused waits longer and longer, and clients that
// want it meanwhile hear why it was.
//
// Messages are sent by one goroutine, in order. What waits for it are names of
// interests only, whose number is bounded: nothing grows while the link is slow.
package sync

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	gosync "sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
	"github.com/akri-go/akri/internal/backoff"
	"github.com/akri-go/akri/internal/edge/metamanager/store"
	"github.com/akri-go/akri/internal/logging"
)

// ErrCut means that there is no session with cloudcore, or that it ended before
// there was an answer.
var ErrCut = errors.New("the link to cloudcore is cut")

// cleanEvery is how often unused interests are looked for. The first time is so
// long after the beginning of a session that local clients have asked again for
// what they need.
const cleanEvery = time.Hour

// Options are the settings of a Sync.
type Options struct {
	Store *store.Store
	Log   *slog.Logger
	// Node is this node's name.
	Node string
	// Also are interests that edgecore itself has, besides those of every node.
	Also []edgev1.Interest
	// First, if not nil, is called at the beginning of each session, before
	// cloudcore is told what the store has; calls can be made. ctx is the
	// session's.
	First func(ctx context.Context)
	// Joined, if not nil, is called at the beginning of each session, in a
	// goroutine of its own; ctx is the session's.
	Joined func(ctx context.Context)
	// Retry is how long what cloudcore has refused is not asked for again; the zero
	// value is 1 s to 1 min.
	Retry backoff.Backoff
	// Doubt is after how long an interest is compared again of which an object came
	// that was deleted here a moment ago, and after how long what is only read is
	// read again when the cluster has gone back; the zero value is
	// [store.BurialTime].
	Doubt time.Duration
}

// Sync is a link.Handler. It is safe for use by several goroutines.
type Sync struct {
	Options
	sparing logging.Sparing

	mu      gosync.Mutex
	session *session // nil while the link is cut
	since   time.Time
	inStep  time.Time // when all interests were synced in a session that is over
	count   Counts
}

// New returns a Sync without a session.
func New(o Options) *Sync {
	if o.Retry == (backoff.Backoff{}) {
		o.Retry = backoff.Backoff{First: time.Second, Max: time.Minute, Jitter: 0.25}
	}
	if o.Doubt == 0 {
		o.Doubt = store.BurialTime
	}
	return &Sync{Options: o}
}

// own are the interests that are there whether somebody asks or not. The kubelet
// does not start without those of every node.
func (s *Sync) own() []edgev1.Interest {
	name := "metadata.name=" + s.Node
	return append([]edgev1.Interest{
		{Version: "v1", Resource: "nodes", FieldSelector: name},
		// A node may get its CSINode, but not watch it.
		{Group: "storage.k8s.io", Version: "v1", Resource: "csinodes", FieldSelector: name, Get: true},
	}, s.Also...)
}

func (s *Sync) isOwn(what edgev1.Interest) bool { return slices.Contains(s.own(), what) }

// Connected begins a session.
func (s *Sync) Connected(ctx context.Context, _ edgev1.Hello, send func(context.Context, edgev1.Message) error) {
	for _, what := range s.own() {
		if err := s.Store.Add(what); err != nil {
			s.Log.Error("an interest of the node itself cannot be followed", "resource", what.Resource, "error", err)
		}
	}
	s.Store.Session()
	interests := s.Store.Interests()
	slices.SortFunc(interests, func(a, b store.Interest) int { // those in use first
		if a.Watches != b.Watches {
			return b.Watches - a.Watches
		}
		return b.Used.Compare(a.Used)
	})
	of := newSession(ctx, send, s.Retry)
	s.mu.Lock()
	for _, i := range interests {
		of.open(i.Interest)
	}
	s.session, s.since = of, time.Now()
	s.mu.Unlock()
	go s.run(of)
	if s.Joined != nil {
		go s.Joined(ctx)
	}
}

// Disconnected ends the session.
func (s *Sync) Disconnected(error) {
	s.mu.Lock()
	of := s.session
	if of != nil {
		s.inStep = inStep(of, s.inStep)
	}
	s.session = nil
	s.mu.Unlock()
	if of != nil {
		of.end()
		<-of.done
	}
}

// Linked reports whether there is a session.
func (s *Sync) Linked() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.session != nil
}

// Receive takes a message of the session.
func (s *Sync) Receive(m edgev1.Message) {
	s.mu.Lock()
	of := s.session
	s.count.add(m)
	s.mu.Unlock()
	if of == nil {
		return
	}
	switch m := m.(type) {
	case *edgev1.Put:
		if sub := of.sub(m.ID); sub != nil {
			s.put(of, sub, m)
		}
	case *edgev1.Gone:
		if sub := of.sub(m.ID); sub != nil {
			s.Store.Gone(sub.what, m.Item)
		}
	case *edgev1.Synced:
		if sub := of.sub(m.ID); sub != nil {
			s.Store.Complete(sub.what, m.Version)
			of.granted(sub)
		}
	case *edgev1.Differ:
		if m.Back {
			s.Log.Warn("the cluster has forgotten changes that this node has seen: its etcd was restored from a backup, or has lost data")
			s.Store.WentBack()
			of.compareRead(s.Doubt)
		}
		of.differ(m.ID)
	case *edgev1.Refused:
		s.refused(of, m)
	case *edgev1.Reply:
		of.reply(m)
	}
}

// put stores an object. One that cannot be stored is left out: what was there
// before is better than nothing, and the next session tries again. One that was
// deleted here a moment ago is asked for again, in case that it is there again.
func (s *Sync) put(of *session, sub *sub, m *edgev1.Put) {
	err := s.Store.Put(sub.what, m.Version, m.Object)
	switch {
	case err == nil:
		return
	case errors.Is(err, store.ErrBuried):
		of.compareLater(s.Doubt, sub)
		return
	}
	s.sparing.Log(s.Log, slog.LevelError, "an object from cloudcore is not stored", "resource", sub.what.Resource,
		"namespace", sub.what.Namespace, "error", err)
	if !s.Store.Synced(sub.what) {
		of.forget(sub, err)
		s.Store.Drop(sub.what)
	}
}

// refused ends an interest that is not granted.
func (s *Sync) refused(of *session, m *edgev1.Refused) {
	sub := of.remove(m.ID)
	if sub == nil {
		return
	}
	level := slog.LevelDebug // a client asked for what it may not have
	if s.Store.Synced(sub.what) {
		level = slog.LevelWarn
	}
	s.sparing.Log(s.Log, level, "cloudcore refuses an interest", "resource", sub.what.Resource, "namespace",
		sub.what.Namespace,
		"fields", sub.what.FieldSelector, "code", m.Code, "message", m.Message)
	why := refusal(m)
	wait := of.deny(sub.what, why)
	busy := m.Code == http.StatusTooManyRequests || m.Code >= 500
	switch {
	case s.isOwn(sub.what), busy && s.Store.Synced(sub.what): // the Node may not exist yet
		of.later(wait, sub.what)
	case !busy:
		s.Store.Drop(sub.what)
	}
	of.finish(sub, why)
}

func refusal(m *edgev1.Refused) error {
	code := m.Code
	if code < 400 || code > 599 {
		code = http.StatusForbidden
	}
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: code, Reason: metav1.StatusReason(m.Reason), Message: m.Message,
	}}
}

// Want has an interest followed, and returns when it is synced. Its error is
// cloudcore's refusal (apierrors.APIStatus), the store's, ErrCut or ctx's.
func (s *Sync) Want(ctx context.Context, what edgev1.Interest) error {
	what.ID = 0
	s.mu.Lock()
	of := s.session
	s.mu.Unlock()
	if of != nil {
		if err := of.refused(what); err != nil {
			return err
		}
	}
	if err := s.Store.Add(what); err != nil {
		return err
	}
	if of == nil {
		return ErrCut
	}
	s.forgetEvicted(of)
	sub := of.open(what)
	select {
	case <-sub.done:
		if sub.err == nil && !s.Store.Synced(what) {
			// The store has given it up since.
			of.forget(sub, nil)
			return store.ErrNotSynced
		}
		return sub.err
	case <-of.ctx.Done():
		return ErrCut
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// forgetEvicted ends the interests that the store has given up for others: cloudcore
// bounds how many a session has.
func (s *Sync) forgetEvicted(of *session) {
	for _, sub := range of.all() {
		if !s.Store.Follows(sub.what) && !s.isOwn(sub.what) {
			of.forget(sub, nil)
		}
	}
}

// Do makes a call and waits for its reply.
func (s *Sync) Do(ctx context.Context, call edgev1.Call) (edgev1.Reply, error) {
	s.mu.Lock()
	of := s.session
	if of != nil {
		s.count.Calls++
	}
	s.mu.Unlock()
	if of == nil {
		return edgev1.Reply{}, ErrCut
	}
	return of.do(ctx, call)
}

// Again asks for all of a resource anew, for what the store has let go of
// although the cloud has it.
func (s *Sync) Again(res store.Resource) {
	s.mu.Lock()
	of := s.session
	s.mu.Unlock()
	if of == nil {
		return // the next session does it anyway
	}
	for _, sub := range of.all() {
		if store.ResourceOf(sub.what) == res {
			of.forget(sub, nil)
			of.open(sub.what)
		}
	}
}

// run sends what is due until the session ends.
func (s *Sync) run(of *session) {
	defer close(of.done)
	if s.First != nil {
		s.First(of.ctx)
	}
	clean := time.NewTicker(cleanEvery)
	defer clean.Stop()
	for {
		select {
		case <-of.ctx.Done():
			return
		case <-clean.C:
			for _, what := range s.Store.DropUnused(s.isOwn) {
				if sub := of.find(what); sub != nil {
					of.forget(sub, nil)
				}
			}
		case <-of.due:
		}
		for t, ok := of.next(); ok; t, ok = of.next() {
			for _, m := range s.messages(t) {
				if of.send(of.ctx, m) != nil {
					return // the session ends
				}
			}
		}
	}
}

// messages are those of a task.
func (s *Sync) messages(t task) []edgev1.Message {
	switch t.kind {
	case taskOpen:
		interest := t.sub.what
		interest.ID = t.sub.id
		return []edgev1.Message{&interest, &edgev1.Have{ID: t.sub.id, Digest: edgev1.Digest(s.Store.Items(t.sub.what))}}
	case taskItems:
		items := s.Store.Items(t.sub.what)
		return []edgev1.Message{&edgev1.Have{ID: t.sub.id, Digest: edgev1.Digest(items), Items: items}}
	case taskForget:
		return []edgev1.Message{&edgev1.Forget{ID: t.sub.id}}
	case taskCancel:
		return []edgev1.Message{&edgev1.Cancel{ID: t.call}}
	}
	return nil
}
