// Package ua asks OPC UA servers what there is: the services FindServers,
// FindServersOnNetwork and GetEndpoints (OPC 10000-4, 5.5), which every server
// answers without a session and without security, in the binary encoding over
// TCP (OPC 10000-6, 5.2, 6.7 and 7.1).
//
// What a server sends is read as it comes and kept only as far as it is asked
// for, within limits that the server has no say in: bytes of an answer, entries
// of a list, bytes of a text ([MaxAnswer], [MaxEntries], [MaxText]). Nothing of
// it decides how much memory is taken, and nothing recurses.
package ua

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"time"
)

// Limits of what is read and kept of one answer.
const (
	// MaxAnswer is the number of bytes of an answer, with the headers of its chunks.
	MaxAnswer = 4 << 20
	// MaxEntries is the number of entries of a list that are kept.
	MaxEntries = 1000
	// MaxText is the number of bytes of one text, and MaxTexts of all texts of an
	// answer that are kept.
	MaxText, MaxTexts = 1024, 512 << 10

	maxURLs = 16      // discovery URLs of an application that are kept
	maxSend = 8192    // bytes; every server takes so many (OPC 10000-6, 7.1.2.3)
	receive = 1 << 16 // bytes of a chunk
	buffer  = 4096    // bytes that are read from the network at once
)

const noSecurity = "http://opcfoundation.org/UA/SecurityPolicy#None"

// ErrTooLarge is the error of an answer that is longer than [MaxAnswer].
var ErrTooLarge = fmt.Errorf("the answer is longer than %d MiB", MaxAnswer>>20)

// Channel is a secure channel to a server, without the security. It is for one
// goroutine.
type Channel struct {
	conn     net.Conn
	in       *bufio.Reader
	endpoint string
	id       uint32 // the channel's
	token    uint32
	requests uint32 // sent, which are the sequence numbers too
	stop     func() bool
}

// Open opens a channel over a connection, which it owns from then on. endpoint is
// the URL that was connected to; servers may answer by it. When ctx is done, the
// call that runs fails, and so do all later ones.
func Open(ctx context.Context, conn net.Conn, endpoint string) (*Channel, error) {
	c := &Channel{conn: conn, in: bufio.NewReaderSize(conn, buffer), endpoint: endpoint}
	c.stop = context.AfterFunc(ctx, func() { conn.Close() })
	err := c.hello()
	if err == nil {
		err = c.open()
	}
	if err != nil {
		c.drop()
		return nil, err
	}
	return c, nil
}

// Close tells the server, and closes the connection.
func (c *Channel) Close() {
	w := c.message("CLOF", idCloseSecureChannel)
	_ = c.send(w) // the connection ends anyway
	c.drop()
}

func (c *Channel) drop() {
	c.stop()
	_ = c.conn.Close()
}

// hello agrees on the sizes (OPC 10000-6, 7.1.2).
func (c *Channel) hello() error {
	w := header("HELF")
	w.u32(0) // the version
	w.u32(receive)
	w.u32(receive) // which we do not use: node-opcua complains of less than it likes
	w.u32(MaxAnswer)
	w.u32(MaxAnswer / 8192)
	w.text(c.endpoint)
	if err := c.send(w); err != nil {
		return err
	}
	r, err := c.answer("ACK")
	if err != nil {
		return err
	}
	r.u32() // the version
	if takes := r.u32(); r.err == nil && takes < maxSend {
		return fmt.Errorf("the server takes chunks of %d bytes only, and must take %d", takes, maxSend)
	}
	return r.end()
}

// open opens the channel (OPC 10000-4, 5.6.2).
func (c *Channel) open() error {
	const lifetime = time.Minute // longer than any look
	w := header("OPNF")
	w.u32(0)
	w.text(noSecurity)
	w.null() // no certificate of ours
	w.null() // nor of the server's
	c.requests++
	w.u32(c.requests)
	w.u32(c.requests)
	w.request(idOpenSecureChannel, c.requests)
	w.u32(0) // the version
	w.u32(0) // a new channel
	w.u32(uint32(ModeNone))
	w.null() // no nonce
	w.u32(uint32(lifetime / time.Millisecond))
	if err := c.send(w); err != nil {
		return err
	}
	r, err := c.answer("OPN")
	if err != nil {
		return err
	}
	r.response(idOpenSecureChannel + toResponse)
	r.u32() // the version
	c.id = r.u32()
	c.token = r.u32()
	r.skip(8 + 4)
	r.skipText() // the nonce
	return r.end()
}

// call sends a request, whose parameters write adds, and returns the answer's
// body after its header.
func (c *Channel) call(request uint32, answer uint32, write func(*writer)) (*reader, error) {
	w := c.message("MSGF", request)
	write(&w)
	if err := c.send(w); err != nil {
		return nil, err
	}
	r, err := c.answer("MSG")
	if err != nil {
		return nil, err
	}
	r.response(answer)
	return r, r.err
}

// message begins a message on the open channel (OPC 10000-6, 6.7.2).
func (c *Channel) message(kind string, request uint32) writer {
	w := header(kind)
	w.u32(c.id)
	w.u32(c.token)
	c.requests++
	w.u32(c.requests)
	w.u32(c.requests)
	w.request(request, c.requests)
	return w
}

func (c *Channel) send(w writer) error {
	message, err := w.finish()
	if err != nil {
		return err
	}
	_, err = c.conn.Write(message)
	return plain(err)
}

// answer returns the body of the next message, which must be of a kind.
func (c *Channel) answer(kind string) (*reader, error) {
	chunks := &chunks{in: c.in, kind: kind, request: c.requests, left: MaxAnswer}
	if err := chunks.next(); err != nil {
		return nil, err
	}
	return &reader{in: chunks, texts: MaxTexts}, nil
}

// plain says what a failure to read or write means.
func plain(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("the server closed the connection in the middle of the conversation: is it an OPC UA server?")
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return errors.New("the server ended the connection: is it an OPC UA server?")
	}
	return err
}
