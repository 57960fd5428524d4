package outdated

import (
	"time"

	"k8s.io/apimachinery/pkg/types"
)

const (
	// readingAfter is how often a property must have changed, each time within
	// readingWindow of the last, to count as a reading.
	readingAfter  = 3
	readingWindow = time.Hour
)

// readings knows which properties are readings, such as a counter or the
// strength of a signal. They do not say which device it is or where, so another
// value does not make a container outdated: brokers would be replaced for ever.
// A property is a reading once it has changed three times, and until it has not
// changed for an hour. Readings are not saved.
type readings map[types.NamespacedName]map[string]changes

type changes struct {
	count int
	last  time.Time
}

// note compares the properties of a device before and after a change.
func (r readings) note(instance types.NamespacedName, was, now map[string]string, at time.Time) {
	for key, value := range now {
		old, ok := was[key]
		if !ok || old == value {
			continue
		}
		keys := r[instance]
		if keys == nil {
			keys = map[string]changes{}
			r[instance] = keys
		}
		c := keys[key]
		if at.Sub(c.last) > readingWindow {
			c.count = 0
		}
		keys[key] = changes{count: min(c.count+1, readingAfter), last: at}
	}
}

// is tells whether a property is a reading.
func (r readings) is(instance types.NamespacedName, key string, at time.Time) bool {
	c := r[instance][key]
	return c.count >= readingAfter && at.Sub(c.last) <= readingWindow
}

// next returns when the next property stops being a reading, if none changes; 0
// if there is none.
func (r readings) next(at time.Time) time.Duration {
	var next time.Duration
	for _, keys := range r {
		for _, c := range keys {
			if left := c.last.Add(readingWindow).Sub(at); c.count >= readingAfter && left >= 0 && (next == 0 || left < next) {
				next = left + time.Millisecond // by when it has
			}
		}
	}
	return next
}
