package brokers

import (
	"context"
	"sync"
)

// Latest has the newest of something, and nothing else: whoever is slow misses
// some, and nothing ever waits in a queue. The zero value has none. It may be used
// by several goroutines.
type Latest[T any] struct {
	mu      sync.Mutex
	has     bool
	value   T
	number  uint64
	changed chan struct{}
}

// Put takes a value. It never waits.
func (l *Latest[T]) Put(value T) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.has, l.value = true, value
	l.next()
}

// Clear forgets the value: the device is lost. Who waits for the next one is told
// at once.
func (l *Latest[T]) Clear() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.has {
		var none T
		l.has, l.value = false, none
		l.next()
	}
}

// next is called with mu held.
func (l *Latest[T]) next() {
	l.number++
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
}

// Numbered is a value, or that there is none any more.
type Numbered[T any] struct {
	Value T
	// Has is false if there is no value.
	Has bool
	// Number counts, from 1, how often a value came or was lost.
	Number uint64
}

// Last returns the newest value.
func (l *Latest[T]) Last() Numbered[T] {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last()
}

// last is called with mu held.
func (l *Latest[T]) last() Numbered[T] { return Numbered[T]{l.value, l.has, l.number} }

// Next waits for what is newer than a number, 0 for any. An error is that of ctx.
func (l *Latest[T]) Next(ctx context.Context, after uint64) (Numbered[T], error) {
	for {
		l.mu.Lock()
		if l.number > after {
			defer l.mu.Unlock()
			return l.last(), nil
		}
		if l.changed == nil {
			l.changed = make(chan struct{})
		}
		changed := l.changed
		l.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return Numbered[T]{}, context.Cause(ctx)
		}
	}
}
