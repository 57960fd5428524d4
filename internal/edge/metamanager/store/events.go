package store

import "time"

// Event is one change of an object. Old is nil where it is new, New where it is
// gone.
type Event struct {
	RV       uint64
	Old, New *Object
}

func (e Event) resource() Resource {
	if e.New != nil {
		return e.New.Resource
	}
	return e.Old.Resource
}

// What the log of events holds at most.
const (
	maxEvents     = 1000
	maxEventBytes = 4 << 20 // of old states; the new ones are mostly in the store
)

// eventLog has the last events, oldest first.
type eventLog struct {
	events  []Event
	bytes   int
	trimmed map[Resource]uint64 // RV of the last event of the resource that is no longer here
}

func newEventLog() eventLog { return eventLog{trimmed: map[Resource]uint64{}} }

// add appends an event and returns the resources of those that had to go.
func (l *eventLog) add(e Event) (gone []Resource) {
	l.events = append(l.events, e)
	l.bytes += e.Old.bytes()
	n := 0
	for len(l.events)-n > maxEvents || l.bytes > maxEventBytes && len(l.events)-n > 1 {
		old := l.events[n]
		l.bytes -= old.Old.bytes()
		l.trimmed[old.resource()] = old.RV
		gone = append(gone, old.resource())
		n++
	}
	if n > 0 {
		clear(l.events[:n]) // let go of the objects
		l.events = l.events[n:]
	}
	return gone
}

// after returns the events after rv.
func (l *eventLog) after(rv uint64) []Event {
	i := len(l.events)
	for i > 0 && l.events[i-1].RV > rv {
		i--
	}
	return l.events[i:]
}

// first is the RV of the oldest event, 0 if there is none.
func (l *eventLog) first() uint64 {
	if len(l.events) == 0 {
		return 0
	}
	return l.events[0].RV
}

const (
	// maxBurials is how many objects that calls have deleted are remembered.
	maxBurials = 1024
	// BurialTime is how long they are: a message of the cloud may still be under way
	// that does not know it, also in the next session, which may be with another
	// replica of cloudcore, and that with another API server.
	BurialTime = time.Minute
)

// burials are the UIDs of deleted objects, the last ones, with when they were
// deleted.
type burials struct {
	uids  map[string]time.Time
	order []string
}

func newBurials() burials { return burials{uids: map[string]time.Time{}} }

func (b *burials) add(uid string, at time.Time) {
	if uid == "" || b.has(uid) {
		return
	}
	if len(b.order) >= maxBurials {
		delete(b.uids, b.order[0])
		b.order = b.order[1:]
	}
	b.uids[uid] = at
	b.order = append(b.order, uid)
}

func (b *burials) has(uid string) bool {
	_, there := b.uids[uid]
	return there
}

// forget forgets what was deleted until a time.
func (b *burials) forget(until time.Time) {
	for len(b.order) > 0 && !b.uids[b.order[0]].After(until) {
		delete(b.uids, b.order[0])
		b.order = b.order[1:]
	}
}
