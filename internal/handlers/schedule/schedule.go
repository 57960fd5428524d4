// Package schedule says when a discovery handler that has to ask looks next at
// each of the things it asks: often while something changes, more rarely while
// nothing does, in a rhythm of its own after failures, and at once when there is
// cause.
//
// A thing is what is looked at by itself: the probe of a Configuration, one
// discovery URL, one camera. A look is one attempt to learn how it is, and ends
// with an [Outcome]. A [Rhythm] says how far apart the looks at a thing are. A
// [Schedule] holds many things and needs one timer, for the one that is due
// first. It starts no goroutine and reads no clock:
//
//	for ctx.Err() == nil {
//		for looking < most {
//			thing, ok := s.Take(time.Now())
//			if !ok {
//				break
//			}
//			looking++
//			go func() { ended <- look(ctx, thing) }()
//		}
//		if at, ok := s.Next(); ok {
//			timer.Reset(time.Until(at)) // it may be past while all looks are taken
//		}
//		select {
//		case <-ctx.Done():
//		case <-timer.C:
//		case thing := <-hello:
//			s.Now(thing, time.Now())
//		case e := <-ended:
//			looking--
//			s.Done(e.thing, time.Now(), e.outcome)
//		}
//	}
//
// How many looks there are at once is the caller's to decide, as most is here; a
// thing has one at most.
package schedule

import (
	"container/heap"
	"time"

	"github.com/akri-go/akri/internal/backoff"
)

// What a [Rhythm] of [Every] is made of.
const (
	// DefaultInterval is how often upstream Akri's handlers look.
	DefaultInterval = 10 * time.Second
	// DefaultSlowdown is how many times longer than the interval the time between
	// two looks becomes while nothing changes.
	DefaultSlowdown = 6
	// DefaultLeast is the least time between two looks.
	DefaultLeast = time.Second
	// DefaultJitter is the part of a time that is random.
	DefaultJitter = 0.1

	// steady is after how many looks without a change the next time is twice as
	// long.
	steadyLooks = 6
)

// Rhythm is how far apart the looks at a thing are. All times are from the end of
// a look to the beginning of the next. All but those that Least makes are shorter
// by a random part, so that what began together does not stay together.
type Rhythm struct {
	// Interval is the time after a look that found a change, or was the first. It
	// doubles with every 6 looks that find nothing new, up to Slowest.
	Interval, Slowest time.Duration
	// Retry is the time after looks that failed. What was learned before of how
	// steady the thing is stays.
	Retry backoff.Backoff
	// Least is the time that passes even before a look at once, so that whoever
	// can cause one (anybody who can send a Hello) cannot cause many.
	Least time.Duration
	// Jitter is the random part of Interval and Slowest, from 0 to 1.
	Jitter float64
}

// Every returns the usual rhythm for an interval; [DefaultInterval] if it is not
// above 0. While nothing changes the time grows to 6 intervals. The first failure
// is followed by a look after one interval, further ones by ever later looks, at
// most 6 intervals apart.
func Every(interval time.Duration) Rhythm {
	if interval <= 0 {
		interval = DefaultInterval
	}
	slowest := DefaultSlowdown * interval
	return Rhythm{
		Interval: interval, Slowest: slowest, Least: min(DefaultLeast, interval), Jitter: DefaultJitter,
		Retry: backoff.Backoff{First: interval, Max: slowest, Jitter: DefaultJitter},
	}
}

// Outcome is how a look ended.
type Outcome int

// What a look can find.
const (
	Same    Outcome = iota // the thing is as it was
	Changed                // it is not, or it is seen for the first time
	Failed                 // nothing was learned of it
)

// Schedule says when each of its things is looked at. It is for one goroutine.
type Schedule[K comparable] struct {
	things map[K]*thing[K]
	due    queue[K]
	past   map[K]time.Time // until when things that were removed are not looked at
}

// maxPast is how many things that were removed are remembered.
const maxPast = 4096

type thing[K comparable] struct {
	key    K
	rhythm Rhythm
	due    time.Time
	place  int       // in the queue; -1 while it is looked at
	ended  time.Time // the last look
	same   int       // looks in a row without a change
	failed int       // looks in a row that failed
	again  bool      // it is to be looked at again as soon as the look has ended
	gone   bool      // it was removed while it was looked at
}

