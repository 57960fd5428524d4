package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/time/rate"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
)

// Defaults of [Options].
const (
	PingInterval = 20 * time.Second
	LeaveTimeout = 5 * time.Second
)

// minTimeout is what a slow link may need for a frame.
const minTimeout = 10 * time.Second

// timeoutOf is the default timeout: two pings may be lost, or late.
func timeoutOf(interval time.Duration) time.Duration { return max(minTimeout, interval*9/4) }

// Options are what sessions have in common.
type Options struct {
	// PingInterval is how long an end is silent before it sends a Ping. The edge
	// node's is what cloudcore's Hello says.
	PingInterval time.Duration
	// Timeout is how long an end waits for something to come, for the rest of a
	// frame that has begun to come, and for the other end to take a frame. 0: as
	// long as the PingInterval needs, 45 s for 20 s.
	Timeout time.Duration
	// LeaveTimeout is how long a Goodbye may take, and the other end to hang up
	// after it.
	LeaveTimeout time.Duration
	// MaxMessageBytes bounds messages both ways; 0 is [edgev1.MaxMessageBytes].
	MaxMessageBytes int
	// FramesPerSecond is how many frames are read; 0: as many as come. FrameBurst
	// is how many may come at once.
	FramesPerSecond, FrameBurst int

	// Sent and Received are called for each message, if they are not nil. waited
	// is how long it was in its lane. They must return at once.
	Sent     func(k edgev1.Kind, l edgev1.Lane, waited time.Duration)
	Received func(k edgev1.Kind)
	// Slowed is called when frames are read later than they came.
	Slowed func(by time.Duration)
}

func (o Options) withDefaults() Options {
	if o.PingInterval <= 0 {
		o.PingInterval = PingInterval
	}
	if o.LeaveTimeout <= 0 {
		o.LeaveTimeout = LeaveTimeout
	}
	if o.MaxMessageBytes <= 0 {
		o.MaxMessageBytes = edgev1.MaxMessageBytes
	}
	return o
}

// GoodbyeError is how a session ends whose other end has said Goodbye.
type GoodbyeError struct{ edgev1.Goodbye }

func (e *GoodbyeError) Error() string {
	return fmt.Sprintf("the other end closed: %s: %s", e.Reason, e.Message)
}

// errDeaf is how a session ends whose other end is silent or does not read.
type errDeaf struct{ what string }

func (e errDeaf) Error() string { return e.what }

// errClosed is how a session ends that [Session.Close] ended without a reason.
var errClosed = errors.New("the session has ended")

// Session is one connection. Its methods may be called by several goroutines,
// but Read by one.
type Session struct {
	ws     *websocket.Conn
	conn   *Conn
	o      *Options
	joiner edgev1.Joiner
	limit  *rate.Limiter // of frames; nil: none
	done   chan struct{} // closed at the end

	mu       sync.Mutex
	queue    queue
	room     [edgev1.Lanes]chan struct{} // closed when the lane has room; nil: nobody waits
	pong     uint64                      // to answer, if answer
	answer   bool
	ping     uint64 // the last one's number
	ask      bool   // a Ping is to be sent
	goodbye  *edgev1.Goodbye
	leaveBy  time.Time // after Goodbye: when the other end must have hung up
	writing  bool      // a goroutine writes
	err      error     // how it ended
	lastSent time.Time
	lastRead time.Time
	interval time.Duration
	timer    *time.Timer
}

// New makes a session of a WebSocket that is open. conn is the connection below
// it. Begin and end it with [Session.Read] and [Session.Close].
func New(ws *websocket.Conn, conn *Conn, o Options) *Session {
	o = o.withDefaults()
	now := time.Now()
	s := &Session{
		ws: ws, conn: conn, o: &o, done: make(chan struct{}),
		lastSent: now, lastRead: now, interval: o.PingInterval,
	}
	s.joiner.MaxMessageBytes = o.MaxMessageBytes
	if o.FramesPerSecond > 0 {
		s.limit = rate.NewLimiter(rate.Limit(o.FramesPerSecond), max(1, o.FrameBurst))
	}
	ws.SetReadLimit(edgev1.MaxFrameBytes)
	s.mu.Lock()
	s.timer = time.AfterFunc(s.interval, s.tick)
	s.mu.Unlock()
	return s
}

// Done is closed when the session has ended.
func (s *Session) Done() <-chan struct{} { return s.done }

// Err says how the session ended; nil: it has not.
func (s *Session) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// State is what is known of a session.
type State struct {
	LastContact    time.Time // when something came last
	Received, Sent uint64    // bytes, those of TLS included
}

