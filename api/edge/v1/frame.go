package edgev1

import (
	"errors"
	"fmt"
)

// The limits of a frame, its first byte included.
const (
	// MaxFrameBytes is how long a frame may be: one binary message of the
	// WebSocket. It takes 65 ms at 2 Mbit/s.
	MaxFrameBytes = 16 << 10
	// minFrameBytes is how long a frame must be that is not the last one of its
	// message.
	minFrameBytes = 1 << 10
)

// Lane is one of the two rows in which messages are sent. The messages of a lane
// are sent one after another. Frames of the other one may be between the frames
// of a message.
type Lane uint8

// The lanes. Which messages are in which is the sender's affair; it keeps those
// of one interest, or of one call, in their order.
const (
	Urgent Lane = iota // first: what is short
	Bulk
	Lanes // how many there are
)

// String returns the lane's name, for metrics.
func (l Lane) String() string {
	if l == Urgent {
		return "urgent"
	}
	return "bulk"
}

// The bits of a frame's first byte.
const (
	laneBit = 1 << 0 // of the bulk lane
	moreBit = 1 << 1 // more frames of the message follow
)

// AppendFrame appends the next frame of a message, of which rest has not been
// sent, and returns what remains of it: the message is sent when that is empty.
// A frame is a byte (bit 0: the lane, bit 1: the message goes on) and a piece of
// the message.
func AppendFrame(dst []byte, l Lane, rest []byte) (frame, remains []byte) {
	first := byte(l) & laneBit
	n := len(rest)
	if n > MaxFrameBytes-1 {
		n = MaxFrameBytes - 1
		first |= moreBit
	}
	dst = append(dst, first)
	return append(dst, rest[:n]...), rest[n:]
}

// Joiner makes messages of frames again. It keeps at most one begun message of
// each lane.
type Joiner struct {
	// MaxMessageBytes is how long a message may be; 0 is [MaxMessageBytes].
	MaxMessageBytes int

	begun [Lanes][]byte
}

// Join takes the next frame. It returns a message that is complete with it; nil
// if more frames must follow. The message does not share memory with frames.
// After an error the connection is of no use.
func (j *Joiner) Join(frame []byte) (message []byte, err error) {
	if len(frame) < 2 || len(frame) > MaxFrameBytes {
		return nil, fmt.Errorf("a frame of %d bytes; 2 to %d are allowed", len(frame), MaxFrameBytes)
	}
	first, piece := frame[0], frame[1:]
	if first&^(laneBit|moreBit) != 0 {
		return nil, fmt.Errorf("a frame that begins with %#x", first)
	}
	lane, more := Lane(first&laneBit), first&moreBit != 0
	if more && len(frame) < minFrameBytes {
		return nil, errors.New("a short frame that is not the last of its message")
	}
	limit := j.MaxMessageBytes
	if limit <= 0 {
		limit = MaxMessageBytes
	}
	if len(j.begun[lane])+len(piece) > limit {
		return nil, fmt.Errorf("a message of more than %d bytes", limit)
	}
	message = append(j.begun[lane], piece...)
	if more {
		j.begun[lane] = message
		return nil, nil
	}
	j.begun[lane] = nil
	return message, nil
}

// Key says which messages stay in their order: those that have the same one.
type Key struct {
	kind byte // 'i'nterest or 'c'all; 0: no other message matters
	id   uint64
}

// KeyOf returns the key of a message. Two messages of the zero Key may overtake
// each other.
func KeyOf(m Message) Key {
	switch m := m.(type) {
	case *Interest:
		return Key{'i', m.ID}
	case *Forget:
		return Key{'i', m.ID}
	case *Have:
		return Key{'i', m.ID}
	case *Differ:
		return Key{'i', m.ID}
	case *Put:
		return Key{'i', m.ID}
	case *Gone:
		return Key{'i', m.ID}
	case *Synced:
		return Key{'i', m.ID}
	case *Refused:
		return Key{'i', m.ID}
	case *Call:
		return Key{'c', m.ID}
	case *Cancel:
		return Key{'c', m.ID}
	case *Reply:
		return Key{'c', m.ID}
	}
	return Key{}
}
