package api

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"sync"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
	"github.com/akri-go/akri/internal/edge/metamanager/protobuf"
	"github.com/akri-go/akri/internal/edge/metamanager/store"
)

// What Events that wait for the cloud may take.
const (
	maxEvents     = 200
	maxEventBytes = 16 << 10
)

// eventQueue has Events that were made while the link was cut, the newest of
// each name. Of too many the oldest go.
type eventQueue struct {
	mu    sync.Mutex
	calls []queuedEvent
	lost  int
}

type queuedEvent struct {
	key  store.Key
	call edgev1.Call
}

func (q *eventQueue) add(e queuedEvent) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.calls = slices.DeleteFunc(q.calls, func(o queuedEvent) bool { return o.key == e.key })
	if len(q.calls) >= maxEvents {
		q.calls = slices.Delete(q.calls, 0, 1)
		q.lost++
	}
	q.calls = append(q.calls, e)
}

func (q *eventQueue) first() (queuedEvent, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.calls) == 0 {
		return queuedEvent{}, false
	}
	return q.calls[0], true
}

// done takes an Event out, unless there is a newer one of its name.
func (q *eventQueue) done(e queuedEvent) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.calls = slices.DeleteFunc(q.calls, func(o queuedEvent) bool {
		return o.key == e.key && string(o.call.Body) == string(e.call.Body)
	})
}

// Waiting returns how many Events wait, and how many were too many.
func (s *Server) Waiting() (events, lost int) {
	s.events.mu.Lock()
	defer s.events.mu.Unlock()
	return len(s.events.calls), s.events.lost
}

func (s *Server) queueEvent(w http.ResponseWriter, r *http.Request, t target, user User, body []byte) {
	contentType := cmp.Or(r.Header.Get("Content-Type"), "application/json")
	if t.name = nameIn(contentType, body); t.name == "" || len(body) > maxEventBytes {
		fail(w, unavailable("the link to cloudcore is cut: an Event waits for it only with a name, and with at most 16 KiB"))
		return
	}
	s.events.add(queuedEvent{t.key(), edgev1.Call{
		As: user.As, Method: http.MethodPost, Path: r.URL.EscapedPath(), ContentType: contentType,
		Accept: "application/json", Body: body,
	}})
	writeRaw(w, http.StatusCreated, contentType, body) // who writes it so can read it
}

// nameIn returns the name of the object in a body, "" if it has none.
func nameIn(contentType string, body []byte) string {
	if mediaType(contentType) == protobuf.ContentType {
		h, err := protobuf.ReadHead(body)
		if err != nil {
			return ""
		}
		return h.Name
	}
	var h store.Head
	if json.Unmarshal(body, &h) != nil {
		return ""
	}
	return h.Metadata.Name
}

// Joined makes the Events that wait; it is called when the link is up again, and
// stops when it is cut. What the API server refuses is dropped.
func (s *Server) Joined(ctx context.Context) {
	for ctx.Err() == nil {
		e, ok := s.events.first()
		if !ok {
			return
		}
		reply, err := s.call(ctx, e.call)
		if err != nil || reply.Status >= 500 || reply.Status == http.StatusTooManyRequests {
			s.Log.Debug("Events wait for the next session", "error", err, "status", reply.Status)
			return
		}
		if reply.Status >= 400 && reply.Status != http.StatusConflict {
			s.sparing.Log(s.Log, -4, "an Event of the time without a link is refused", "event",
				e.key.Namespace+"/"+e.key.Name, "status", reply.Status)
		}
		s.events.done(e)
	}
}
