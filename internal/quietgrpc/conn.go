package quietgrpc

import (
	"context"
	"errors"
	"io"
	"math"
	"net"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

const (
	defaultWindowBytes = 65535 // RFC 9113, 6.9.2
	defaultFrameBytes  = 16384 // 4.2
	maxHeaderBytes     = 16 << 10
)

// conn is a connection. One goroutine reads it.
type conn struct {
	server *Server
	net    net.Conn
	framer *http2.Framer

	// mu guards what follows, and writing.
	mu      sync.Mutex
	streams map[uint32]*stream
	// running counts calls whose method has not returned, also canceled ones.
	running int
	// lastID is the highest id of a stream that the peer has opened.
	lastID uint32
	// window is how many bytes may be sent, initial how many on a new stream, and
	// frame how many at a time.
	window, initial int64
	frame           int
}

func newConn(s *Server, accepted net.Conn) *conn {
	c := &conn{
		server: s, net: accepted,
		streams: make(map[uint32]*stream),
		window:  defaultWindowBytes, initial: defaultWindowBytes, frame: defaultFrameBytes,
	}
	c.framer = http2.NewFramer(deadlineWriter{accepted}, accepted)
	c.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	c.framer.MaxHeaderListSize = maxHeaderBytes
	c.framer.SetMaxReadFrameSize(defaultFrameBytes)
	return c
}

// deadlineWriter fails if the peer does not read within writeTimeout.
type deadlineWriter struct{ net.Conn }

func (w deadlineWriter) Write(p []byte) (int, error) {
	if err := w.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return 0, err
	}
	return w.Conn.Write(p)
}

// serve reads the connection until it ends.
func (c *conn) serve() {
	defer c.end()
	if err := c.greet(); err != nil {
		return
	}
	for {
		frame, err := c.framer.ReadFrame()
		if err == nil {
			err = c.handle(frame)
		}
		var ofStream http2.StreamError
		var ofConn http2.ConnectionError
		switch {
		case err == nil:
		case errors.As(err, &ofStream):
			c.reset(ofStream.StreamID, ofStream.Code)
		case errors.As(err, &ofConn):
			c.mu.Lock()
			_ = c.framer.WriteGoAway(c.lastID, http2.ErrCode(ofConn), nil)
			c.mu.Unlock()
			return
		default:
			return
		}
	}
}

func (c *conn) greet() error {
	if err := c.net.SetReadDeadline(time.Now().Add(prefaceTimeout)); err != nil {
		return err
	}
	preface := make([]byte, len(http2.ClientPreface))
	if _, err := io.ReadFull(c.net, preface); err != nil {
		return err
	}
	if string(preface) != http2.ClientPreface {
		return errors.New("it does not speak HTTP/2")
	}
	if err := c.net.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.framer.WriteSettings(
		http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: maxStreams},
		http2.Setting{ID: http2.SettingMaxHeaderListSize, Val: maxHeaderBytes},
		http2.Setting{ID: http2.SettingHeaderTableSize, Val: 0}, // nothing to keep
	)
}

// end ends all calls after the last frame.
func (c *conn) end() {
	c.net.Close()
	c.mu.Lock()
	streams := c.streams
	c.streams = nil
	c.mu.Unlock()
	for _, s := range streams {
		s.ended()
	}
}

