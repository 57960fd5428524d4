package service

import (
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// lingerPeriod is how long a Service stays when its last backend is gone but
// another is expected.
const lingerPeriod = 30 * time.Second

// Backends counts the Pods of a Service.
type Backends struct {
	// Running Pods; Left are those that have not ended, running or not, being
	// deleted or not.
	Running, Left int
}

// Existing is the Service that has the name.
type Existing struct {
	UID types.UID
	// Ours is false for a foreign Service.
	Ours bool
	// Owner is the UID of the subject that it was made for.
	Owner types.UID
	// Hash is of the spec that it was made from; empty if upstream's controller
	// made it.
	Hash        string
	Terminating bool
}

// State is all that a plan depends on.
type State struct {
	// Subject is the UID of the Instance or Configuration; empty if it is
	// gone.
	Subject types.UID
	// Hash of the Service that is wanted; empty if none is.
	Hash string
	// Hold means: change nothing, the spec is broken.
	Hold     bool
	Backends Backends
	// Expected means that brokers are wanted, so a missing one will come back.
	Expected bool
	// Empty is since when there is no backend; zero if there is one.
	Empty    time.Time
	Existing *Existing
	Now      time.Time
}

// Verb is what to do with a Service.
type Verb int

const (
	// Keep leaves things as they are.
	Keep Verb = iota
	// Apply writes the Service.
	Apply
	// Delete removes it.
	Delete
	// Conflict means that a foreign Service has the name.
	Conflict
)

// Result is a plan.
type Result struct {
	Verb Verb
	// RequeueAfter is when to plan again if nothing changes; 0 is never.
	RequeueAfter time.Duration
}

// Plan decides about one Service.
func Plan(s State) Result {
	ours := s.Existing != nil && s.Existing.Ours
	remove := func() Result {
		if ours && !s.Existing.Terminating {
			return Result{Verb: Delete}
		}
		return Result{}
	}
	switch {
	case s.Subject == "":
		return remove()
	case s.Hold:
		return Result{}
	case s.Hash == "":
		return remove()
	case ours && s.Existing.Owner != s.Subject:
		// The Service of an earlier subject is deleted, which triggers us
		// again.
		return remove()
	}
	if s.Backends.Left == 0 {
		if !ours || !s.Expected {
			return remove()
		}
		if left := lingerPeriod - s.Now.Sub(s.Empty); left > 0 {
			return Result{RequeueAfter: min(left, lingerPeriod)}
		}
		return remove()
	}
	switch {
	case s.Existing != nil && !ours:
		if s.Backends.Running == 0 {
			return Result{}
		}
		return Result{Verb: Conflict}
	case s.Existing == nil && s.Backends.Running == 0:
		return Result{} // created when the first one runs
	case s.Existing != nil && (s.Existing.Terminating || s.Existing.Hash == s.Hash):
		return Result{}
	}
	return Result{Verb: Apply}
}
