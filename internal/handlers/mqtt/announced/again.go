package announced

import "time"

const (
	// againAfter is the least time between two times that what is retained is asked
	// for again.
	againAfter = time.Minute
	// enough is how many bytes of room are worth it.
	enough = maxBookBytes / 8
)

// Again has what there was no room for told again once there is some: what is
// retained is told to each new subscription, and never else. So devices that a flood
// has kept out are there when it is over. It returns when to call it again; zero if
// there is no need.
func (b *Book) Again(now time.Time) (news bool, next time.Time) {
	wanting := b.hass != nil && b.hass.over > 0
	if !b.full && !wanting {
		return false, time.Time{}
	}
	if b.again.After(now) {
		return false, b.again
	}
	b.again = now.Add(againAfter)
	if wanting {
		b.add = append(b.add, b.hass.promote()...)
	}
	if b.full && b.held+enough <= maxBookBytes && b.room.has(b.held, enough) {
		b.full = false
		b.add = append(b.announcements(), b.add...)
	}
	if _, there := b.problems[Full]; there && !b.full && (b.hass == nil || b.hass.over == 0) {
		delete(b.problems, Full) // it comes again if it is still so
		news = true
	}
	return news, b.again
}
