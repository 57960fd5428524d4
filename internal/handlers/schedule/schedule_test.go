package schedule

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/akri-go/akri/internal/backoff"
)

var start = time.Unix(1000, 0)

// exact is a rhythm without chance.
var exact = Rhythm{
	Interval: 10 * time.Second, Slowest: 60 * time.Second, Least: time.Second,
	Retry: backoff.Backoff{First: 2 * time.Second, Max: 20 * time.Second},
}

// One thing is looked at whenever it is due, and each look ends at once.
func TestRhythm(t *testing.T) {
	for _, tt := range []struct {
		name     string
		outcomes string // c changed, s same, f failed
		waits    []int  // seconds after each of them
	}{
		{"changes all the time", "cccc", []int{10, 10, 10, 10}},
		{"never changes", "c" + strings.Repeat("s", 24), []int{10,
			10, 10, 10, 10, 10, 20, 20, 20, 20, 20, 20, 40, 40, 40, 40, 40, 40, 60, 60, 60, 60, 60, 60, 60}},
		{"a change makes it quick", "ssssssscs", []int{10, 10, 10, 10, 10, 20, 20, 10, 10}},
		{"fails", "ffffff", []int{2, 4, 8, 16, 20, 20}},
		{"fails at times", "fsffs", []int{2, 10, 2, 4, 10}},
		{"a failure changes nothing of how steady it was", "ssssssfs", []int{10, 10, 10, 10, 10, 20, 2, 20}},
	} {
		var s Schedule[string]
		now := start
		s.Set("a", exact, now)
		var waits []int
		for i, o := range tt.outcomes {
			if key, ok := s.Take(now); !ok || key != "a" {
				t.Fatalf("%s: look %d: %q, %v", tt.name, i, key, ok)
			}
			if _, ok := s.Next(); ok {
				t.Errorf("%s: it is due while it is looked at", tt.name)
			}
			now = now.Add(3 * time.Second) // a look takes time
			s.Done("a", now, map[rune]Outcome{'c': Changed, 's': Same, 'f': Failed}[o])
			at, ok := s.Next()
			if _, early := s.Take(at.Add(-1)); !ok || early {
				t.Errorf("%s: look %d: next %v, before it is due %v", tt.name, i, ok, early)
			}
			waits = append(waits, int(at.Sub(now)/time.Second))
			now = at
		}
		if !slices.Equal(waits, tt.waits) {
			t.Errorf("%s: waits %v, want %v", tt.name, waits, tt.waits)
		}
	}
}

// What happens at which second, and when the things are due after it.
func TestSchedule(t *testing.T) {
	slow := exact
	slow.Interval = 40 * time.Second
	type step struct {
		second int
		do     string // set KEY, slow KEY, remove KEY, now KEY, take, done KEY
		want   string // what is taken
		next   int    // the second; -1 if nothing will be due
	}
	for _, tt := range []struct {
		name  string
		steps []step
	}{
		{"the first due is taken first", []step{
			{0, "set a", "", 0}, {1, "set b", "", 0}, {2, "take", "a", 1}, {2, "take", "b", -1}, {2, "take", "", -1},
			{4, "done b", "", 14}, {5, "done a", "", 14}, {14, "take", "b", 15}, {14, "take", "", 15}}},
		{"nothing", []step{{0, "take", "", -1}, {0, "now a", "", -1}, {0, "done a", "", -1}, {0, "remove a", "", -1}}},
		{"removed", []step{{0, "set a", "", 0}, {0, "set b", "", 0}, {0, "remove a", "", 0}, {0, "take", "b", -1}}},
		{"removed while it is looked at", []step{
			{0, "set a", "", 0}, {0, "take", "a", -1}, {1, "remove a", "", -1}, {2, "done a", "", -1}, {2, "now a", "", -1}}},
		{"and set again: never two looks at once", []step{
			{0, "set a", "", 0}, {0, "take", "a", -1}, {1, "remove a", "", -1}, {1, "set a", "", -1}, {2, "take", "", -1},
			{5, "done a", "", 6}, {6, "take", "a", -1}}},
		{"now", []step{
			{0, "set a", "", 0}, {0, "take", "a", -1}, {0, "done a", "", 10}, {5, "now a", "", 5}, {5, "take", "a", -1}}},
		{"now, but not more often than Least", []step{
			{0, "set a", "", 0}, {0, "take", "a", -1}, {5, "done a", "", 15}, {5, "now a", "", 6}, {5, "now a", "", 6}}},
		{"now while it is looked at", []step{
			{0, "set a", "", 0}, {0, "take", "a", -1}, {1, "now a", "", -1}, {3, "done a", "", 4},
			{4, "take", "a", -1}, {4, "done a", "", 14}}},
		{"now makes nothing later", []step{{0, "set a", "", 0}, {5, "now a", "", 0}}},
		{"done twice", []step{{0, "set a", "", 0}, {0, "take", "a", -1}, {0, "done a", "", 10}, {5, "done a", "", 10}}},
		{"a quicker rhythm", []step{
			{0, "slow a", "", 0}, {0, "take", "a", -1}, {0, "done a", "", 40}, {5, "set a", "", 15}}},
		{"the same rhythm", []step{{0, "set a", "", 0}, {0, "take", "a", -1}, {0, "done a", "", 10}, {5, "set a", "", 10}}},
		{"a slower rhythm", []step{
			{0, "set a", "", 0}, {0, "take", "a", -1}, {0, "done a", "", 10}, {5, "slow a", "", 10}, {10, "take", "a", -1},
			{10, "done a", "", 50}}},
	} {
		var s Schedule[string]
		for i, step := range tt.steps {
			now, got := start.Add(time.Duration(step.second)*time.Second), ""
			switch do, key, _ := strings.Cut(step.do, " "); do {
			case "set":
				s.Set(key, exact, now)
			case "slow":
				s.Set(key, slow, now)
			case "remove":
				s.Remove(key)
			case "now":
				s.Now(key, now)
			case "take":
				got, _ = s.Take(now)
			case "done":
				s.Done(key, now, Changed)
			}
			next := -1
			if at, ok := s.Next(); ok {
				next = int(at.Sub(start) / time.Second)
			}
			if got != step.want || next != step.next {
				t.Errorf("%s: step %d, %s: %q, next %d; want %q, %d", tt.name, i, step.do, got, next, step.want, step.next)
			}
		}
	}
}

