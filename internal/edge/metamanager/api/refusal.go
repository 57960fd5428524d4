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

// pass has the cloud answer a read, and keeps nothing of it: of lists for who may
// not watch, since nothing would tell of changes; of Leases for who elects a
// leader, since one that is old is worth nothing, and one that is renewed every
// two seconds would wear out the disk.
func (s *Server) pass(w http.ResponseWriter, r *http.Request, user User) {
	reply, err := s.call(r.Context(), callOf(r, user, nil))
	if err != nil {
		fail(w, err)
		return
	}
	passOn(w, reply)
}

// isPodsLease reports whether a Pod gets a Lease.
func isPodsLease(t target, user User) bool {
	return user.isPod() && t.resource.Group == "coordination.k8s.io" && t.resource.Name == "leases"
}
