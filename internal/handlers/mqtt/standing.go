package mqtt

import "time"

// standing is how things stand with a broker. It reads no clock.
type standing struct {
	grace time.Duration

	up    bool
	since time.Time // up or away; zero before the first connection
	swept bool      // what was not told again since then is forgotten
	// unanswered is how many signs of life were asked for and have not come: the
	// broker gives them after what it retains.
	unanswered int
	answered   time.Time // when the last one came, or the first of these was asked for
	pinged     time.Time // when one was asked for last
	keepAlive  time.Duration
	problem    string // why there is no connection
}

// connected notes a new connection, and returns how long there was none.
func (s *standing) connected(now time.Time, keepAlive time.Duration) (away time.Duration) {
	if !s.since.IsZero() && !s.up {
		away = now.Sub(s.since)
	}
	// What was known before the broker was away must be told again. There is
	// nothing of that kind on the first connection.
	s.swept = s.since.IsZero()
	s.up, s.since, s.problem, s.unanswered = true, now, "", 0
	s.pinged, s.keepAlive = now, keepAlive
	return away
}

// lost notes that the connection has ended, or that there is none.
func (s *standing) lost(now time.Time, problem string) {
	if s.up {
		s.up, s.since, s.swept = false, now, false
	}
	s.problem = problem
}

// asked notes that a sign of life is asked for.
func (s *standing) asked(now time.Time) {
	if s.unanswered == 0 {
		s.answered = now
	}
	s.unanswered++
}

// alive notes a sign of life.
func (s *standing) alive(now time.Time) {
	s.unanswered, s.answered = max(0, s.unanswered-1), now
}

// progress notes that the broker is telling what it retains, after which the sign of
// life comes; that may take longer than others.
func (s *standing) progress(now time.Time) { s.answered = now }

// settled tells whether the broker has told all that it retains.
func (s *standing) settled() bool { return s.up && s.unanswered == 0 }

// action is what there is to do.
type action int

const (
	nothing action = iota
	ping           // ask for a sign of life
	sweep          // forget what was not told on this connection
	forget         // forget all devices
	giveUp         // end a connection that is not answered
)

// act returns what there is to do, one thing at a time, and when to ask next; zero
// if not before something happens.
func (s *standing) act(now time.Time) (do action, next time.Time) {
	if s.since.IsZero() {
		return nothing, time.Time{}
	}
	if end := s.since.Add(s.grace); !s.swept {
		switch {
		case end.After(now):
			next = end
		case s.up:
			s.swept = true
			return sweep, now
		default:
			s.swept = true
			return forget, now
		}
	}
	if s.up {
		if s.unanswered > 0 && !s.answered.Add(s.keepAlive).After(now) {
			return giveUp, now
		}
		due := s.pinged.Add(s.keepAlive / 2)
		if !due.After(now) {
			s.pinged = now
			return ping, now
		}
		if next.IsZero() || due.Before(next) {
			next = due
		}
	}
	return nothing, next
}
