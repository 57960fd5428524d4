package onvif

import (
	"net/netip"
	"slices"
	"time"
)

// left is what is known of a camera that is gone.
type left struct {
	place
	at  time.Time
	bye bool // it has said so
	// departed is since when it is certain: it did not answer a probe that began
	// after its Bye, which anybody may have sent. Zero if it is not.
	departed time.Time
}

// doubted are the addresses of cameras whose Bye is not certain yet, and since
// is when the last of them said it.
func (p *population) doubted() (list []netip.Addr, since time.Time) {
	for _, l := range p.left {
		if !l.doubtful() {
			continue
		}
		list = append(list, l.seen)
		if l.at.After(since) {
			since = l.at
		}
	}
	return list, since
}

// doubtful tells whether a Bye is not certain yet, of a camera that answered.
func (l left) doubtful() bool { return l.bye && l.departed.IsZero() && l.url != "" }

// depart is told, like round, that a probe is over at a time. It tells whether
// the Bye of a camera is certain now.
func (p *population) depart(began, now time.Time) (some bool) {
	for uuid, l := range p.left {
		if l.doubtful() && began.Sub(l.at) >= afterBye {
			l.departed = now
			p.left[uuid] = l
			some = true
		}
	}
	return some
}

// departed returns which cameras are certain to have said good-bye, lately.
func (p *population) departed(now time.Time) (uuids []string) {
	for uuid, l := range p.left {
		if !l.departed.IsZero() && now.Sub(l.departed) < departedFor {
			uuids = append(uuids, uuid)
		}
	}
	slices.Sort(uuids)
	return uuids
}
