package outbox

import (
	"fmt"
	"net/http"
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
	MaxEventBytes  = 16 << 10
	maxEvents      = 200
	maxEventsBytes = 1 << 20
	maxOthers      = 1000
	maxOthersBytes = 8 << 20
)

// room decides what must go for a new entry, oldest first. Events make room for
// Events; all others are kept, and with too many of them a new one is refused.
func room(have []store.Entry, e store.Entry) (drop []uint64, err error) {
	event := e.Kind == Event
	if event && len(e.Call.Body) > MaxEventBytes {
		return nil, fmt.Errorf("an Event has at most %d bytes, this one %d", MaxEventBytes, len(e.Call.Body))
	}
	var alike []store.Entry // but for the one that it replaces
	bytes := len(e.Call.Body)
	for _, h := range have {
		if (h.Kind == Event) == event && (h.Key != e.Key || h.Kind != e.Kind) {
			alike = append(alike, h)
			bytes += len(h.Call.Body)
		}
	}
	if !event {
		if len(alike) >= maxOthers || bytes > maxOthersBytes {
			return nil, fmt.Errorf("%w: %d requests wait for cloudcore", store.ErrFull, len(alike))
		}
		return nil, nil
	}
	for len(alike) >= maxEvents || bytes > maxEventsBytes && len(alike) > 0 {
		drop = append(drop, alike[0].Seq)
		bytes -= len(alike[0].Call.Body)
		alike = alike[1:]
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
