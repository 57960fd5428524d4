package main

import (
	"time"
)

const (
	// keptPoints is how many values of a server are kept: ten minutes.
	keptPoints = 600
	// interval is how often a value is counted again that does not change, as
	// upstream's application does.
	interval = time.Second
	// sharedPatience is how long a server may not be heard of if several are behind
	// one Service.
	sharedPatience = 30 * time.Second
)

// point is one value.
type point struct {
	at      time.Time
	value   float64
	verdict verdict
}

// State is how a server does.
type State string

// The states.
const (
	Waiting State = "waiting" // there was no value yet
	Live    State = "live"
	Lost    State = "lost" // there were values
)

// server is what is known of an OPC UA server. Its hub guards it.
type server struct {
	id       string
	name     string // what its broker calls it
	reason   string // why there is no value
	shared   bool   // it is behind a Service with others
	detector detector
	points   []point // the latest
	count    uint64  // of all points that there were
}

// add adds a value.
func (s *server) add(value float64, now time.Time) {
	s.reason = ""
	if len(s.points) == keptPoints {
		copy(s.points, s.points[1:])
		s.points = s.points[:keptPoints-1]
	}
	s.points = append(s.points, point{now, value, s.detector.judge(value)})
	s.count++
}

// repeat adds the last value again if it is a while ago and still stands.
func (s *server) repeat(now time.Time) bool {
	if s.shared || s.state(now) != Live || now.Sub(s.last()) < interval {
		return false
	}
	s.add(s.points[len(s.points)-1].value, now)
	return true
}

// last is when the last value came; zero if none has.
func (s *server) last() time.Time {
	if len(s.points) == 0 {
		return time.Time{}
	}
	return s.points[len(s.points)-1].at
}

// state says how the server does at a time.
func (s *server) state(now time.Time) State {
	switch {
	case len(s.points) == 0:
		return Waiting
	case s.reason != "" || s.shared && now.Sub(s.last()) > sharedPatience:
		return Lost
	}
	return Live
}

// since returns the points that came after the first so many ones.
func (s *server) since(count uint64) []point {
	missing := min(s.count-count, uint64(len(s.points)))
	return s.points[uint64(len(s.points))-missing:]
}
