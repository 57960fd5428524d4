package registry

import (
	"context"
	"sync"

	"k8s.io/apimachinery/pkg/types"
)

// mailbox holds what the observer has not been told yet. It keeps one entry per
// question and endpoint, whatever happens meanwhile: the newest list, or that
// the endpoint was lost, and then the newest failure.
type mailbox struct {
	filled chan struct{}
	beat   chan struct{}

	mu      sync.Mutex
	order   []place
	entries map[place]*entry
}

type place struct {
	configuration types.NamespacedName
	endpoint      string
}

type entry struct {
	report  *Report
	lost    *Loss
	failure *Failure
}

func newMailbox() *mailbox {
	return &mailbox{filled: make(chan struct{}, 1), beat: make(chan struct{}), entries: make(map[place]*entry)}
}

// reported overtakes a loss and a failure that were not told.
func (m *mailbox) reported(r Report) {
	m.change(place{r.Configuration, r.Endpoint}, func(e *entry) { *e = entry{report: &r} })
}

func (m *mailbox) failed(f Failure) {
	m.change(place{f.Configuration, f.Endpoint}, func(e *entry) { e.failure = &f })
}

// lost takes back what was not told.
func (m *mailbox) lost(l Loss) {
	m.change(place{l.Configuration, l.Endpoint}, func(e *entry) { *e = entry{lost: &l} })
}

func (m *mailbox) change(p place, do func(*entry)) {
	m.mu.Lock()
	e := m.entries[p]
	if e == nil {
		e = new(entry)
		m.entries[p] = e
		m.order = append(m.order, p)
	}
	do(e)
	m.mu.Unlock()
	select {
	case m.filled <- struct{}{}:
	default:
	}
}

// forget drops what is to be told of a configuration, from one endpoint or
// from all for which drop says so.
func (m *mailbox) forget(drop func(place) bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	kept := m.order[:0]
	for _, p := range m.order {
		if drop(p) {
			delete(m.entries, p)
			continue
		}
		kept = append(kept, p)
	}
	clear(m.order[len(kept):])
	m.order = kept
}

func (m *mailbox) next() *entry {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.order) == 0 {
		return nil
	}
	p := m.order[0]
	m.order = m.order[1:]
	e := m.entries[p]
	delete(m.entries, p)
	return e
}

// deliver tells the observer until ctx is done, and refused of reports that it
// does not keep.
func (m *mailbox) deliver(ctx context.Context, o Observer, refused func(Report, error)) {
	for {
		for {
			e := m.next()
			if e == nil || ctx.Err() != nil {
				break
			}
			if e.lost != nil {
				o.Lost(*e.lost)
			}
			if e.report != nil {
				if err := o.Reported(*e.report); err != nil {
					refused(*e.report, err)
				}
			}
			if e.failure != nil {
				o.Failed(*e.failure)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-m.filled:
		case <-m.beat:
		}
	}
}

// pass returns when deliver has nothing left to tell, or when ctx is done.
func (m *mailbox) pass(ctx context.Context) {
	select {
	case m.beat <- struct{}{}:
	case <-ctx.Done():
	}
}
