package store

import edgev1 "github.com/akri-go/akri/api/edge/v1"

// What local clients can have followed.
const (
	maxInterests        = 1000
	maxAccountInterests = 100 // of one service account
)

// isPods reports whether an interest is that of a service account.
func (i *interest) isPods() bool { return i.what.As.ServiceAccount != "" }

// maxBytesOf is how many bytes of objects there may be for another one to be
// stored for an interest. A quarter is for the node itself.
func (s *state) maxBytesOf(i *interest) int {
	if i.isPods() {
		return s.maxBytes / 4 * 3
	}
	return s.maxBytes
}

// makeRoom makes room for an interest of somebody. A service account has room for
// so many, and makes room by its own; no Pod drives out what the node itself
// follows.
func (s *state) makeRoom(as edgev1.As) bool {
	if account := as.ServiceAccount; account != "" {
		same := func(i *interest) bool { return i.what.As.ServiceAccount == account }
		n := 0
		for _, i := range s.interests {
			if same(i) {
				n++
			}
		}
		if n >= maxAccountInterests {
			return s.evict(same)
		}
		return len(s.interests) < maxInterests || s.evict((*interest).isPods)
	}
	return len(s.interests) < maxInterests || s.evict((*interest).isPods) || s.evict(func(*interest) bool { return true })
}

// evict drops the one of those interests that was used longest ago and that
// nobody watches.
func (s *state) evict(of func(*interest) bool) bool {
	var oldest *interest
	for _, i := range s.interests {
		if i.watches == 0 && of(i) && (oldest == nil || i.used.Before(oldest.used)) {
			oldest = i
		}
	}
	if oldest != nil {
		s.drop(oldest)
	}
	return oldest != nil
}
