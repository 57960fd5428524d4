package modbus

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/akri-go/akri/internal/handlers/modbus/adu"
	"github.com/akri-go/akri/internal/handlers/modbus/details"
	"github.com/akri-go/akri/internal/handlers/schedule"
)

// identified is the answer of a unit that calls itself so.
func identified(name string) answer {
	return answer{there: true, tried: true, identification: &adu.Identification{Conformity: 1, Objects: [7]string{"V", name}}}
}

// The states of a unit, after the answers that it has given.
func TestUnit(t *testing.T) {
	gone := answer{err: errSilent, tried: true}
	value := answer{there: true}
	refused := answer{there: true, tried: true, refused: true}
	quiet := answer{there: true, tried: true} // but to the probe
	bad := answer{there: true, tried: true, refused: true, exception: 2}
	busy := answer{there: true, tried: true, busy: true, exception: 6}
	known := identified("a")
	times := func(n int, a answer) (all []answer) {
		for range n {
			all = append(all, a)
		}
		return all
	}
	for _, tt := range []struct {
		name    string
		answers []answer
		news    string // of each: n or -
		there   bool
		by, who string
		next    question
	}{
		{"never asked", nil, "", false, "", "", question{probeFirst: true, both: true}},
		{"identifies itself", []answer{known, known}, "n-", true, "identification", "a", question{}},
		{"is another", []answer{known, identified("b")}, "nn", true, "identification", "b", question{}},
		{"does not know the function", []answer{refused, value}, "n-", true, "register", "", question{probeFirst: true}},
		{"has no such register", []answer{bad, value}, "n-", true, "exception 2", "", question{probeFirst: true}},
		{"is busy", []answer{busy, busy}, "n-", true, "exception 6", "", question{both: true}},
		{"was busy", []answer{busy, known}, "nn", true, "identification", "a", question{}},
		{"is busy now", []answer{known, busy}, "n-", true, "identification", "a", question{}},
		{"is silent", []answer{gone}, "n", false, "", "", question{}},
		{"by turns", []answer{gone, gone, gone}, "n--", false, "", "", question{}},
		{"by turns, and again", []answer{gone, gone}, "n-", false, "", "", question{probeFirst: true, both: true}},
		{"says no twice, in two ways", []answer{{err: adu.Exception(11), tried: true, probed: true}, {err: errSilent, probed: true}, gone, gone},
			"nn--", false, "", "", question{probeFirst: true, both: true}},
		{"misses once", []answer{known, gone}, "nn", true, "identification", "a", question{both: true}},
		{"misses twice, and is back", []answer{known, gone, gone, known}, "nnn-", true, "identification", "a", question{}},
		{"is lost", append([]answer{known}, times(lostAfterLooks, gone)...), "nnnn", false, "", "", question{}},
		{"is lost and back", append([]answer{refused}, append(times(lostAfterLooks, gone), known)...), "nnnnn", true, "identification", "a", question{}},
		{"is asked who it is after it was away", []answer{refused, gone}, "nn", true, "register", "", question{both: true}},
		{"stops to identify itself", append([]answer{known}, times(lostAfterLooks, quiet)...), "n--n", true, "register", "", question{probeFirst: true}},
		{"does not for a while", []answer{known, quiet, quiet, known}, "n---", true, "identification", "a", question{}},
		{"says that it does not know the function any more", []answer{known, refused}, "nn", true, "register", "", question{probeFirst: true}},
		{"is asked again who it is", append([]answer{refused}, times(identifyEvery, value)...),
			"n" + strings.Repeat("-", identifyEvery), true, "register", "", question{probeFirst: true, both: true}},
		{"and was", slices.Concat([]answer{refused}, times(identifyEvery, value), []answer{quiet}),
			"n" + strings.Repeat("-", identifyEvery+1), true, "register", "", question{probeFirst: true}},
	} {
		u := unit{id: 1}
		news := ""
		for i, a := range tt.answers {
			a.at = time.Unix(int64(1+i), 0)
			news += map[bool]string{true: "n", false: "-"}[u.take(a)]
		}
		by, who := u.foundBy, u.says().Objects[1]
		if news != tt.news || u.there != tt.there || by != tt.by || who != tt.who || u.question() != tt.next {
			t.Errorf("%s: news %s, there %v by %q as %q, then %+v", tt.name, news, u.there, by, who, u.question())
		}
		if u.there && u.missed == 0 && u.problem != "" {
			t.Errorf("%s: problem %s", tt.name, u.problem)
		}
	}
}

// A server's only unit is asked both at once.
func TestAlone(t *testing.T) {
	u := newServer(details.Server{Host: "plc", Port: 502, Units: []byte{7}}).units[0]
	if q := u.question(); q != (question{both: true}) {
		t.Errorf("%+v", q)
	}
	u.take(answer{err: errSilent})
	if q := u.question(); q != (question{}) {
		t.Errorf("then %+v", q)
	}
}

// What speaks of something else, and says another thing each time, is news once.
func TestNotModbusIsNewsOnce(t *testing.T) {
	u := ofUnits(7).units[0]
	for i, want := range []bool{true, false, false} {
		if news := u.take(answer{probed: true, err: fmt.Errorf("%w: it sends %q", adu.ErrNotModbus, fmt.Sprint(i))}); news != want {
			t.Errorf("%d: news %v, problem %s", i, news, u.problem)
		}
	}
	if !u.take(answer{probed: true, err: errSilent}) || u.problem != "no answer" {
		t.Errorf("now it is silent: %s", u.problem)
	}
}

