package registry

import (
	"context"
	"sync"

	"k8s.io/apimachinery/pkg/types"
)

// mailbox holds what the observer has not been told yet. It keeps one message
// per request and endpoint, however much happens: the newest report, or that the
// endpoint was lost, and the newest failure after that.
type mailbox struct {
	filled chan struct{}
	beat   chan struct{}

	mu       sync.Mutex
	order    []place
	messages map[place]*message
}

type place struct {
	configuration types.NamespacedName
	endpoint      string
}

type message struct {
	report  *Report
	lost    *Loss
	failure *Failure
}

func newMailbox() *mailbox {
	return &mailbox{filled: make(chan struct{}, 1), beat: make(chan struct{}), messages: make(map[place]*message)}
}

// reported replaces a loss and a failure that were not told.
func (m *mailbox) reported(r Report) {
	m.change(place{r.Configuration, r.Endpoint}, func(msg *message) { *msg = message{report: &r} })
}

func (m *mailbox) failed(f Failure) {
	m.change(place{f.Configuration, f.Endpoint}, func(msg *message) { msg.failure = &f })
}

// lost replaces all that was not told.
func (m *mailbox) lost(l Loss) {
	m.change(place{l.Configuration, l.Endpoint}, func(msg *message) { *msg = message{lost: &l} })
}

func (m *mailbox) change(p place, do func(*message)) {
	m.mu.Lock()
	msg := m.messages[p]
	if msg == nil {
		msg = new(message)
		m.messages[p] = msg
		m.order = append(m.order, p)
	}
	do(msg)
	m.mu.Unlock()
	select {
	case m.filled <- struct{}{}:
	default:
	}
}

// forget drops the messages for which drop returns true.
func (m *mailbox) forget(drop func(place) bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	kept := m.order[:0]
	for _, p := range m.order {
		if drop(p) {
			delete(m.messages, p)
			continue
		}
		kept = append(kept, p)
	}
	clear(m.order[len(kept):])
	m.order = kept
}

func (m *mailbox) next() *message {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.order) == 0 {
		return nil
	}
	p := m.order[0]
	m.order = m.order[1:]
	msg := m.messages[p]
	delete(m.messages, p)
	return msg
}

// deliver tells the observer until ctx is done. It calls refused for reports that
// the observer does not keep.
func (m *mailbox) deliver(ctx context.Context, o Observer, refused func(Report, error)) {
	for {
		for {
			msg := m.next()
			if msg == nil || ctx.Err() != nil {
				break
			}
			if msg.lost != nil {
				o.Lost(*msg.lost)
			}
			if msg.report != nil {
				if err := o.Reported(*msg.report); err != nil {
					refused(*msg.report, err)
				}
			}
			if msg.failure != nil {
				o.Failed(*msg.failure)
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