// handle does what a frame says.
func (c *conn) handle(frame http2.Frame) error {
	switch f := frame.(type) {
	case *http2.MetaHeadersFrame:
		return c.open(f)
	case *http2.DataFrame:
		return c.data(f)
	case *http2.WindowUpdateFrame:
		return c.widen(f.StreamID, int64(f.Increment))
	case *http2.SettingsFrame:
		return c.settings(f)
	case *http2.PingFrame:
		if f.IsAck() {
			return nil
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.framer.WritePing(true, f.Data)
	case *http2.RSTStreamFrame:
		c.mu.Lock()
		s := c.streams[f.StreamID]
		delete(c.streams, f.StreamID)
		c.mu.Unlock()
		if s != nil {
			s.ended()
		}
	case *http2.PushPromiseFrame:
		return http2.ConnectionError(http2.ErrCodeProtocol)
	}
	return nil // other frames do not matter
}

// open begins a call.
func (c *conn) open(f *http2.MetaHeadersFrame) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.StreamID%2 == 0 || f.StreamID <= c.lastID {
		return http2.ConnectionError(http2.ErrCodeProtocol)
	}
	c.lastID = f.StreamID
	if len(c.streams) >= maxStreams || c.running >= maxStreams {
		return http2.StreamError{StreamID: f.StreamID, Code: http2.ErrCodeRefusedStream}
	}
	if f.Truncated || f.StreamEnded() { // a call has a request
		return http2.StreamError{StreamID: f.StreamID, Code: http2.ErrCodeProtocol}
	}
	s := &stream{conn: c, id: f.StreamID, method: f.PseudoValue("path"), window: c.initial}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	c.streams[s.id] = s
	return nil
}

// data takes a part of a request.
func (c *conn) data(f *http2.DataFrame) error {
	c.mu.Lock()
	s := c.streams[f.StreamID]
	if s != nil && s.requested {
		c.mu.Unlock()
		return http2.StreamError{StreamID: f.StreamID, Code: http2.ErrCodeStreamClosed}
	}
	err := c.allow(f, s)
	if s == nil || err != nil {
		c.mu.Unlock()
		return err // a call that was given up
	}
	if len(s.request)+len(f.Data()) > maxMessageBytes+prefixBytes {
		c.mu.Unlock()
		return http2.StreamError{StreamID: f.StreamID, Code: http2.ErrCodeEnhanceYourCalm}
	}
	s.request = append(s.request, f.Data()...)
	if !f.StreamEnded() {
		c.mu.Unlock()
		return nil
	}
	s.requested = true
	c.mu.Unlock()
	s.dispatch()
	return nil
}

// allow lets the peer send as much again as it has sent. The caller holds mu.
func (c *conn) allow(f *http2.DataFrame, s *stream) error {
	n := f.Header().Length
	if n == 0 {
		return nil
	}
	if err := c.framer.WriteWindowUpdate(0, n); err != nil {
		return err
	}
	if s == nil || f.StreamEnded() {
		return nil
	}
	return c.framer.WriteWindowUpdate(f.StreamID, n)
}

// widen allows more to be sent: on a stream or, if id is 0, on all together.
func (c *conn) widen(id uint32, more int64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if id == 0 {
		if c.window += more; c.window > math.MaxInt32 {
			return http2.ConnectionError(http2.ErrCodeFlowControl)
		}
		for _, s := range c.streams {
			if err := s.flush(); err != nil {
				return err
			}
		}
		return nil
	}
	s := c.streams[id]
	if s == nil {
		return nil
	}
	if s.window += more; s.window > math.MaxInt32 {
		return http2.StreamError{StreamID: id, Code: http2.ErrCodeFlowControl}
	}
	return s.flush()
}

// settings applies the peer's settings.
func (c *conn) settings(f *http2.SettingsFrame) error {
	if f.IsAck() {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	err := f.ForeachSetting(func(s http2.Setting) error {
		if err := s.Valid(); err != nil {
			return err
		}
		switch s.ID {
		case http2.SettingInitialWindowSize:
			more := int64(s.Val) - c.initial
			c.initial = int64(s.Val)
			for _, s := range c.streams {
				s.window += more
			}
		case http2.SettingMaxFrameSize:
			c.frame = int(min(s.Val, defaultFrameBytes)) // larger ones are of no use
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := c.framer.WriteSettingsAck(); err != nil {
		return err
	}
	for _, s := range c.streams {
		if err := s.flush(); err != nil {
			return err
		}
	}
	return nil
}

// reset ends a call with an error of the protocol.
func (c *conn) reset(id uint32, code http2.ErrCode) {
	c.mu.Lock()
	s := c.streams[id]
	delete(c.streams, id)
	err := c.framer.WriteRSTStream(id, code)
	c.mu.Unlock()
	if err != nil {
		c.net.Close()
	}
	if s != nil {
		s.ended()
	}
}
