package ua

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/akri-go/akri/internal/shorten"
)

// chunks reads the body of one message, which comes in chunks (OPC 10000-6,
// 6.7.2). After the last one it is at its end.
type chunks struct {
	in      *bufio.Reader
	kind    string // ACK, OPN or MSG
	request uint32 // whose answer it is
	left    int    // bytes that the message may still have
	body    int    // bytes of this chunk that were not read
	final   bool   // this chunk is the last
}

func (c *chunks) Read(p []byte) (int, error) {
	for c.body == 0 {
		if c.final {
			return 0, io.EOF
		}
		if err := c.next(); err != nil {
			return 0, err
		}
	}
	n, err := c.in.Read(p[:min(len(p), c.body)])
	c.body -= n
	return n, plain(err)
}

// next reads the header of the next chunk.
func (c *chunks) next() error {
	var h [8]byte
	if _, err := io.ReadFull(c.in, h[:]); err != nil {
		return plain(err)
	}
	kind, last, size := string(h[:3]), h[3], binary.LittleEndian.Uint32(h[4:])
	if !known(kind) {
		return fmt.Errorf("the server answers %q, which is not OPC UA", h[:])
	}
	if size < uint32(len(h)) || size > receive {
		return fmt.Errorf("the server sends a chunk of %d bytes, 8 to %d are allowed", size, receive)
	}
	if c.left -= int(size); c.left < 0 {
		return ErrTooLarge
	}
	c.body = int(size) - len(h)
	switch {
	case kind == "ERR":
		return c.failure()
	case kind != c.kind:
		return fmt.Errorf("the server sends %s where %s was due", kind, c.kind)
	case kind == "ACK":
		c.final = true
		return nil
	}
	if err := c.channel(); err != nil {
		return err
	}
	switch last {
	case 'F':
		c.final = true
	case 'C':
	case 'A': // the server has thought better of it
		return c.failure()
	default:
		return fmt.Errorf("the server sends a chunk of kind %q", last)
	}
	return nil
}

func known(kind string) bool { return kind == "ACK" || kind == "ERR" || kind == "OPN" || kind == "MSG" }

// channel reads what precedes the body of a chunk on a channel.
func (c *chunks) channel() error {
	// Within the chunk: c.final would let the reader end where the chunk does.
	r := &reader{in: (*inChunk)(c), texts: MaxText}
	r.u32() // the channel
	if c.kind == "OPN" {
		if policy := r.text(); r.err == nil && policy != noSecurity {
			return fmt.Errorf("the server wants the security policy %q already for discovery", shorten.Text(policy, 64))
		}
		r.skipText() // certificates, which there are not
		r.skipText()
	} else {
		r.u32() // the token
	}
	r.u32() // the sequence number
	if request := r.u32(); r.err == nil && request != c.request {
		return fmt.Errorf("the server answers request %d, and %d was asked", request, c.request)
	}
	return r.err
}

// failure reads why the server gives up.
func (c *chunks) failure() error {
	r := &reader{in: (*inChunk)(c), texts: MaxText}
	status := Status(r.u32())
	reason := r.text()
	if r.err != nil {
		return r.err
	}
	return &StatusError{Status: status, Reason: reason}
}

// inChunk reads what is left of one chunk.
type inChunk chunks

func (c *inChunk) Read(p []byte) (int, error) {
	if c.body == 0 {
		return 0, errShort
	}
	n, err := c.in.Read(p[:min(len(p), c.body)])
	c.body -= n
	return n, plain(err)
}

var errShort = errors.New("the server sends a message that ends too soon")
