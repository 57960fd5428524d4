package bounded

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Gate bounds how much work is done at a time. Of those that wait, the peer with
// least work inside comes first, and then the one that has waited longest.
type Gate struct {
	places, perPeer int

	mu      sync.Mutex
	inside  map[string]int
	total   int
	waiting []*waiter // longest first
}

type waiter struct {
	peer string
	in   chan struct{} // closed when it is let in
}

// NewGate returns a Gate with so many places, of which one peer has at most
// perPeer, so that there is always room for others.
func NewGate(places, perPeer int) *Gate {
	return &Gate{places: places, perPeer: perPeer, inside: map[string]int{}}
}

// Enter waits for a place until ctx is done. Call leave when the work is done.
func (g *Gate) Enter(ctx context.Context, peer string) (leave func(), err error) {
	w := &waiter{peer: peer, in: make(chan struct{})}
	g.mu.Lock()
	g.waiting = append(g.waiting, w)
	g.fill()
	g.mu.Unlock()
	leave = sync.OnceFunc(func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.total--
		if g.inside[peer]--; g.inside[peer] == 0 {
			delete(g.inside, peer)
		}
		g.fill()
	})
	select {
	case <-w.in:
		return leave, nil
	case <-ctx.Done():
	}
	g.mu.Lock()
	i := slices.Index(g.waiting, w)
	if i >= 0 {
		g.waiting = slices.Delete(g.waiting, i, i+1)
	}
	g.mu.Unlock()
	if i < 0 {
		leave() // it was let in meanwhile
	}
	return nil, context.Cause(ctx)
}

// fill lets in those that may enter.
func (g *Gate) fill() {
	for g.total < g.places {
		next := -1
		for i, w := range g.waiting {
			if n := g.inside[w.peer]; n < g.perPeer && (next < 0 || n < g.inside[g.waiting[next].peer]) {
				next = i
			}
		}
		if next < 0 {
			return
		}
		w := g.waiting[next]
		g.waiting = slices.Delete(g.waiting, next, next+1)
		g.inside[w.peer]++
		g.total++
		close(w.in)
	}
}

// Handler lets requests through the gate. A request that has waited for
// patience is answered with status 503.
func (g *Gate) Handler(patience time.Duration, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), patience)
		leave, err := g.Enter(ctx, Peer(r))
		cancel()
		if err != nil {
			Busy(w, "too many requests at once: try again")
			return
		}
		defer leave()
		next.ServeHTTP(w, r)
	})
}

// Busy answers with status 503 and a text, and says in a header when to try
// again.
func Busy(w http.ResponseWriter, text string) {
	w.Header().Set("Retry-After", "1")
	http.Error(w, text, http.StatusServiceUnavailable)
}