// Set adds a thing, which is due at once, or changes the rhythm of one that is
// there, which is then due no later than an interval from now. The Least of one
// that was removed and is added again counts on.
func (s *Schedule[K]) Set(key K, rhythm Rhythm, now time.Time) {
	t := s.things[key]
	switch {
	case t == nil:
		if s.things == nil {
			s.things = make(map[K]*thing[K])
		}
		t = &thing[K]{key: key, due: now}
		if at := s.past[key]; at.After(now) {
			t.due, t.ended = at, at.Add(-rhythm.Least)
		}
		delete(s.past, key)
		s.things[key] = t
		heap.Push(&s.due, t)
	case t.gone: // and its last look has not ended
		t.gone, t.again, t.same, t.failed = false, true, 0, 0
	case t.rhythm != rhythm && t.place >= 0:
		t.same = 0
		s.dueBy(t, now.Add(backoff.Jitter(rhythm.Interval, rhythm.Jitter)))
	}
	t.rhythm = rhythm
}

// Remove takes a thing out. A look that is under way need not end.
func (s *Schedule[K]) Remove(key K) {
	t := s.things[key]
	switch {
	case t == nil:
	case t.place < 0:
		t.gone = true // until Done: there must not be two looks if it is set again
	default:
		heap.Remove(&s.due, t.place)
		s.drop(t)
	}
}

// drop forgets a thing, but for when it may be looked at again: whoever can have
// it removed and added again must not cause many looks.
func (s *Schedule[K]) drop(t *thing[K]) {
	delete(s.things, t.key)
	if t.ended.IsZero() {
		return
	}
	if s.past == nil {
		s.past = make(map[K]time.Time)
	}
	if len(s.past) >= maxPast {
		for key, at := range s.past {
			if at.Before(t.ended) || len(s.past) > maxPast/2 {
				delete(s.past, key)
			}
		}
	}
	s.past[t.key] = t.ended.Add(t.rhythm.Least)
}

// Now has a thing looked at without delay, but for its rhythm's Least; again if
// it is being looked at, since that look may have begun too early.
func (s *Schedule[K]) Now(key K, now time.Time) {
	t := s.things[key]
	switch {
	case t == nil:
	case t.place < 0:
		t.again = true
	default:
		t.same = 0
		s.dueBy(t, now.Add(max(0, t.ended.Add(t.rhythm.Least).Sub(now))))
	}
}

// Next returns when the thing that is due first is due; false if none will be.
func (s *Schedule[K]) Next() (time.Time, bool) {
	if len(s.due) == 0 {
		return time.Time{}, false
	}
	return s.due[0].due, true
}

// Take returns the thing that has been due for longest; false if none is. The
// look at it is then under way until Done is called.
func (s *Schedule[K]) Take(now time.Time) (key K, ok bool) {
	if at, ok := s.Next(); !ok || at.After(now) {
		return key, false
	}
	return heap.Pop(&s.due).(*thing[K]).key, true
}

// Done says how the look at a thing that was taken ended.
func (s *Schedule[K]) Done(key K, now time.Time, o Outcome) {
	t := s.things[key]
	if t == nil || t.place >= 0 {
		return
	}
	if t.gone {
		t.ended = now
		s.drop(t)
		return
	}
	if !t.again { // else it is another thing, or of another state, that was seen
		t.count(o)
	}
	t.ended = now
	t.due = now.Add(max(t.wait(), t.rhythm.Least))
	if t.again {
		t.again, t.due = false, now.Add(t.rhythm.Least)
	}
	heap.Push(&s.due, t)
}

func (t *thing[K]) count(o Outcome) {
	switch o {
	case Failed:
		t.failed++
	case Changed:
		t.failed, t.same = 0, 0
	case Same:
		t.failed = 0
		t.same++
	}
}

// wait returns how long to wait after a look.
func (t *thing[K]) wait() time.Duration {
	if t.failed > 0 {
		return t.rhythm.Retry.Delay(t.failed)
	}
	r := backoff.Backoff{First: t.rhythm.Interval, Max: t.rhythm.Slowest, Jitter: t.rhythm.Jitter}
	return r.Delay(1 + t.same/steadyLooks)
}

// dueBy has a thing due no later than at.
func (s *Schedule[K]) dueBy(t *thing[K], at time.Time) {
	if at.Before(t.due) {
		t.due = at
		heap.Fix(&s.due, t.place)
	}
}

// queue is a heap of the things that wait, the first due on top.
type queue[K comparable] []*thing[K]

func (q queue[K]) Len() int           { return len(q) }
func (q queue[K]) Less(i, j int) bool { return q[i].due.Before(q[j].due) }
func (q queue[K]) Swap(i, j int)      { q[i], q[j] = q[j], q[i]; q[i].place, q[j].place = i, j }
func (q *queue[K]) Push(x any) {
	t := x.(*thing[K])
	t.place = len(*q)
	*q = append(*q, t)
}
func (q *queue[K]) Pop() any {
	last := len(*q) - 1
	t := (*q)[last]
	(*q)[last] = nil
	*q, t.place = (*q)[:last], -1
	return t
}
