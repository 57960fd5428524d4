package announced

import "time"

const (
	// maxLeft is how many devices are remembered whose last word was good-bye.
	maxLeft = 1000
	// leftFor is for how long they are remembered.
	leftFor = 2 * time.Minute
)

// bye notes that the last word of a device that was there is good-bye. Whoever may
// publish to its topics can have said it: MQTT does not tell who has.
func (b *Book) bye(id string, now time.Time) {
	if _, there := b.left[id]; !there && len(b.left) >= maxLeft {
		for other, at := range b.left {
			if now.Sub(at) >= leftFor {
				delete(b.left, other)
			}
		}
		if len(b.left) >= maxLeft {
			return // it is gone all the same, only not for certain
		}
	}
	b.left[id] = now
}

// stays notes that a device has said something else since.
func (b *Book) stays(id string) { delete(b.left, id) }

// Left tells which of some devices that are not there have said so themselves lately,
// or somebody for them: by Homie with the state "disconnected"; by Homie and Home
// Assistant by clearing their topics, as it is done for a device that is taken
// away; by a pattern with a message without payload. One that is lost, or not
// available, has not.
func (b *Book) Left(ids []string, now time.Time) map[string]bool {
	left := map[string]bool{}
	for _, id := range ids {
		if at, there := b.left[id]; there && now.Sub(at) < leftFor {
			left[id] = true
		}
	}
	if b.hass != nil && len(left) > 0 {
		for _, e := range b.hass.entities { // it has others, which are not available
			delete(left, b.hass.id(e.device))
		}
	}
	return left
}