// State returns what is known of the session.
func (s *Session) State() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	return State{LastContact: s.lastRead, Received: s.conn.received.Load(), Sent: s.conn.sent.Load()}
}

// SetPingInterval replaces that of the Options, and with it the timeout if the
// Options have none.
func (s *Session) SetPingInterval(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil && s.goodbye == nil {
		s.interval = d
		s.timer.Reset(d)
	}
}

// Read returns the next message. It answers Pings, and passes over messages of
// unknown kinds. After an error, which it returns again, the session has ended:
// a [*GoodbyeError] if the other end has said Goodbye.
func (s *Session) Read() (edgev1.Message, error) {
	for {
		m, err := s.message()
		if err != nil {
			s.Close(err)
			return nil, s.Err() // the first reason
		}
		if s.o.Received != nil {
			s.o.Received(edgev1.KindOf(m))
		}
		switch m := m.(type) {
		case *edgev1.Ping:
			s.pongLater(m.ID)
		case *edgev1.Pong:
		case *edgev1.Goodbye:
			err := &GoodbyeError{*m}
			s.Close(err)
			return nil, err
		default:
			return m, nil
		}
	}
}

// message reads frames until a message is complete.
func (s *Session) message() (edgev1.Message, error) {
	for {
		data, err := s.frame()
		if err != nil {
			return nil, s.explain(err)
		}
		if data == nil {
			continue
		}
		m, err := edgev1.Decode(data)
		var unknown edgev1.UnknownKindError
		if errors.As(err, &unknown) {
			continue
		}
		if err != nil {
			return nil, protocolError{err}
		}
		return m, nil
	}
}

// buffers are for frames: of all sessions, only those that read or write one at
// the moment need any.
var buffers = sync.Pool{New: func() any { return new([edgev1.MaxFrameBytes + 1]byte) }}

// frame reads a frame, and returns the message that is complete with it, if any.
func (s *Session) frame() ([]byte, error) {
	if err := s.conn.SetReadDeadline(s.readBy()); err != nil {
		return nil, err
	}
	kind, r, err := s.ws.Reader(context.Background())
	if err != nil {
		return nil, err
	}
	if kind != websocket.MessageBinary {
		return nil, protocolError{errors.New("a text message")}
	}
	if err := s.conn.SetReadDeadline(s.readBy()); err != nil {
		return nil, err
	}
	buf := buffers.Get().(*[edgev1.MaxFrameBytes + 1]byte)
	defer buffers.Put(buf)
	n := 0
	for err == nil && n < len(buf) {
		var k int
		k, err = r.Read(buf[n:])
		n += k
	}
	if err == nil {
		return nil, protocolError{fmt.Errorf("a frame of more than %d bytes", edgev1.MaxFrameBytes)}
	}
	if !errors.Is(err, io.EOF) {
		return nil, err
	}
	s.mu.Lock()
	s.lastRead = time.Now()
	s.mu.Unlock()
	if s.limit != nil {
		if by := s.limit.Reserve().Delay(); by > 0 {
			if s.o.Slowed != nil {
				s.o.Slowed(by)
			}
			s.conn.pause(by)
		}
	}
	data, err := s.joiner.Join(buf[:n])
	if err != nil {
		return nil, protocolError{err}
	}
	return data, nil
}

// readBy is until when something must come.
func (s *Session) readBy() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.leaveBy.IsZero() {
		return s.leaveBy
	}
	return time.Now().Add(s.timeoutLocked())
}

// timeout is how long this end waits for the other.
func (s *Session) timeout() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.timeoutLocked()
}

func (s *Session) timeoutLocked() time.Duration {
	if s.o.Timeout > 0 {
		return s.o.Timeout
	}
	return timeoutOf(s.interval)
}

// Close ends the session at once; err says why, nil: [errClosed]. The first
// reason counts.
func (s *Session) Close(err error) {
	if err == nil {
		err = errClosed
	}
	s.mu.Lock()
	ended := s.err != nil
	if !ended {
		s.err = err
		s.timer.Stop()
		s.queue = queue{}
		close(s.done)
	}
	s.mu.Unlock()
	if !ended {
		s.conn.Close()
		_ = s.ws.CloseNow()
	}
}

// Leave says Goodbye, before anything else that waits, and ends the session when
// the other end has hung up, or after LeaveTimeout. It does not wait for that.
func (s *Session) Leave(m edgev1.Goodbye) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil || s.goodbye != nil {
		return
	}
	s.goodbye = &m
	s.leaveBy = time.Now().Add(s.o.LeaveTimeout)
	s.timer.Reset(s.o.LeaveTimeout)
	_ = s.conn.SetDeadline(s.leaveBy)
	s.startWriter()
}
