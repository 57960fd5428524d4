package session

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/coder/websocket"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
)

// protocolError says that the other end has sent what it must not.
type protocolError struct{ error }

func (e protocolError) Unwrap() error { return e.error }

// IsProtocolError reports whether a session ended because the other end sent
// what it must not.
func IsProtocolError(err error) bool {
	var p protocolError
	return errors.As(err, &p)
}

// IsTimeout reports whether a session ended because the other end was silent, or
// did not take what was sent.
func IsTimeout(err error) bool {
	var d errDeaf
	return errors.As(err, &d)
}

// explain says in words that a deadline has passed.
func (s *Session) explain(err error) error {
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return errDeaf{fmt.Sprintf("nothing came for %s", s.timeout())}
	}
	return err
}

// Send puts a message into its lane. It waits while that is full, until ctx is
// done or the session has ended. A nil error does not say that it arrived, nor
// that it was sent.
func (s *Session) Send(ctx context.Context, m edgev1.Message) error {
	data, err := edgev1.Append(nil, m)
	if err != nil {
		return err
	}
	if len(data) > s.o.MaxMessageBytes {
		return fmt.Errorf("send %s: it has %d bytes, %d are allowed", edgev1.KindOf(m), len(data), s.o.MaxMessageBytes)
	}
	i := item{kind: edgev1.KindOf(m), key: edgev1.KeyOf(m), rest: data, came: time.Now()}
	for {
		room, err := s.enqueue(i)
		if room == nil {
			return err
		}
		select {
		case <-room:
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-s.done:
		}
	}
}

// enqueue puts a message into its lane, or returns what is closed when there
// may be room.
func (s *Session) enqueue(i item) (room chan struct{}, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return nil, s.err
	}
	if s.goodbye != nil {
		return nil, errClosed
	}
	l := s.queue.laneOf(i.key, len(i.rest))
	if s.queue.full(l) {
		if s.room[l] == nil {
			s.room[l] = make(chan struct{})
		}
		return s.room[l], nil
	}
	s.queue.push(l, i)
	s.startWriter()
	return nil, nil
}

// pongLater answers a Ping. If the one before is not yet answered, it never is:
// a peer that does not read cannot fill anything.
func (s *Session) pongLater(id uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pong, s.answer = id, true
	s.startWriter()
}

// tick sends a Ping if nothing else was sent for a while, and ends a session
// that has said Goodbye.
func (s *Session) tick() {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch idle := time.Since(s.lastSent); {
	case s.err != nil:
		return
	case s.goodbye != nil:
		go s.Close(nil)
	case idle < s.interval:
		s.timer.Reset(s.interval - idle)
	default:
		s.ask = true
		s.startWriter()
		s.timer.Reset(s.interval)
	}
}

// startWriter starts the goroutine that writes, unless it runs. s.mu is held.
func (s *Session) startWriter() {
	if !s.writing && s.err == nil {
		s.writing = true
		go s.write()
	}
}

// write writes frames until there is nothing to write.
func (s *Session) write() {
	buf := buffers.Get().(*[edgev1.MaxFrameBytes + 1]byte)
	defer buffers.Put(buf)
	for {
		frame, last, ok := s.next(buf[:0])
		if !ok {
			return
		}
		if !last { // else Leave has set it
			_ = s.conn.SetWriteDeadline(time.Now().Add(s.timeout()))
		}
		if err := s.ws.Write(context.Background(), websocket.MessageBinary, frame); err != nil {
			var timeout net.Error
			if errors.As(err, &timeout) && timeout.Timeout() {
				err = errDeaf{fmt.Sprintf("the other end took no frame for %s", s.timeout())}
			}
			s.Close(err)
			return
		}
		if last {
			return // the other end hangs up, or tick ends the session
		}
	}
}

// next appends the next frame to dst: what this package says itself first, then
// that of the queue. last: nothing follows it. ok: there is one.
func (s *Session) next(dst []byte) (frame []byte, last, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var own edgev1.Message
	switch {
	case s.err != nil:
		return nil, false, false
	case s.goodbye != nil:
		own, last = s.goodbye, true
	case s.answer:
		own, s.answer = &edgev1.Pong{ID: s.pong}, false
	case s.ask:
		s.ping++
		own, s.ask = &edgev1.Ping{ID: s.ping}, false
	}
	if own != nil {
		data, err := edgev1.Append(nil, own)
		if err != nil || len(data) >= edgev1.MaxFrameBytes {
			return nil, false, false // these are short
		}
		s.sent(item{kind: edgev1.KindOf(own), came: time.Now()}, edgev1.Urgent)
		// Between the frames of a bulk message it is as good as any urgent one;
		// an urgent message is one frame.
		frame, _ = edgev1.AppendFrame(dst, edgev1.Urgent, data)
		return frame, last, true
	}
	frame, l, done, ok := s.queue.next(dst)
	if !ok {
		s.writing = false
		return nil, false, false
	}
	if done != nil {
		s.sent(*done, l)
	}
	s.lastSent = time.Now()
	if room := s.room[l]; room != nil && !s.queue.full(l) {
		close(room)
		s.room[l] = nil
	}
	return frame, false, true
}

// sent tells of a message that is written.
func (s *Session) sent(i item, l edgev1.Lane) {
	s.lastSent = time.Now()
	if s.o.Sent != nil {
		s.o.Sent(i.kind, l, s.lastSent.Sub(i.came))
	}
}
