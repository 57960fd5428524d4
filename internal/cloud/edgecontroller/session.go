package edgecontroller

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
	"github.com/akri-go/akri/internal/cloud/edgecontroller/kube"
)

// maxInterests is how many interests a session may have.
const maxInterests = 2000

// Session is one connection of an edge node. An idle one has no goroutine: what
// sends comes and goes with what there is to send.
type Session struct {
	c      *Controller
	ctx    context.Context
	cancel context.CancelFunc
	node   string
	out    func(context.Context, edgev1.Message) error
	calls  calls

	mu        sync.Mutex
	closed    bool
	interests map[uint64]*interest
	// Interests that wait for a grant, and how many grants are under way.
	asking   []*interest
	askers   int
	ready    []*interest // with something to send
	sending  bool
	refuse   []*edgev1.Refused // to send first
	restored bool              // that the cluster has forgotten something is told
	doubted  bool              // it is being looked at
	podsSum  uint64            // of the Pods that were bound when grants were last reviewed
}

func newSession(ctx context.Context, c *Controller, node string, send func(context.Context,
	edgev1.Message) error) *Session {
	s := &Session{c: c, node: node, out: send, interests: map[uint64]*interest{}}
	s.ctx, s.cancel = context.WithCancel(ctx)
	s.calls.s = s
	s.podsSum = c.sumOf(node)
	return s
}

// Receive takes a message of the edge node.
func (s *Session) Receive(m edgev1.Message) {
	switch m := m.(type) {
	case *edgev1.Interest:
		s.begin(m)
	case *edgev1.Forget:
		s.forget(m.ID)
	case *edgev1.Have:
		s.have(m)
	case *edgev1.Call:
		s.calls.add(m)
	case *edgev1.Cancel:
		s.calls.cancel(m.ID)
	default:
		s.c.metrics.strange.Inc()
	}
}

// Close ends the session.
func (s *Session) Close() {
	s.cancel()
	s.mu.Lock()
	s.closed = true
	all := s.interests
	s.interests, s.asking, s.ready, s.refuse = map[uint64]*interest{}, nil, nil, nil
	for _, i := range all {
		i.ended = true
	}
	s.mu.Unlock()
	for _, i := range all {
		i.close()
	}
	s.c.closed(s)
}

// begin begins an interest.
func (s *Session) begin(m *edgev1.Interest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	before := s.interests[m.ID]
	switch {
	case before != nil:
		s.end(before, problem(http.StatusBadRequest, metav1.StatusReasonBadRequest,
			"this session has two interests with this id"))
		return
	case len(s.interests) >= maxInterests:
		s.tell(m.ID, problem(http.StatusTooManyRequests, metav1.StatusReasonTooManyRequests,
			fmt.Sprintf("a session may have %d interests", maxInterests)))
		return
	}
	i := &interest{s: s, spec: *m}
	s.interests[m.ID] = i
	s.ask(i)
}

// ask has an interest granted, or granted again. s.mu is held.
func (s *Session) ask(i *interest) {
	if i.asking {
		return
	}
	i.asking = true
	s.asking = append(s.asking, i)
	if s.askers < maxGrantsPerNode {
		s.askers++
		go s.grantAll()
	}
}

// grantAll grants what waits for it.
func (s *Session) grantAll() {
	for {
		s.mu.Lock()
		if len(s.asking) == 0 || s.closed {
			s.askers--
			s.mu.Unlock()
			return
		}
		i := s.asking[0]
		if s.asking = s.asking[1:]; len(s.asking) == 0 {
			s.asking = nil
		}
		i.asking = false
		s.mu.Unlock()
		i.grant()
	}
}

// moved has the interests that depend on the node's site followed anew.
func (s *Session) moved() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, i := range s.interests {
		if i.sub != nil && i.sub.Stale() {
			i.moved = true
			s.queue(i)
		}
	}
}

// tellRestored says, once in a session, that the cluster has forgotten what the
// node has seen. s.mu is held.
func (s *Session) tellRestored() {
	if !s.restored && !s.closed {
		s.restored = true
		s.c.tell(restored(s.node))
	}
}

