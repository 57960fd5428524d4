package announced

import "sync"

// maxBookBytes is how much the devices of one Configuration take at most.
const maxBookBytes = 8 << 20

// MaxBytes is how much those of all Configurations of a process should take.
const MaxBytes = 24 << 20

// Room is what all books share. Several goroutines may use it.
type Room struct {
	mu   sync.Mutex
	left int
}

// NewRoom returns room for so many bytes.
func NewRoom(bytes int) *Room { return &Room{left: bytes} }

func (r *Room) take(bytes int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if bytes > r.left {
		return false
	}
	r.left -= bytes
	return true
}

func (r *Room) give(bytes int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.left += bytes
}
