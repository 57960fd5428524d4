package sync

import (
	"time"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
)

// Counts are numbers since edgecore started.
type Counts struct {
	Put     uint64 `json:"put"`     // objects that cloudcore sent
	Gone    uint64 `json:"gone"`    // objects that it said are gone
	Refused uint64 `json:"refused"` // interests
	Calls   uint64 `json:"calls"`   // that were made
}

// add counts a message from cloudcore.
func (c *Counts) add(m edgev1.Message) {
	switch m.(type) {
	case *edgev1.Put:
		c.Put++
	case *edgev1.Gone:
		c.Gone++
	case *edgev1.Refused:
		c.Refused++
	}
}

// State is for a person at the node.
type State struct {
	Connected bool      `json:"connected"`
	Since     time.Time `json:"since,omitzero"`
	// Interests are open in this session, Syncing of them not complete yet.
	Interests int `json:"interests"`
	Syncing   int `json:"syncing"`
	Calls     int `json:"calls"` // that wait for a reply
	// InStep is when the store was last known to be in step with the cluster:
	// now, if it is; zero: never.
	InStep time.Time `json:"inStep,omitzero"`
	Counts Counts    `json:"counts"`
}

// inStep is now if a session has synced all interests, and else the time before.
func inStep(of *session, before time.Time) time.Time {
	if open, syncing, _ := of.count(); open > 0 && syncing == 0 {
		return time.Now()
	}
	return before
}

// State counts what is under way.
func (s *Sync) State() State {
	s.mu.Lock()
	of, state := s.session, State{Since: s.since, InStep: s.inStep, Counts: s.count}
	s.mu.Unlock()
	if of == nil {
		state.Since = time.Time{}
		return state
	}
	state.Connected, state.InStep = true, inStep(of, state.InStep)
	state.Interests, state.Syncing, state.Calls = of.count()
	return state
}
