package session

import (
	"time"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
)

const (
	// A lane takes messages while it holds less than this, whatever they hold.
	maxLaneBytes    = 32 << 10
	maxLaneMessages = 64
	// urgentInARow is how many frames of the urgent lane may pass an older
	// message of the other one before a frame of that is sent.
	urgentInARow = 8
)

// item is a message that waits, or the rest of it.
type item struct {
	kind   edgev1.Kind
	key    edgev1.Key
	rest   []byte
	number uint64 // in the order in which they came
	came   time.Time
}

// queue is what a session has to send. It decides what goes next; it is pure.
type queue struct {
	lanes [edgev1.Lanes][]item
	bytes [edgev1.Lanes]int
	last  uint64 // number
	inRow int    // urgent frames since the last of the other lane
}

// laneOf says in which lane a message must wait.
func (q *queue) laneOf(key edgev1.Key, size int) edgev1.Lane {
	if size >= edgev1.MaxFrameBytes {
		return edgev1.Bulk
	}
	if key != (edgev1.Key{}) {
		for _, i := range q.lanes[edgev1.Bulk] {
			if i.key == key {
				return edgev1.Bulk
			}
		}
	}
	return edgev1.Urgent
}

// full says whether a lane takes no more.
func (q *queue) full(l edgev1.Lane) bool {
	return q.bytes[l] >= maxLaneBytes || len(q.lanes[l]) >= maxLaneMessages
}

// push adds a message to a lane.
func (q *queue) push(l edgev1.Lane, i item) {
	q.last++
	i.number = q.last
	q.lanes[l] = append(q.lanes[l], i)
	q.bytes[l] += len(i.rest)
}

// next appends the next frame. If a message is sent with it, that is returned
// as it was. ok is false if there is nothing to send.
//
// A message of the urgent lane may pass one of the other lane, never the other
// way round unless it came later: so those of one key stay in their order.
func (q *queue) next(dst []byte) (frame []byte, l edgev1.Lane, sent *item, ok bool) {
	urgent, bulk := q.lanes[edgev1.Urgent], q.lanes[edgev1.Bulk]
	switch {
	case len(urgent) == 0 && len(bulk) == 0:
		return dst, 0, nil, false
	case len(urgent) == 0,
		len(bulk) > 0 && q.inRow >= urgentInARow && bulk[0].number < urgent[0].number:
		l, q.inRow = edgev1.Bulk, 0
	default:
		l = edgev1.Urgent
		q.inRow++
	}
	head := &q.lanes[l][0]
	before := len(head.rest)
	frame, head.rest = edgev1.AppendFrame(dst, l, head.rest)
	q.bytes[l] -= before - len(head.rest)
	if len(head.rest) > 0 {
		return frame, l, nil, true
	}
	done := *head
	q.lanes[l][0] = item{}
	if q.lanes[l] = q.lanes[l][1:]; len(q.lanes[l]) == 0 {
		q.lanes[l] = nil // an idle session has no memory for it
	}
	return frame, l, &done, true
}
