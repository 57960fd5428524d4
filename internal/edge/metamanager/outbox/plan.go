package outbox

import (
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/akri-go/akri/internal/edge/metamanager/store"
)

// Kinds of entries.
const (
	// Delete deletes the object that is the key.
	Delete = "delete"
	// Event is a new Event.
	Event = "event"
)

// What entries may take.
const (
	// MaxEventBytes is how long an Event may be.
	MaxEventBytes = 16 << 10
	// The Events of the node's own programs.
	maxEvents      = 200
	maxEventsBytes = 1 << 20
	// Those of all Pods, and of one service account.
	maxPodEvents          = 100
	maxPodEventsBytes     = 512 << 10
	maxAccountEvents      = 50
	maxAccountEventsBytes = 256 << 10
	// All other requests.
	maxOthers      = 1000
	maxOthersBytes = 8 << 20
)

// share is what entries of one sort may take together.
type share struct {
	entries, bytes int
	of             func(store.Entry) bool
}

// sharesOf are the shares of which an entry takes a part, the smallest first. The
// Events of Pods have their own, so that none takes the place of the kubelet's, nor
// one account all places of the others'.
func sharesOf(e store.Entry) []share {
	account := e.Call.As.ServiceAccount
	switch {
	case e.Kind != Event:
		return []share{{maxOthers, maxOthersBytes, func(h store.Entry) bool { return h.Kind != Event }}}
	case account == "":
		return []share{{maxEvents, maxEventsBytes, func(h store.Entry) bool { return h.Kind == Event && h.Call.As.ServiceAccount == "" }}}
	}
	return []share{
		{maxAccountEvents, maxAccountEventsBytes, func(h store.Entry) bool { return h.Kind == Event && h.Call.As.ServiceAccount == account }},
		{maxPodEvents, maxPodEventsBytes, func(h store.Entry) bool { return h.Kind == Event && h.Call.As.ServiceAccount != "" }},
	}
}

// room decides what must go for a new entry, oldest first. Events make room for
// Events; all others are kept, and with too many of them a new one is refused.
func room(have []store.Entry, e store.Entry) (drop []uint64, err error) {
	if e.Kind == Event && len(e.Call.Body) > MaxEventBytes {
		return nil, fmt.Errorf("an Event has at most %d bytes, this one %d", MaxEventBytes, len(e.Call.Body))
	}
	for _, s := range sharesOf(e) {
		var alike []store.Entry // but for the one that it replaces, and those that go anyway
		bytes := len(e.Call.Body)
		for _, h := range have {
			if s.of(h) && !e.Replaces(h) && !slices.Contains(drop, h.Seq) {
				alike = append(alike, h)
				bytes += len(h.Call.Body)
			}
		}
		for len(alike) >= s.entries || bytes > s.bytes {
			if e.Kind != Event {
				return nil, fmt.Errorf("%w: %d requests wait for cloudcore", store.ErrFull, len(alike))
			}
			if len(alike) == 0 {
				break
			}
			drop = append(drop, alike[0].Seq)
			bytes -= len(alike[0].Call.Body)
			alike = alike[1:]
		}
	}
	return drop, nil
}

// parallel is how many requests are made at a time.
const parallel = 8

// pass is what is known of a session.
type pass struct {
	busy   map[store.Key]bool
	failed map[store.Key]failure
}

// failure is why a key waits.
type failure struct {
	times int
	until time.Time
}

// next decides which entries are made now, and how long the first of those waits
// that have failed; 0: none does. others says whether anything but Events is to
// be made or being made. Entries come in their order.
func (p *pass) next(entries []store.Entry, now time.Time) (start []store.Entry, wait time.Duration, others bool) {
	var events []store.Entry
	seen := map[store.Key]bool{}
	for _, e := range entries {
		if seen[e.Key] {
			continue // after the one before
		}
		seen[e.Key] = true
		f := p.failed[e.Key]
		switch {
		case p.busy[e.Key]:
			others = others || e.Kind != Event
		case now.Before(f.until):
			if left := f.until.Sub(now); wait == 0 || left < wait {
				wait = left
			}
		case e.Kind == Event:
			events = append(events, e)
		default:
			start, others = append(start, e), true
		}
	}
	if !others {
		start = events
	}
	return start[:min(len(start), max(0, parallel-len(p.busy)))], wait, others
}

// outcome is what comes of an attempt.
type outcome int

const (
	made outcome = iota
	later
	refused
)

// believedAfter is how often in a row a request must be forbidden until that is
// believed: an API server that starts forbids what it allows a moment later.
const believedAfter = 4

// judge decides what an answer means; failures is how often the key has failed
// before. err says that there is no answer.
func judge(kind string, status int, err error, failures int) outcome {
	switch {
	case err != nil:
		return later
	case status >= 200 && status < 300:
		return made
	case kind == Delete && (status == http.StatusNotFound || status == http.StatusConflict):
		return made // it is gone, or another one has its name
	case kind == Event && status == http.StatusConflict:
		return made // the answer to it was lost
	case status >= 500, status == http.StatusTooManyRequests, status == http.StatusRequestTimeout:
		return later
	case (status == http.StatusUnauthorized || status == http.StatusForbidden) && failures+1 < believedAfter && kind != Event:
		return later
	}
	return refused
}
