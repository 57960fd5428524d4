package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"

	"github.com/gopcua/opcua/ua"

	"github.com/akri-go/akri/internal/shorten"
)

// Limits of what a server may send.
const (
	maxChunkBytes = 1<<16 - 1
	minChunkBytes = 1 << 13 // that every server takes (OPC 10000-6, 7.1.2.3)
	// maxContinuedBytes is for all chunks of a connection together that are not the
	// last of their message. Only the list of a server's endpoints is longer than a
	// chunk.
	maxContinuedBytes = 1 << 20
	maxMessageBytes   = maxContinuedBytes + maxChunkBytes
)

// guard looks at what a server sends before the library does, which believes too
// much: it takes memory as the server says, and the security policy and the
// certificate of a channel from the answer that opens it, whether it has asked or
// not.
type guard struct {
	policy      string // that the channel has
	certificate []byte // of the server, in DER; nil for no security

	acknowledged bool
	continued    int // bytes of chunks that are not the last of their message
	// opening is how many channels the library has asked to open, or to renew, without
	// an answer yet.
	opening atomic.Int32
	// readUntil, unless it is nil, limits how long the next chunk may take; the zero
	// time is no limit.
	readUntil func(time.Time) error
}

// asks passes on what the library sends, until that ends.
func (g *guard) asks(server io.Writer, library io.Reader) error {
	var head [8]byte
	for {
		if _, err := io.ReadFull(library, head[:]); err != nil {
			return err
		}
		size := binary.LittleEndian.Uint32(head[4:])
		if size < uint32(len(head)) || size > maxChunkBytes {
			return fmt.Errorf("the library sends a chunk of %d bytes", size)
		}
		chunk := make([]byte, size)
		copy(chunk, head[:])
		if _, err := io.ReadFull(library, chunk[len(head):]); err != nil {
			return err
		}
		if string(head[:3]) == "OPN" {
			g.opening.Add(1)
			if err := g.limit(time.Now().Add(requestTimeout)); err != nil {
				return err
			}
		}
		if _, err := server.Write(chunk); err != nil {
			return err
		}
	}
}

// limit says until when the answer to the opening of a channel must come; the zero
// time says that it has come. A late one ends the connection before the library gives
// up waiting: after that, it would read state that no lock guards.
func (g *guard) limit(until time.Time) error {
	if g.readUntil == nil {
		return nil
	}
	return g.readUntil(until)
}

// next reads a chunk, and returns it as the library may have it. io.EOF is the end
// of the connection, between two chunks.
func (g *guard) next(r io.Reader) ([]byte, error) {
	var head [8]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	size := binary.LittleEndian.Uint32(head[4:])
	if !known[string(head[:3])] {
		return nil, fmt.Errorf("it answers %q, which is not OPC UA", head[:])
	}
	if size < uint32(len(head)) || size > maxChunkBytes {
		return nil, fmt.Errorf("it sends a chunk of %d bytes, %d to %d are allowed", size, len(head), maxChunkBytes)
	}
	chunk := make([]byte, size)
	copy(chunk, head[:])
	switch _, err := io.ReadFull(r, chunk[len(head):]); {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, err
	case err != nil:
		return nil, errors.New("it ends the connection in the middle of a message")
	}
	if err := g.check(chunk); err != nil {
		return nil, err
	}
	return chunk, nil
}

var known = map[string]bool{"ACK": true, "ERR": true, "OPN": true, "MSG": true, "CLO": true}

// check judges a chunk, and changes sizes in it that the library must not believe.
func (g *guard) check(chunk []byte) error {
	kind := string(chunk[:3])
	if kind != "ERR" && (kind == "ACK") == g.acknowledged {
		return fmt.Errorf("it sends %s at the wrong time", kind)
	}
	switch kind {
	case "ACK":
		g.acknowledged = true
		return acknowledge(chunk)
	case "OPN":
		// The library would read state that it is about to write.
		if g.opening.Add(-1) < 0 {
			return errors.New("it opens a channel that it was not asked for")
		}
		if err := g.limit(time.Time{}); err != nil {
			return err
		}
		return g.opened(chunk)
	case "MSG":
		if chunk[3] == 'C' {
			if g.continued += len(chunk); g.continued > maxContinuedBytes {
				return fmt.Errorf("its messages are too long: more than %d bytes in several parts", maxContinuedBytes)
			}
		}
		// The library takes the signature off the end without looking.
		if minimum := g.minMessage(); len(chunk) < minimum {
			return fmt.Errorf("it sends a message of %d bytes, %d is the least", len(chunk), minimum)
		}
	}
	return nil
}

// minMessage is the length of a message with nothing in it: channel, token and
// sequence, and the signature of HMAC-SHA256, which all policies have.
func (g *guard) minMessage() int {
	const header, sequence, signature = 16, 8, 32
	if g.certificate == nil {
		return header + sequence
	}
	return header + sequence + signature
}

// acknowledge replaces the sizes in an Acknowledge. The library takes the first as
// that of what it receives, and the second as that of what it may send.
func acknowledge(chunk []byte) error {
	const head = 8
	numbers := chunk[head:]
	if len(numbers) < 5*4 {
		return errors.New("its Acknowledge is too short")
	}
	takes := binary.LittleEndian.Uint32(numbers[4:])
	if takes < minChunkBytes {
		return fmt.Errorf("it takes chunks of %d bytes only, and must take %d", takes, minChunkBytes)
	}
	binary.LittleEndian.PutUint32(numbers[4:], maxChunkBytes)
	binary.LittleEndian.PutUint32(numbers[8:], min(takes, maxChunkBytes))
	binary.LittleEndian.PutUint32(numbers[12:], maxMessageBytes)
	binary.LittleEndian.PutUint32(numbers[16:], maxMessageBytes/minChunkBytes)
	return nil
}

// opened looks at the header of the answer to the opening of a channel, or to its
// renewal (OPC 10000-6, 6.7.2.3).
func (g *guard) opened(chunk []byte) error {
	const head = 12 // with the channel's number
	rest := chunk[min(head, len(chunk)):]
	var fields [3][]byte // policy, the server's certificate, the thumbprint of ours
	for i := range fields {
		if len(rest) < 4 {
			return errors.New("its answer to the opening of a channel is too short")
		}
		n := int32(binary.LittleEndian.Uint32(rest))
		rest = rest[4:]
		if n < 0 {
			continue
		}
		if int(n) > len(rest) {
			return errors.New("its answer to the opening of a channel is too short")
		}
		fields[i], rest = rest[:n], rest[n:]
	}
	if string(fields[0]) != g.policy {
		return fmt.Errorf("it answers with the security policy %q instead of %s: is somebody between the server and this broker?",
			shorten.Text(string(fields[0]), 64), policyName(g.policy))
	}
	if g.policy != ua.SecurityPolicyURINone && !bytes.HasPrefix(fields[1], g.certificate) { // others of its chain may follow
		return errors.New("it answers with another certificate than it has told of: is somebody between the server and this broker?")
	}
	return nil
}