// forget ends an interest because the edge node says so.
func (s *Session) forget(id uint64) {
	s.mu.Lock()
	i := s.interests[id]
	if i != nil {
		i.ended = true
		delete(s.interests, id)
	}
	s.mu.Unlock()
	if i != nil {
		i.close()
	}
}

// end ends an interest and tells the edge node why. s.mu is held.
func (s *Session) end(i *interest, err error) {
	if i.ended {
		return
	}
	i.ended = true
	delete(s.interests, i.spec.ID)
	s.tell(i.spec.ID, err)
	go i.close() // a feed may hold its lock while it tells this session
}

// tell queues a refusal. s.mu is held.
func (s *Session) tell(id uint64, err error) {
	r := &edgev1.Refused{ID: id, Code: http.StatusInternalServerError, Message: err.Error()}
	if status := apierrors.APIStatus(nil); errors.As(err, &status) {
		r.Code, r.Reason, r.Message = status.Status().Code, string(status.Status().Reason), status.Status().Message
	}
	s.c.metrics.refused.WithLabelValues(fmt.Sprint(r.Code)).Inc()
	s.c.complaints.Log(s.c.Log, slog.LevelWarn, "an interest is refused", "node", s.node, "code", r.Code, "why",
		r.Message)
	if len(s.refuse) < maxInterests {
		s.refuse = append(s.refuse, r)
	}
	s.stir()
}

func problem(code int32, reason metav1.StatusReason, message string) error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{Status: metav1.StatusFailure, Code: code,
		Reason: reason, Message: message}}
}

// stir begins to send, if nothing is being sent. s.mu is held.
func (s *Session) stir() {
	if !s.sending && !s.closed {
		s.sending = true
		go s.sendAll()
	}
}

// queue has an interest looked at. s.mu is held.
func (s *Session) queue(i *interest) {
	if !i.queued && !i.ended {
		i.queued = true
		s.ready = append(s.ready, i)
		s.stir()
	}
}

// sendAll sends what there is to send: of each interest one thing in turn.
func (s *Session) sendAll() {
	for {
		s.mu.Lock()
		var refused *edgev1.Refused
		var i *interest
		switch {
		case s.closed:
		case len(s.refuse) > 0:
			refused, s.refuse = s.refuse[0], s.refuse[1:]
		case len(s.ready) > 0:
			i, s.ready = s.ready[0], s.ready[1:]
			i.queued = false
		}
		if refused == nil && i == nil {
			s.sending = false
			s.ready, s.refuse = nil, nil // give the memory back
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
		if refused != nil {
			s.send(refused)
		} else {
			i.step()
		}
	}
}

// send sends a message and tells whether it was taken. Where it was not, the
// session has ended.
func (s *Session) send(m edgev1.Message) bool {
	err := s.out(s.ctx, m)
	if err != nil && s.ctx.Err() == nil {
		s.c.complaints.Log(s.c.Log, slog.LevelWarn, "a message cannot be sent", "node", s.node, "kind",
			edgev1.KindOf(m), "error", err)
	}
	return err == nil
}

// have notes what the edge node has of an interest.
func (s *Session) have(m *edgev1.Have) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.interests[m.ID]
	if i == nil {
		return // refused meanwhile
	}
	i.has = m
	s.queue(i)
}

// regrantAfter is how long a grant holds before it is asked for again.
const regrantAfter = time.Hour

// review ends what the session may no longer have as far as that is known here,
// and asks the API server again where the node's Pods have changed, or from time
// to time.
func (s *Session) review(now time.Time) {
	sum := s.c.sumOf(s.node)
	s.mu.Lock()
	changed := s.podsSum != sum
	s.podsSum = sum
	var all []*interest
	for _, i := range s.interests {
		if i.granted.IsZero() {
			continue
		}
		// Of the node's own the Node authorizer gives Secrets and the like only
		// while a Pod of the node mentions them.
		if now.Sub(i.granted) > regrantAfter || changed && i.spec.As.Component == "" {
			all = append(all, i)
		}
	}
	s.mu.Unlock()
	for _, i := range all {
		_, err := s.c.userOf(s.node, i.spec.As)
		s.mu.Lock()
		switch {
		case err != nil && kube.Refused(err):
			s.end(i, err)
		case now.Sub(i.granted) > regrantAfter || i.byName():
			s.ask(i)
		}
		s.mu.Unlock()
	}
}
