package modbus

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/akri-go/akri/internal/handlers/modbus/adu"
)

// lostAfterLooks is after how many looks in a row at which it was not there a unit
// is lost.
const lostAfterLooks = 3

// identifyEvery is at which look a unit that does not identify itself is asked
// again whether it does: somebody may have put another device in its place.
const identifyEvery = 20

// unit is what is known of a unit of a server.
type unit struct {
	id     byte
	alone  bool      // on its server
	asked  time.Time // the last time; zero: never
	tries  int       // times asked while it is not there
	there  bool
	missed int // looks in a row, of one that is there
	// mute says that it answers the probe, and not Read Device Identification.
	mute bool
	// quiet counts looks since it was asked for its identification last.
	quiet int
	// strange counts looks in a row at which one that has identified itself only
	// answered the probe.
	strange  int
	foundBy  string // for people: what showed that it is there
	identity *adu.Identification
	problem  string // why it is not there
}

// question is what a unit is asked in one look.
type question struct {
	probeFirst bool // before Read Device Identification
	// both says that the second is asked too: after silence if the first is Read
	// Device Identification, after an answer if it is the probe.
	both bool
}

// question says what to ask now. What is not there costs a time-out for each
// request, so it gets one for each look, by turns, the probe first; but a server's
// only unit gets both the first time.
func (u *unit) question() question {
	switch {
	case u.there && u.mute && u.missed == 0:
		return question{probeFirst: true, both: u.quiet >= identifyEvery}
	case u.there:
		return question{both: u.identity == nil || u.missed > 0}
	case u.alone && u.tries == 0:
		return question{both: true}
	}
	probeFirst := u.tries%2 == 0
	return question{probeFirst: probeFirst, both: probeFirst}
}

// answer is what came of asking a unit.
type answer struct {
	at    time.Time
	there bool
	// identification is nil if it did not identify itself; then tried tells whether it
	// was asked to, and refused whether it said that it does not know the function.
	identification *adu.Identification
	tried, refused bool
	probed         bool          // whatever came of it
	exception      adu.Exception // with which it showed that it is there; 0: with a value
	busy           bool          // whether it can identify itself is not known
	err            error         // why it is not there
}

// take notes an answer, and tells whether it is news.
func (u *unit) take(a answer) bool {
	u.asked = a.at
	if !a.there {
		problem := problemOf(a.err)
		// It would change with what the unit is asked, or with what else it sends.
		still := errors.Is(a.err, adu.ErrNotModbus) && strings.HasPrefix(u.problem, adu.ErrNotModbus.Error())
		if u.problem != "" && (!a.probed || still) {
			problem = u.problem
		}
		return u.miss(problem)
	}
	if u.quiet++; a.tried {
		u.quiet = 0
	}
	first := !u.there
	u.there, u.missed, u.tries, u.problem = true, 0, 0, ""
	switch {
	case a.identification != nil:
		changed := u.identity == nil || *u.identity != *a.identification
		u.identity, u.mute, u.strange, u.foundBy = a.identification, false, 0, foundByIdentification
		return first || changed
	case u.identity != nil && a.busy:
		return false
	case u.identity != nil:
		if u.strange++; !a.refused && u.strange < lostAfterLooks {
			return false
		}
		u.identity, u.foundBy = nil, ""
	}
	u.mute = u.mute || a.tried && !a.busy
	if changed := u.foundBy == ""; changed {
		u.foundBy = foundByRegister
		if a.exception != 0 {
			u.foundBy = fmt.Sprintf(foundByException, byte(a.exception))
		}
		return true
	}
	return first
}

// What the property FoundBy says.
const (
	foundByIdentification = "identification"
	foundByRegister       = "register"
	foundByException      = "exception %d"
)

// miss notes a look at which the unit was not there, and tells whether that is
// news.
func (u *unit) miss(problem string) bool {
	if !u.there {
		u.tries++
		news := u.problem != problem
		u.problem = problem
		return news
	}
	if u.missed++; u.missed >= lostAfterLooks {
		*u = unit{id: u.id, alone: u.alone, asked: u.asked, tries: 1, problem: problem}
	}
	return true
}