func ofUnits(ids ...byte) server {
	return newServer(details.Server{Host: "plc", Port: 502, Units: ids})
}

func TestOrder(t *testing.T) {
	s := ofUnits(1, 2, 3, 4, 5, 6)
	at := func(i int) time.Time { return time.Unix(int64(i), 0) }
	s.units[0].asked = at(5)
	s.units[1].asked = at(4)
	s.units[3].asked, s.units[3].there = at(9), true
	s.units[4].asked, s.units[4].there = at(8), true
	if got := fmt.Sprint(s.order()); got != "[4 3 2 5 1 0]" {
		t.Errorf("%s", got)
	}
	s.starved = true
	if got := fmt.Sprint(s.order()); got != "[2 5 1 0 4 3]" {
		t.Errorf("after a look without those that are not there: %s", got)
	}
}

// A look may end before the units that are not there. Then it is not the next at
// once, and they come first in it.
func TestStarved(t *testing.T) {
	s := ofUnits(1, 2, 3)
	known, silent := identified("a"), answer{err: errSilent, probed: true}
	known.at, silent.at = time.Unix(1, 0), time.Unix(1, 0)
	for i, st := range []struct {
		l                 looked
		pressing, starved bool
	}{
		{looked{answers: map[int]answer{0: known}, err: errHungUp}, true, false},
		{looked{answers: map[int]answer{0: known}, err: errHungUp}, false, true},
		{looked{answers: map[int]answer{0: known}, err: errHungUp}, false, true},
		{looked{answers: map[int]answer{1: silent}, err: errHungUp}, true, false},
		{looked{answers: map[int]answer{0: known}, err: errHungUp}, false, true},
		{looked{err: errHungUp}, false, false},
		{looked{answers: map[int]answer{2: known, 1: silent}}, false, false},
		{looked{answers: map[int]answer{0: known, 2: known}}, false, true},
	} {
		s.take(st.l)
		if s.pressing != st.pressing || s.starved != st.starved {
			t.Errorf("step %d: pressing %v, starved %v", i, s.pressing, s.starved)
		}
	}
}

func TestServerTake(t *testing.T) {
	s := ofUnits(1, 2, 3)
	silent := answer{err: errSilent, probed: true, at: time.Unix(1, 0)}
	known := identified("a")
	known.at = time.Unix(1, 0)
	type step struct {
		l       looked
		outcome schedule.Outcome
		news    bool
		settled bool
		there   int
		problem string
	}
	away := looked{err: errors.New("away")}
	for i, st := range []step{
		{away, schedule.Failed, true, true, 0, "away"}, // what else could one learn
		{away, schedule.Failed, false, true, 0, "away"},
		{looked{answers: map[int]answer{0: silent}}, schedule.Changed, true, false, 0, ""},
		{looked{answers: map[int]answer{0: silent, 1: known}}, schedule.Changed, true, false, 1, ""},
		{looked{answers: map[int]answer{0: silent, 1: known, 2: silent}}, schedule.Changed, true, true, 1, ""},
		{looked{answers: map[int]answer{0: silent, 1: known, 2: silent}}, schedule.Same, false, true, 1, ""},
		{looked{answers: map[int]answer{1: known}, err: errHungUp}, schedule.Same, true, true, 1, errHungUp.Error()},
		{looked{answers: map[int]answer{1: silent}}, schedule.Changed, true, true, 1, ""},
		{away, schedule.Failed, true, true, 1, "away"},
		{away, schedule.Failed, true, true, 0, "away"}, // the third in a row
		{looked{answers: map[int]answer{0: silent, 1: silent, 2: silent}}, schedule.Changed, true, true, 0, ""},
		{looked{answers: map[int]answer{0: silent, 1: silent, 2: silent}}, schedule.Failed, false, true, 0, ""},
	} {
		outcome, news := s.take(st.l)
		there := 0
		for _, u := range s.units {
			if u.there {
				there++
			}
		}
		if outcome != st.outcome || news != st.news || s.settled() != st.settled || there != st.there || s.problem != st.problem {
			t.Errorf("step %d: %v, news %v, settled %v, %d there, %q", i, outcome, news, s.settled(), there, s.problem)
		}
	}
}

func TestProblemOf(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want string
	}{
		{errSilent, "no answer"}, {errHungUp, "has it as many clients as it takes"},
		{&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNRESET)}, "has it as many clients as it takes"},
		{fmt.Errorf("%w: it sends %q", adu.ErrNotModbus, "HTTP/1."), `it does not speak Modbus TCP: it sends "HTTP/1.": does a Modbus TCP server run there`},
		{adu.Exception(11), "exception 11 (gateway target device failed to respond)"},
		{errors.New(strings.Repeat("x", 1000)), strings.Repeat("x", 100)},
	} {
		if got := problemOf(tt.err); !strings.Contains(got, tt.want) || len(got) > 170 {
			t.Errorf("%v: %s", tt.err, got)
		}
	}
}
