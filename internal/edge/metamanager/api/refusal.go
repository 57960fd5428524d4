package api

import (
	"net/http"
	"sync"
	"time"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
)

const (
	// refusedFor is how long an interest is not asked for again that was refused:
	// cloudcore asks several times before it refuses.
	refusedFor = time.Minute
	// maxRefusals bounds how many are remembered.
	maxRefusals = 256
)

// refusals are the interests that cloudcore has refused to Pods.
type refusals struct {
	mu   sync.Mutex
	when map[edgev1.Interest]time.Time
}

func (f *refusals) has(what edgev1.Interest) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	at, ok := f.when[what]
	if ok && time.Since(at) >= refusedFor {
		delete(f.when, what)
		ok = false
	}
	return ok
}

func (f *refusals) add(what edgev1.Interest) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.when == nil || len(f.when) >= maxRefusals {
		f.when = map[edgev1.Interest]time.Time{}
	}
	f.when[what] = time.Now()
}

// passList has the cloud answer a list, and keeps nothing of it: who may list,
// but not watch, cannot be told of changes.
func (s *Server) passList(w http.ResponseWriter, r *http.Request, user User) {
	reply, err := s.call(r.Context(), callOf(r, user, nil))
	if err != nil {
		fail(w, err)
		return
	}
	passOn(w, reply)
}
