package probes

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

const (
	// beatTimeout is how long a question after the pulse waits for a beat.
	beatTimeout = time.Second
	// deadAfter is how long a beat may take. A machine that is overloaded or
	// was suspended takes long, too.
	deadAfter = 30 * time.Second
)

// Pulse tells whether loops still turn. A beat is a function that returns once
// its loop has come by. Each is called when somebody asks, one call at a time:
// nothing happens in between.
type Pulse struct {
	beats map[string]func(context.Context)

	mu    sync.Mutex
	since map[string]time.Time // of beats that are awaited
}

// NewPulse returns the pulse of these loops, by name.
func NewPulse(beats map[string]func(context.Context)) *Pulse {
	return &Pulse{beats: beats, since: map[string]time.Time{}}
}

// Check says which loop has not come by for deadAfter, nil if there is none.
// Calls of beats end with ctx.
func (p *Pulse) Check(ctx context.Context) error {
	var calls sync.WaitGroup
	p.mu.Lock()
	for name, beat := range p.beats {
		if _, awaited := p.since[name]; awaited {
			continue
		}
		p.since[name] = time.Now()
		calls.Go(func() {
			beat(ctx)
			p.mu.Lock()
			delete(p.since, name)
			p.mu.Unlock()
		})
	}
	p.mu.Unlock()
	done := make(chan struct{})
	go func() {
		calls.Wait()
		close(done)
	}()
	timer := time.NewTimer(beatTimeout)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	var dead []string
	for name, since := range p.since {
		if time.Since(since) >= deadAfter {
			dead = append(dead, name)
		}
	}
	if len(dead) == 0 {
		return nil
	}
	slices.Sort(dead)
	return fmt.Errorf("%v did not come by within %s", dead, deadAfter)
}
