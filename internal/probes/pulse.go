package probes

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

const (
	// beatTimeout is how long Check waits for beats.
	beatTimeout = time.Second
	// deadAfter is how long a beat may take. It is long, because a machine may be
	// overloaded or was suspended.
	deadAfter = 30 * time.Second
)

// Pulse tells whether loops still run. Each loop has a beat: a function that
// returns once the loop has answered it. Beats are only called by Check, one
// call of each at a time.
type Pulse struct {
	beats map[string]func(context.Context)

	mu    sync.Mutex
	since map[string]time.Time // of beats that are awaited
}

// NewPulse returns the pulse of loops, whose beats are given by name.
func NewPulse(beats map[string]func(context.Context)) *Pulse {
	return &Pulse{beats: beats, since: map[string]time.Time{}}
}

// Check returns an error that names the loops that have not answered for
// deadAfter, nil if there are none. Calls of beats end with ctx.
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
	return fmt.Errorf("%v did not answer within %s", dead, deadAfter)
}
