package modbus

import (
	"cmp"
	"errors"
	"slices"
	"syscall"

	"github.com/akri-go/akri/internal/handlers/address"
	"github.com/akri-go/akri/internal/handlers/modbus/adu"
	"github.com/akri-go/akri/internal/handlers/modbus/details"
	"github.com/akri-go/akri/internal/handlers/schedule"
	"github.com/akri-go/akri/internal/shorten"
)

// server is what is known of a server.
type server struct {
	details.Server

	units   []unit
	looked  bool
	reached bool   // at the last look
	problem string // why it was not
	// pressing says that units were never asked, and that the last look has asked
	// some that were not before; starved that it had no time, or no connection, for
	// any unit that is not there.
	pressing, starved bool
}

func newServer(s details.Server) server {
	v := server{Server: s, units: make([]unit, len(s.Units))}
	for i, id := range s.Units {
		v.units[i].id, v.units[i].alone = id, len(s.Units) == 1
	}
	return v
}

// order returns the units, by their indices, in the order in which they are asked:
// those that are there, then those that were never asked, then the others; of each
// kind who was not asked for longest. A look may end before the last: if it ended
// before the first that is not there, those that are there come last in the next.
func (s *server) order() []int {
	all := make([]int, len(s.units))
	for i := range all {
		all[i] = i
	}
	class := func(u unit) int {
		switch {
		case u.there && s.starved:
			return 3
		case u.there:
			return 0
		case u.asked.IsZero():
			return 1
		}
		return 2
	}
	slices.SortStableFunc(all, func(a, b int) int {
		u, v := s.units[a], s.units[b]
		return cmp.Or(cmp.Compare(class(u), class(v)), u.asked.Compare(v.asked))
	})
	return all
}

// looked is what came of a look at a server.
type looked struct {
	answers map[int]answer // by the units' indices, of those that were asked
	err     error          // it could not be reached, or not any more
}

// take notes a look, and tells whether it is news.
func (s *server) take(l looked) (outcome schedule.Outcome, news bool) {
	first, problem := !s.looked, s.problem
	s.looked, s.problem, s.reached = true, "", l.err == nil || len(l.answers) > 0
	outcome = schedule.Failed
	changed := false
	unasked := s.unasked()
	s.starved = s.skipped(l)
	for i, a := range l.answers {
		changed = s.units[i].take(a) || changed
		if a.there {
			outcome = schedule.Same
		}
	}
	s.pressing = s.reached && 0 < s.unasked() && s.unasked() < unasked
	if l.err != nil {
		s.problem = problemOf(l.err)
	}
	if !s.reached {
		for i := range s.units {
			if s.units[i].there { // of the others nothing is known
				changed = s.units[i].miss(s.problem) || changed
			}
		}
	} else if changed {
		outcome = schedule.Changed
	}
	return outcome, first || changed || s.problem != problem
}

// unasked returns how many units were never asked.
func (s *server) unasked() (n int) {
	for i := range s.units {
		if s.units[i].asked.IsZero() {
			n++
		}
	}
	return n
}

// skipped tells whether a look has asked units that are there, and of those that
// are not none.
func (s *server) skipped(l looked) bool {
	absent := false
	for i := range s.units {
		if _, asked := l.answers[i]; !s.units[i].there && asked {
			return false
		}
		absent = absent || !s.units[i].there
	}
	return absent && len(l.answers) > 0
}

// settled tells whether all is known of a server that one can know at once.
func (s *server) settled() bool { return s.looked && !s.pressing }

var (
	// errSilent is of a unit that does not answer in time.
	errSilent = errors.New("no answer")
	// errHungUp is of a server that closes the connection.
	errHungUp = errors.New("it closes the connection: has it as many clients as it takes, " +
		"or does it take certain ones only?")
)

// problemOf says what is wrong, and what can be done.
func problemOf(err error) string {
	if text := address.Explain(err, "a Modbus TCP server"); text != "" {
		return text
	}
	if errors.Is(err, syscall.ECONNRESET) { // by what takes a connection and ends it at once
		err = errHungUp
	}
	if errors.Is(err, adu.ErrNotModbus) {
		return shorten.Text(err.Error(), 80) + ": does a Modbus TCP server run there, on this port?"
	}
	return shorten.Text(err.Error(), 160)
}
