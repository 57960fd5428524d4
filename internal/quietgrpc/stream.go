package quietgrpc

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/akri-go/akri/internal/shorten"
)

// prefixBytes is the length of what precedes a message: a byte that says whether
// it is compressed, and four for its length.
const prefixBytes = 5

var errEnded = errors.New("the call has ended")

// stream is a call. The connection's mu guards it, but for what is said.
type stream struct {
	conn   *conn
	id     uint32
	method string
	// ctx is done when the call has ended.
	ctx    context.Context
	cancel context.CancelFunc

	// request is what has arrived; requested tells that it is complete.
	request   []byte
	requested bool

	// window is how much may be sent on it.
	window int64
	// answered tells that the headers were sent. out is what waits to be sent;
	// after it comes last, the trailers, if it is not nil.
	answered  bool
	out, last []byte

	// onEnd is called once, when over becomes true.
	onEnd func()
	over  bool
}

// ended notes that a call is over. The caller does not hold mu.
func (s *stream) ended() {
	s.cancel()
	s.conn.mu.Lock()
	onEnd := s.onEnd
	s.onEnd, s.over = nil, true
	s.conn.mu.Unlock()
	if onEnd != nil {
		onEnd()
	}
}

// dispatch calls the method. The caller does not hold mu.
func (s *stream) dispatch() {
	request := s.request
	s.request = nil
	if len(request) < prefixBytes || request[0] != 0 || uint64(binary.BigEndian.Uint32(request[1:])) != uint64(len(request)-prefixBytes) {
		s.finish(nil, status.Error(codes.Internal, "the request is not one uncompressed message"))
		return
	}
	request = request[prefixBytes:]

	if start, ok := s.conn.server.watches[s.method]; ok {
		s.watch(start)
		return
	}
	m, ok := s.conn.server.methods[s.method]
	if !ok {
		s.finish(nil, status.Errorf(codes.Unimplemented, "unknown method %q", s.method))
		return
	}
	c := s.conn
	c.mu.Lock()
	c.running++
	c.mu.Unlock()
	c.server.wg.Go(func() {
		ctx := peer.NewContext(s.ctx, &peer.Peer{Addr: c.net.RemoteAddr(), LocalAddr: c.net.LocalAddr()})
		response, err := m.call(m.impl, ctx, func(into any) error {
			message, ok := into.(proto.Message)
			if !ok {
				return status.Errorf(codes.Internal, "%T is not a message", into)
			}
			if err := proto.Unmarshal(request, message); err != nil {
				return status.Errorf(codes.Internal, "read the request: %v", err)
			}
			return nil
		}, nil)
		c.mu.Lock()
		c.running--
		c.mu.Unlock()
		s.finish(response, err)
	})
}

// watch starts a call with a stream of answers.
func (s *stream) watch(start func(*Watch) error) {
	w := &Watch{stream: s, LocalAddr: s.conn.net.LocalAddr()}
	if err := start(w); err != nil {
		s.finish(nil, err)
		return
	}
	s.conn.mu.Lock()
	over := s.over // the reader is here, but Close may have been called
	if !over {
		s.onEnd = w.OnEnd
	}
	s.conn.mu.Unlock()
	if over && w.OnEnd != nil {
		w.OnEnd()
	}
}

// Send sends an answer, as soon as the peer's flow control allows it.
func (w *Watch) Send(message proto.Message) error {
	raw, err := frameOf(message)
	if err != nil {
		return err
	}
	s := w.stream
	s.conn.mu.Lock()
	defer s.conn.mu.Unlock()
	if s.conn.streams[s.id] != s || s.last != nil {
		return errEnded
	}
	if len(s.out)+len(raw) > maxMessageBytes+prefixBytes {
		return fmt.Errorf("the peer does not read: %d bytes wait to be sent", len(s.out))
	}
	s.out = append(s.out, raw...)
	return s.fail(s.flush())
}

// Busy tells whether something waits to be sent.
func (w *Watch) Busy() bool {
	w.stream.conn.mu.Lock()
	defer w.stream.conn.mu.Unlock()
	return len(w.stream.out) > 0
}

// Close ends the call with an error, or with status OK if err is nil.
func (w *Watch) Close(err error) { w.stream.finish(nil, err) }

