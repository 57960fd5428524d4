package announced

import "sync"

// maxBookBytes is how much the devices of one Configuration take at most.
const maxBookBytes = 8 << 20

// MaxBytes is how much those of all Configurations of a process should take.
const MaxBytes = 24 << 20

// Room is what all books share: each may have half of what the others leave, so
// that one that comes late gets some, however much the others hold. Several
// goroutines may use it.
type Room struct {
	mu   sync.Mutex
	left int
}

// NewRoom returns room for so many bytes.
func NewRoom(bytes int) *Room { return &Room{left: bytes} }

// take takes some for a book that holds so much, and tells whether it may.
func (r *Room) take(held, bytes int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.fits(held, bytes) {
		return false
	}
	r.left -= bytes
	return true
}

// has tells whether a book that holds so much could take some.
func (r *Room) has(held, bytes int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.fits(held, bytes)
}

func (r *Room) fits(held, bytes int) bool { return held+bytes <= (r.left+held)/2 }

func (r *Room) give(bytes int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.left += bytes
}
