package pages

import (
	"net/http"
	"sync"

	"github.com/akri-go/akri/bounded"
)

// MaxViewers is how many viewers there are at once.
const MaxViewers = 100

// Viewers are those of a page. The zero value is none.
type Viewers struct {
	mu    sync.Mutex
	there map[chan struct{}]struct{}
}

// Join adds a viewer: changed has something in it when something has changed since it
// was read last. The caller calls leave. If there are too many viewers, leave is nil
// and the request was answered.
func (v *Viewers) Join(w http.ResponseWriter) (changed <-chan struct{}, leave func()) {
	viewer := make(chan struct{}, 1)
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.there) >= MaxViewers {
		bounded.Busy(w, "too many viewers")
		return nil, nil
	}
	if v.there == nil {
		v.there = map[chan struct{}]struct{}{}
	}
	v.there[viewer] = struct{}{}
	return viewer, func() {
		v.mu.Lock()
		defer v.mu.Unlock()
		delete(v.there, viewer)
	}
}

// Len is how many viewers there are.
func (v *Viewers) Len() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(v.there)
}

// Wake tells all viewers that something has changed.
func (v *Viewers) Wake() {
	v.mu.Lock()
	defer v.mu.Unlock()
	for viewer := range v.there {
		select {
		case viewer <- struct{}{}:
		default: // it has not looked since the last time
		}
	}
}