// finish sends the answer, if it is not nil, and the status.
func (s *stream) finish(response any, err error) {
	var raw []byte
	if err == nil && response != nil {
		message, ok := response.(proto.Message)
		if !ok {
			err = status.Errorf(codes.Internal, "%T is not a message", response)
		} else if raw, err = frameOf(message); err != nil {
			err = status.Error(codes.Internal, err.Error())
		}
	}
	c := s.conn
	c.mu.Lock()
	if c.streams[s.id] != s || s.last != nil {
		c.mu.Unlock()
		return
	}
	s.out = append(s.out, raw...)
	s.last = trailers(status.Convert(err), len(s.out) == 0 && !s.answered)
	s.answered = s.answered || len(s.out) == 0 // then the trailers are all
	_ = s.fail(s.flush())
	c.mu.Unlock()
	s.ended()
}

// flush sends what flow control allows. The caller holds mu.
func (s *stream) flush() error {
	c := s.conn
	if !s.answered && len(s.out) > 0 {
		s.answered = true
		if err := c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: s.id, BlockFragment: headers(), EndHeaders: true}); err != nil {
			return err
		}
	}
	for len(s.out) > 0 {
		n := min(int64(len(s.out)), s.window, c.window, int64(c.frame))
		if n <= 0 {
			return nil
		}
		if err := c.framer.WriteData(s.id, false, s.out[:n]); err != nil {
			return err
		}
		s.out = s.out[n:]
		s.window -= n
		c.window -= n
	}
	s.out = nil
	if s.last == nil {
		return nil
	}
	delete(c.streams, s.id)
	return c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: s.id, BlockFragment: s.last, EndHeaders: true, EndStream: true})
}

// fail closes the connection if err is not nil; then the reader ends all calls.
func (s *stream) fail(err error) error {
	if err != nil {
		s.conn.net.Close()
	}
	return err
}

// frameOf returns a message with its prefix.
func frameOf(message proto.Message) ([]byte, error) {
	raw := make([]byte, prefixBytes, prefixBytes+proto.Size(message))
	raw, err := proto.MarshalOptions{}.MarshalAppend(raw, message)
	if err != nil {
		return nil, err
	}
	if len(raw) > maxMessageBytes+prefixBytes {
		return nil, fmt.Errorf("a message of %d bytes is too long", len(raw)-prefixBytes)
	}
	binary.BigEndian.PutUint32(raw[1:], uint32(len(raw)-prefixBytes))
	return raw, nil
}

// headers returns the headers before answers.
func headers() []byte {
	return encode(
		hpack.HeaderField{Name: ":status", Value: "200"},
		hpack.HeaderField{Name: "content-type", Value: "application/grpc"},
	)
}

// trailers returns the trailers of a call. alone means that no headers were sent.
func trailers(s *status.Status, alone bool) []byte {
	var fields []hpack.HeaderField
	if alone {
		fields = append(fields,
			hpack.HeaderField{Name: ":status", Value: "200"},
			hpack.HeaderField{Name: "content-type", Value: "application/grpc"})
	}
	fields = append(fields, hpack.HeaderField{Name: "grpc-status", Value: strconv.Itoa(int(s.Code()))})
	if s.Message() != "" {
		fields = append(fields, hpack.HeaderField{Name: "grpc-message", Value: escape(s.Message())})
	}
	return encode(fields...)
}

// encode encodes headers without references to earlier ones, so that no table is
// needed.
func encode(fields ...hpack.HeaderField) []byte {
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	encoder.SetMaxDynamicTableSize(0)
	for _, f := range fields {
		_ = encoder.WriteField(f) // a Buffer does not fail
	}
	return block.Bytes()
}

// maxTextBytes bounds the text of an error: it must fit into a frame, and into
// the headers that a peer accepts.
const maxTextBytes = 4 << 10

// escape encodes a text for grpc-message: bytes that are not printable ASCII,
// and "%", become %XX.
func escape(text string) string {
	text = shorten.Text(text, maxTextBytes)
	escaped := make([]byte, 0, len(text))
	for i := range len(text) {
		if b := text[i]; b < ' ' || b > '~' || b == '%' {
			escaped = fmt.Appendf(escaped, "%%%02X", b)
		} else {
			escaped = append(escaped, b)
		}
	}
	return string(escaped)
}
