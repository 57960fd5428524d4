package api

import "net/http"

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
