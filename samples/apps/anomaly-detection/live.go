package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/akri-go/akri/samples/brokers"
)

const (
	// pace is the least time between two messages to a page.
	pace = 200 * time.Millisecond
	// keepInterval is the longest time between two.
	keepInterval = 10 * time.Second
	// sendTimeout is how long a browser may take for one.
	sendTimeout = 10 * time.Second
)

// Message is what a page is told: all servers, with the values that are new to it.
type Message struct {
	// Problem is why it may be out of date.
	Problem string  `json:"problem,omitempty"`
	Servers []Entry `json:"servers"`
}

// Entry is one server.
type Entry struct {
	ID     string `json:"id"`
	Name   string `json:"name,omitempty"` // what its broker calls it
	State  State  `json:"state"`
	Reason string `json:"reason,omitempty"` // why there is no value
	// Usual are the least and the greatest usual value.
	Usual []float64 `json:"usual,omitempty"`
	// Learnt and First say how many values were learnt, and how many are to be.
	Learnt int `json:"learnt,omitempty"`
	First  int `json:"first,omitempty"`
	// Count is the number of all points so far, the last of which are in Points: time
	// in milliseconds since 1970, value, and verdict (0 usual, 1 outlier, 2 learning).
	Count  uint64       `json:"count"`
	Points [][3]float64 `json:"points,omitempty"`
}

// message makes one for a viewer that has so many points of each server, and notes
// how many it has then.
func (h *hub) message(sent map[*server]uint64, now time.Time) Message {
	h.mu.Lock()
	defer h.mu.Unlock()
	m := Message{Problem: h.problem, Servers: []Entry{}}
	there := map[*server]bool{}
	for _, f := range h.followed {
		for _, s := range f.servers {
			there[s] = true
			m.Servers = append(m.Servers, s.entry(sent[s], now))
			sent[s] = s.count
		}
	}
	for s := range sent {
		if !there[s] {
			delete(sent, s)
		}
	}
	return m
}

// entry tells of a server, with the points after the first so many ones.
func (s *server) entry(after uint64, now time.Time) Entry {
	e := Entry{ID: s.id, Name: s.name, State: s.state(now), Count: s.count, First: s.detector.training.first}
	if e.State != Live {
		e.Reason = s.reason
	}
	e.Learnt = len(s.detector.learnt)
	if low, high, ok := s.detector.band(); ok {
		e.Usual = []float64{low, high}
	}
	for _, p := range s.since(after) {
		e.Points = append(e.Points, [3]float64{float64(p.at.UnixMilli()), p.value, float64(p.verdict)})
	}
	return e
}

// live sends messages as server-sent events until the browser is gone.
func (h *hub) live(w http.ResponseWriter, r *http.Request) {
	changed, leave := h.viewers.Join(w)
	if leave == nil {
		return
	}
	defer leave()
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Accel-Buffering", "no") // for nginx, which would collect messages
	w = brokers.NewPatientWriter(w, sendTimeout)
	sent := map[*server]uint64{}
	last, lastAt := "", time.Time{}
	slow := time.NewTicker(pace)
	defer slow.Stop()
	for {
		now := time.Now()
		data, err := json.Marshal(h.message(sent, now))
		if err != nil {
			return
		}
		if text := string(data); text != last || now.Sub(lastAt) >= keepInterval {
			if _, err := fmt.Fprintf(w, "data: %s\n\n", text); err != nil {
				return
			}
			if http.NewResponseController(w).Flush() != nil {
				return
			}
			last, lastAt = text, now
		}
		select {
		case <-slow.C: // not more often than this
		case <-r.Context().Done():
			return
		}
		select {
		case <-changed:
		case <-r.Context().Done():
			return
		}
	}
}
