package outbox

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/akri-go/akri/internal/backoff"
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

// awayAfter is how many keys must fail in a row, one after another and each for
// the server's sake, until it counts as away: a webhook may fail for one object.
const awayAfter = 3

// pass is what is known of a session.
type pass struct {
	busy   map[store.Key]bool
	failed map[store.Key]failure
	// failing are the keys that have failed for the server's sake since it last
	// did something. With awayAfter of them it is away, and all wait for away.
	failing map[store.Key]bool
	away    failure
}

// failure is why a key waits, or all do.
type failure struct {
	times  int
	until  time.Time
	server bool // it is the server's, not the key's own
}

func newPass() *pass {
	return &pass{busy: map[store.Key]bool{}, failed: map[store.Key]failure{}, failing: map[store.Key]bool{}}
}

// isAway reports whether the server counts as away.
func (p *pass) isAway() bool { return len(p.failing) >= awayAfter }

// fail notes a failure of a key, and returns how long it waits. asked is how long
// the server wants it to.
func (p *pass) fail(key store.Key, server bool, asked time.Duration, retry backoff.Backoff, now time.Time) time.Duration {
	next := func(f failure) failure {
		f.times++
		f.server = server
		f.until = now.Add(min(max(retry.Delay(f.times), asked), retry.Max))
		return f
	}
	p.failed[key] = next(p.failed[key])
	if server {
		p.failing[key] = true
		if p.isAway() {
			p.away = next(p.away)
			return p.away.until.Sub(now)
		}
	}
	return p.failed[key].until.Sub(now)
}

// answered notes that the server has decided about a key. If it was away, nothing
// waits any longer for its sake.
func (p *pass) answered(key store.Key) {
	if p.isAway() {
		maps.DeleteFunc(p.failed, func(_ store.Key, f failure) bool { return f.server })
	}
	delete(p.failed, key)
	clear(p.failing)
	p.away = failure{}
}

// next decides which entries are made now, and how long the first of those waits
// that have failed; 0: none does. others says whether anything but Events is to
// be made or being made. Entries come in their order.
//
// While the server is away one entry is made at a time, to see whether it is back:
// that of the key that was tried longest ago, and so not always the same.
func (p *pass) next(entries []store.Entry, now time.Time) (start []store.Entry, wait time.Duration, others bool) {
	var events []store.Entry
	seen := map[store.Key]bool{}
	for _, e := range entries {
		if seen[e.Key] {
			continue // after the one before
		}
		seen[e.Key] = true
		f := p.failed[e.Key]
		if p.isAway() {
			others = others || p.busy[e.Key] && e.Kind != Event
			if len(start) == 0 {
				start = []store.Entry{e}
			} else if f.until.Before(p.failed[start[0].Key].until) {
				start[0] = e
			}
			continue
		}
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
	if p.isAway() {
		switch {
		case len(p.busy) > 0:
			return nil, 0, others // what comes of it decides
		case len(start) > 0 && now.Before(p.away.until):
			return nil, p.away.until.Sub(now), false
		}
		return start, 0, false
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
	away // later, and for the server's sake: it does not answer, or cannot now
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
		return away
	case status >= 200 && status < 300:
		return made
	case kind == Delete && (status == http.StatusNotFound || status == http.StatusConflict):
		return made // it is gone, or another one has its name
	case kind == Event && status == http.StatusConflict:
		return made // the answer to it was lost
	case status >= 500, status == http.StatusTooManyRequests, status == http.StatusRequestTimeout:
		return away
	case (status == http.StatusUnauthorized || status == http.StatusForbidden) && failures+1 < believedAfter && kind != Event:
		return later
	}
	return refused
}
