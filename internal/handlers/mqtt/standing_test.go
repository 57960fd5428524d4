package mqtt

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// What happens with a broker, minute by minute, and what is to be done: each step
// is a minute and what happens then ("up", "down", "failed", "alive").
func TestStanding(t *testing.T) {
	const grace = 2 * time.Minute
	for steps, want := range map[string]string{
		"0:failed 9:":                            "0: 9:",
		"0:up 0: 1:":                             "0: 0: 1:ping",
		"0:up 1: 1: 2: 2:":                       "0: 1:ping 1: 2:ping 2:",
		"0:up 0:down 1: 2: 3:":                   "0: 0: 1: 2:forget 3:",
		"0:up 0:down 1:up 2: 3:":                 "0: 0: 1: 2:ping 3:sweep 3:ping",
		"0:up 0:down 9:up 9: 11:":                "0: 0: 9:forget 9: 9: 11:sweep 11:ping",
		"0:up 0:down 1:failed 2:":                "0: 0: 1: 2:forget",
		"0:up 0:down 1:failed 1:up 2:down 3: 4:": "0: 0: 1: 1: 2: 3: 4:forget",
	} {
		s := standing{grace: grace}
		var got []string
		for step := range strings.FieldsSeq(steps) {
			var minute int
			var what string
			_, _ = fmt.Sscanf(strings.Replace(step, ":", " ", 1), "%d %s", &minute, &what)
			now := time.Date(2026, 1, 1, 0, minute, 0, 0, time.UTC)
			names := []string{"", "ping", "sweep", "forget"}
			if what == "up" { // as the follower, which acts before it takes anything
				for do, _ := s.act(now); do != nothing; do, _ = s.act(now) {
					got = append(got, fmt.Sprintf("%d:%s", minute, names[do]))
				}
				s.connected(now, time.Minute)
			}
			switch what {
			case "down":
				s.lost(now, "gone")
			case "failed":
				s.lost(now, "refused")
			}
			do, next := s.act(now)
			got = append(got, fmt.Sprintf("%d:%s", minute, names[do]))
			for do != nothing {
				if next != now {
					t.Errorf("%s: next is %s", steps, next)
				}
				if do, next = s.act(now); do != nothing {
					got = append(got, fmt.Sprintf("%d:%s", minute, names[do]))
				}
			}
			if !next.IsZero() && !next.After(now) {
				t.Errorf("%s: at %s the next time is %s", steps, now, next)
			}
		}
		if text := strings.Join(got, " "); text != want {
			t.Errorf("%s: %s, want %s", steps, text, want)
		}
	}
}

// A broker that speaks and does not answer is given up.
func TestUnanswered(t *testing.T) {
	at := func(s int) time.Time { return time.Date(2026, 1, 1, 0, 0, s, 0, time.UTC) }
	s := standing{grace: time.Hour}
	s.connected(at(0), time.Minute)
	s.asked(at(0))
	s.asked(at(20))
	if do, _ := s.act(at(29)); do != nothing || s.settled() {
		t.Errorf("to do: %d", do)
	}
	s.alive(at(29))
	if do, _ := s.act(at(88)); do != ping {
		t.Errorf("to do: %d", do)
	}
	if do, _ := s.act(at(89)); do != giveUp {
		t.Errorf("to do: %d", do)
	}
	s.alive(at(89))
	if do, next := s.act(at(90)); do != nothing || !s.settled() || next != at(118) {
		t.Errorf("to do: %d, next at %s", do, next)
	}
}

// One that is telling what it retains is not given up, however long that takes.
func TestProgress(t *testing.T) {
	at := func(s int) time.Time { return time.Date(2026, 1, 1, 0, 0, s, 0, time.UTC) }
	s := standing{grace: time.Hour}
	s.connected(at(0), time.Minute)
	s.asked(at(0))
	for second := range 200 {
		s.progress(at(second))
		if do, _ := s.act(at(second)); do == giveUp || s.settled() {
			t.Fatalf("after %d s to do: %d, settled %v", second, do, s.settled())
		}
	}
	if do, _ := s.act(at(260)); do != giveUp {
		t.Errorf("to do: %d", do)
	}
}

func TestAway(t *testing.T) {
	at := func(m int) time.Time { return time.Date(2026, 1, 1, 0, m, 0, 0, time.UTC) }
	s := standing{grace: time.Minute}
	s.lost(at(0), "refused")
	if away := s.connected(at(1), time.Minute); away != 0 || s.problem != "" {
		t.Errorf("%s, %q", away, s.problem)
	}
	s.lost(at(2), "gone")
	s.lost(at(3), "refused")
	if away := s.connected(at(5), time.Minute); away != 3*time.Minute {
		t.Errorf("%s", away)
	}
	s.unanswered = 1
	if s.settled() {
		t.Error("settled")
	}
}
