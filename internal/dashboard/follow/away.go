package follow

import "time"

// settleTime is how long after an outage what agents do all the time, such as
// renewing their Leases, may still be missing.
const settleTime = 15 * time.Second

// away is whether the API server answers.
type away struct {
	why   error     // nil if it answers
	since time.Time // when it began not to
	until time.Time // when it answered again
}

// is notes whether it answers, and reports whether that has changed.
func (a *away) is(why error, now time.Time) (changed bool) {
	before := a.why != nil
	a.why = why
	switch {
	case why != nil && !before:
		if now.Sub(a.until) >= settleTime {
			a.since = now
		}
		return true
	case why == nil && before:
		a.until = now
		return true
	}
	return false
}

// clock is the time by which the cluster is judged: it stands still while the API
// server does not answer, and until agents had their time to go on.
func (a *away) clock(now time.Time) time.Time {
	if !a.since.IsZero() && (a.why != nil || now.Sub(a.until) < settleTime) {
		return a.since
	}
	return now
}
