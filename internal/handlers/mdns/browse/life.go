package browse

import (
	"math/rand/v2"
	"net/netip"
	"time"
)

// Family is a set of versions of IP.
type Family uint8

// The versions of IP.
const (
	V4 Family = 1 << iota
	V6

	Both = V4 | V6
)

const (
	// A time to live is taken as one between these two: a shorter one would make us
	// ask all the time, and a longer one keeps for long what is not there.
	minTTL, maxTTL = 10 * time.Second, 2 * time.Hour
	// byeDelay is how long a record stays after its good-bye, or after others have
	// taken the place of all that were there (RFC 6762, sections 10.1 and 10.2).
	byeDelay = time.Second
	// doubtDelay is how long if it was another's. Who is there says a record once in a
	// second at most (section 6), so one question may not be enough.
	doubtDelay = 3 * time.Second
)

// refreshes are the parts of its time to live after which a record is asked for
// again (section 5.2).
var refreshes = [...]float64{0.80, 0.85, 0.90, 0.95}

const (
	// refreshJitter is the part by which all of a link are asked for later, at random,
	// so that not all nodes ask at the same moment.
	refreshJitter = 0.02
	// refreshEarly is the part by which a record is asked for earlier, if that goes
	// with another question.
	refreshEarly = 0.05
)

// life is how long a record is valid, and when it is asked for again.
type life struct {
	since  time.Time // when it was heard first
	heard  time.Time // and last
	ttl    time.Duration
	asked  int        // of refreshes
	jitter float64    // the link's
	via    Family     // over which it was heard last
	bye    bool       // it ends without being asked for
	from   netip.Addr // who has said it last
	// contested says that another than who has said it has said its good-bye. Until it
	// ends it is asked for, but not before nextDoubt.
	contested bool
	nextDoubt time.Time
}

// renew notes that the record was heard.
func (l *life) renew(ttl uint32, from netip.Addr, via Family, now time.Time, jitter float64) {
	if l.since.IsZero() {
		l.since = now
	}
	d := time.Duration(ttl) * time.Second
	*l = life{
		since: l.since, heard: now, ttl: min(max(d, minTTL), maxTTL), jitter: jitter, via: via, from: from,
		nextDoubt: l.nextDoubt,
	}
}

// leave has the record end soon, for somebody says so. If that is another than who
// has said it, it is asked for, and has the time to be heard again.
func (l *life) leave(from netip.Addr, now time.Time) {
	if !l.there() || l.bye && (!l.contested || from != l.from) {
		return
	}
	l.heard, l.ttl, l.bye, l.contested = now, byeDelay, true, from != l.from
	if l.contested {
		l.ttl = doubtDelay
	}
}

// there tells whether there is a record at all.
func (l *life) there() bool { return l.ttl > 0 }

func (l *life) ends() time.Time { return l.heard.Add(l.ttl) }

// next is when something is to be done: to ask, or to end.
func (l *life) next() time.Time {
	if at := later(l.heard, l.nextDoubt); l.contested && at.Before(l.ends()) {
		return at
	}
	if l.bye || l.asked == len(refreshes) {
		return l.ends()
	}
	return l.heard.Add(time.Duration(float64(l.ttl) * (refreshes[l.asked] + l.jitter)))
}

// refresh tells whether the record is to be asked for, over which versions of IP,
// and notes that it was. Early is by how much it may be before its time, if it is
// the first.
func (l *life) refresh(now time.Time, early time.Duration) (over Family, due bool) {
	if l.contested {
		if now.Before(l.nextDoubt) {
			return 0, false
		}
		l.nextDoubt = now.Add(doubtInterval)
		return Both, true
	}
	if early = min(early, time.Duration(float64(l.ttl)*refreshEarly)); l.asked > 0 {
		early = 0
	}
	if !l.there() || l.bye || l.asked == len(refreshes) || l.next().After(now.Add(early)) {
		return 0, false
	}
	l.asked++
	if l.asked > 2 {
		return Both, true // perhaps it is the other that works
	}
	return l.via, true
}

const (
	// The first question of a series waits for so long at random, since others have
	// cause to ask at the same moment (RFC 6762, section 5.2).
	leastDelay, mostDelay = 20 * time.Millisecond, 120 * time.Millisecond
	// Then the time between two is a second, and twice as long each time.
	firstInterval, lastInterval = time.Second, time.Hour
)

// series is a question that is asked again and again, for what is not known yet.
type series struct {
	next     time.Time
	interval time.Duration
	asked    int
}

// firstDelay is how long a series waits.
func firstDelay() time.Duration { return leastDelay + rand.N(mostDelay-leastDelay) }

// begin begins the series at a time, unless it has begun.
func (s *series) begin(at time.Time) {
	if s.next.IsZero() {
		*s = series{next: at}
	}
}

// due tells whether it is time to ask, and notes that it was done.
func (s *series) due(now time.Time) bool {
	if s.next.IsZero() || s.next.After(now) {
		return false
	}
	s.interval = min(max(2*s.interval, firstInterval), lastInterval)
	s.next = now.Add(s.interval)
	s.asked++
	return true
}