func TestEvery(t *testing.T) {
	for _, tt := range []struct{ interval, least, want, slowest time.Duration }{
		{0, time.Second, 10 * time.Second, time.Minute},
		{-1, time.Second, 10 * time.Second, time.Minute},
		{30 * time.Second, time.Second, 30 * time.Second, 3 * time.Minute},
		{100 * time.Millisecond, 100 * time.Millisecond, 100 * time.Millisecond, 600 * time.Millisecond},
	} {
		r := Every(tt.interval)
		want := Rhythm{tt.want, tt.slowest, backoff.Backoff{First: tt.want, Max: tt.slowest, Jitter: 0.1}, tt.least, 0.1}
		if r != want {
			t.Errorf("%s: %+v", tt.interval, r)
		}
	}
}

// Things that begin together come apart, and none waits longer than it should.
func TestJitter(t *testing.T) {
	var s Schedule[int]
	for i := range 100 {
		s.Set(i, Every(0), start)
	}
	for range 100 {
		key, ok := s.Take(start)
		if !ok {
			t.Fatal("not all are due at once")
		}
		s.Done(key, start, Changed)
	}
	different := map[time.Time]bool{}
	for range 100 {
		at, _ := s.Next()
		if wait := at.Sub(start); wait < 9*time.Second || wait > 10*time.Second {
			t.Errorf("%s", wait)
		}
		different[at] = true
		if _, ok := s.Take(at); !ok {
			t.Fatal("what is due is not to be had")
		}
	}
	if len(different) < 50 {
		t.Errorf("%d different times of 100", len(different))
	}
}

// Whatever is done in whatever order, a thing has one look at most, what is taken
// is there, and each thing that is not looked at will be.
func TestRandom(t *testing.T) {
	const seed = 1
	random, now := rand.New(rand.NewPCG(seed, 0)), start
	var s Schedule[int]
	looking, there := map[int]bool{}, map[int]bool{}
	for range 20_000 {
		now = now.Add(time.Duration(random.Int64N(int64(time.Second))))
		switch key := random.IntN(20); random.IntN(6) {
		case 0:
			s.Set(key, exact, now)
			there[key] = true
		case 1:
			s.Remove(key)
			delete(there, key)
		case 2:
			s.Now(key, now)
		case 3, 4:
			key, ok := s.Take(now)
			if ok && (looking[key] || !there[key]) {
				t.Fatalf("%d is taken: looked at %v, there %v", key, looking[key], there[key])
			}
			if ok {
				looking[key] = true
			}
		case 5:
			if looking[key] {
				s.Done(key, now, Outcome(random.IntN(3)))
				delete(looking, key)
			}
		}
		waiting := 0
		for key := range there {
			if !looking[key] {
				waiting++
			}
		}
		if len(s.due) != waiting {
			t.Fatalf("%d things wait, want %d of %s", len(s.due), waiting, fmt.Sprint(there))
		}
	}
}

// Whoever has a thing removed and added again, time after time, causes no more
// looks than Least allows.
func TestRemovedAndSetAgain(t *testing.T) {
	var s Schedule[string]
	rhythm := Every(10 * time.Second)
	now, looks := time.Unix(1000, 0), 0
	for range 100 {
		s.Set("a", rhythm, now)
		if _, ok := s.Take(now); ok {
			looks++
			s.Done("a", now, Changed)
		}
		s.Remove("a")
		now = now.Add(100 * time.Millisecond)
	}
	if looks != 10 {
		t.Errorf("%d looks in 10 s", looks)
	}
	for i := range 3 * maxPast {
		key := strconv.Itoa(i)
		s.Set(key, rhythm, now)
		s.Take(now)
		s.Done(key, now, Same)
		s.Remove(key)
	}
	if len(s.past) > maxPast {
		t.Errorf("%d are remembered", len(s.past))
	}
}
