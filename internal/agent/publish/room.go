package publish

import (
	"context"
	"sync"
)

// room makes others wait while many Instances are to be written.
type room struct {
	mu sync.Mutex
	// made is closed when there is room again; nil if nobody waits.
	made chan struct{}
}

// Room returns when there are no more Instances waiting than are written at a
// time, or ctx is done. It does not wait where nothing is written: before the
// first lists have come, and while the API server is away.
func (p *Publisher) Room(ctx context.Context) {
	select {
	case <-p.ready:
	default:
		return
	}
	p.room.mu.Lock()
	// Each name that waits is taken from the queue later, which taken notices.
	if p.queue.Len() <= p.opts.Workers {
		p.room.mu.Unlock()
		return
	}
	if p.room.made == nil {
		p.room.made = make(chan struct{})
	}
	made := p.room.made
	p.room.mu.Unlock()
	select {
	case <-made:
	case <-ctx.Done():
	}
}

// taken notes that a name was taken from the queue.
func (p *Publisher) taken() {
	if p.queue.Len() > p.opts.Workers {
		return
	}
	p.room.mu.Lock()
	defer p.room.mu.Unlock()
	if p.room.made != nil {
		close(p.room.made)
		p.room.made = nil
	}
}
