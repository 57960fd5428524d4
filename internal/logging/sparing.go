package logging

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	// sparingBurst is how many lines are logged at once, sparingInterval how long
	// it takes until another may be.
	sparingBurst    = 20
	sparingInterval = 10 * time.Second
)

// Sparing limits the rate of log lines that others cause. The zero Sparing is
// ready to use.
type Sparing struct {
	mu     sync.Mutex
	limit  *rate.Limiter
	unsaid int
}

// Log logs a line; at level Debug if there were too many. The next line that is
// logged at its own level says how many were not.
func (s *Sparing) Log(log *slog.Logger, level slog.Level, text string, args ...any) {
	s.mu.Lock()
	if s.limit == nil {
		s.limit = rate.NewLimiter(rate.Every(sparingInterval), sparingBurst)
	}
	if s.limit.Allow() {
		if s.unsaid > 0 {
			args = append(args, "unsaid", s.unsaid)
		}
		s.unsaid = 0
	} else {
		s.unsaid++
		level = slog.LevelDebug
	}
	s.mu.Unlock()
	log.Log(context.Background(), level, text, args...)
}
