// Package wire speaks MQTT as far as a client needs that subscribes and publishes
// nothing: versions 5.0 and 3.1.1 (OASIS standards), quality of service 0. What a
// broker sends is bounded in bytes and time, and cannot make it panic.
package wire

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"time"
)

// Version is a version of the protocol, as CONNECT has it.
type Version byte

// The versions.
const (
	V311 Version = 4
	V5   Version = 5
)

const (
	// MaxPacketBytes is how large a message may be. Larger ones are not kept.
	MaxPacketBytes = 128 << 10
	// maxSkippedBytes is how large a message may be that is read to its end and
	// thrown away; a broker that sends a larger one is given up.
	maxSkippedBytes = 16 << 20

	packetTimeout = 20 * time.Second // for the rest of a packet that has begun
	writeTimeout  = 5 * time.Second
	closeTimeout  = time.Second
	maxUnanswered = 64 // SUBSCRIBEs
)

// Hello is what a client says of itself.
type Hello struct {
	Version  Version
	ClientID string
	// User and Password are for brokers that want to know who asks; nil is none.
	User, Password []byte
	// KeepAlive is how long the client may be silent, in whole seconds. The broker
	// is given up when it has been silent for one and a half times as long.
	KeepAlive time.Duration
}

// Conn is a connection to a broker. One goroutine may read while another writes.
type Conn struct {
	conn      net.Conn
	reader    *bufio.Reader
	version   Version
	keepAlive time.Duration

	mu     sync.Mutex // of what follows, and for writing
	nextID uint16
	asked  map[uint16][]string // filters of SUBSCRIBEs without an answer
}

// Open makes itself known on a connection that nothing has been sent on. It takes
// the connection, and closes it when it fails or ctx ends first. Errors that the
// broker causes are [*RefusedError], [ErrVersion], [ErrClosed] or say what is wrong
// with what it sends.
func Open(ctx context.Context, conn net.Conn, h Hello) (*Conn, error) {
	c := &Conn{conn: conn, reader: newReader(conn), version: h.Version, keepAlive: h.KeepAlive,
		asked: make(map[uint16][]string)}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	err := c.write(connect(h))
	if err == nil {
		err = c.readConnack()
	}
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		conn.Close()
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, err
	}
	return c, nil
}

func newReader(conn net.Conn) *bufio.Reader { return bufio.NewReaderSize(conn, 4<<10) }

// readConnack reads the answer to CONNECT.
func (c *Conn) readConnack() error {
	if err := c.conn.SetReadDeadline(time.Now().Add(packetTimeout)); err != nil {
		return err
	}
	switch first, err := c.reader.Peek(1); {
	case err != nil:
		return closed(err)
	case first[0] != typeConnack<<4: // such as "H" of HTTP
		return fmt.Errorf("the answer begins with the byte 0x%02x, which is not MQTT: "+
			"is it the port of another service?", first[0])
	}
	p, err := c.readPacket(packetTimeout)
	if err != nil {
		return err
	}
	keepAlive, err := parseConnack(p.body, c.version)
	if err == nil && keepAlive > 0 {
		c.keepAlive = min(c.keepAlive, keepAlive)
	}
	return err
}

// KeepAlive is how long the client may be silent: what it has said, or less if the
// broker wants it so.
func (c *Conn) KeepAlive() time.Duration { return c.keepAlive }

// Subscribe subscribes to topic filters, and then asks for a sign of life, which
// the broker gives after the retained messages. Two events tell what comes of it.
func (c *Conn) Subscribe(filters ...string) error {
	c.mu.Lock()
	if len(c.asked) >= maxUnanswered {
		c.mu.Unlock()
		return errors.New("the broker does not answer when it is asked for topics")
	}
	id := c.id()
	c.asked[id] = filters
	c.mu.Unlock()
	return c.write(append(subscribe(c.version, id, filters), pingreq()...))
}

// Unsubscribe takes back what was subscribed to.
func (c *Conn) Unsubscribe(filters ...string) error {
	c.mu.Lock()
	id := c.id()
	c.mu.Unlock()
	return c.write(unsubscribe(c.version, id, filters))
}

// id returns the next packet identifier, which is never 0.
func (c *Conn) id() uint16 {
	for {
		c.nextID++
		if _, taken := c.asked[c.nextID]; !taken && c.nextID != 0 {
			return c.nextID
		}
	}
}

// Ping asks for a sign of life.
func (c *Conn) Ping() error { return c.write(pingreq()) }

func (c *Conn) write(packet []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	_, err := c.conn.Write(packet)
	return closed(err)
}

// Close says good-bye and closes the connection. Read then fails.
func (c *Conn) Close() {
	_ = c.conn.SetWriteDeadline(time.Now().Add(closeTimeout)) // also of one who writes
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = c.conn.SetWriteDeadline(time.Now().Add(closeTimeout))
	_, _ = c.conn.Write([]byte{typeDisconnect << 4, 0})
	c.conn.Close()
}

// Kind is the kind of an event.
type Kind int

// The kinds.
const (
	Message    Kind = iota // with topic and payload
	Skipped                // a message that is too large, or whose topic is no text
	Subscribed             // an answer to a SUBSCRIBE
	Alive                  // a sign of life that was asked for
)

// Event is what a broker has sent.
type Event struct {
	Kind    Kind
	Topic   string
	Payload []byte
	// Retained says that the broker has kept the message; it may be old.
	Retained bool
	// Refused are the filters that the broker does not allow.
	Refused []Refusal
	// Bytes is how much was read for it.
	Bytes int
}

// Refusal is a topic filter that a broker has not allowed, and why.
type Refusal struct{ Filter, Why string }

// Read returns what the broker sends next. After an error the connection is of no
// use any more.
func (c *Conn) Read() (Event, error) {
	for {
		p, err := c.readPacket(c.keepAlive * 3 / 2)
		if err != nil {
			return Event{}, err
		}
		e := Event{Bytes: p.size}
		switch p.kind {
		case typePublish:
			if p.skipped {
				e.Kind = Skipped
				return e, nil
			}
			return parsePublish(e, p, c.version)
		case typeSuback:
			e.Kind = Subscribed
			e.Refused, err = c.subscribed(p.body)
			return e, err
		case typeUnsuback:
		case typePingresp:
			e.Kind = Alive
			return e, nil
		case typeDisconnect:
			return Event{}, parseDisconnect(p.body)
		default:
			return Event{}, fmt.Errorf("the broker sends a packet of type %d, which was not asked for", p.kind)
		}
	}
}

// subscribed takes the answer to a SUBSCRIBE.
func (c *Conn) subscribed(body []byte) (refused []Refusal, err error) {
	id, codes, err := parseSuback(body, c.version)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	filters, ok := c.asked[id]
	delete(c.asked, id)
	c.mu.Unlock()
	if !ok || len(codes) != len(filters) {
		return nil, errors.New("the broker answers a SUBSCRIBE that was not sent")
	}
	for i, code := range codes {
		if code >= 0x80 {
			refused = append(refused, Refusal{filters[i], reason(code)})
		}
	}
	return refused, nil
}

// packet is a control packet.
type packet struct {
	kind, flags byte
	body        []byte // nil if skipped
	skipped     bool
	size        int
}

// readPacket reads one packet, of which the first byte may take so long.
func (c *Conn) readPacket(patience time.Duration) (packet, error) {
	if err := c.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return packet{}, err
	}
	first, err := c.reader.ReadByte()
	if err != nil {
		return packet{}, closed(err)
	}
	if err := c.conn.SetReadDeadline(time.Now().Add(packetTimeout)); err != nil {
		return packet{}, err
	}
	p := packet{kind: first >> 4, flags: first & 15}
	size, err := readLength(c.reader)
	if err != nil {
		return p, closed(err)
	}
	p.size = size + 2
	switch {
	case size <= MaxPacketBytes:
		p.body = make([]byte, size)
		_, err = io.ReadFull(c.reader, p.body)
	case p.kind == typePublish && size <= maxSkippedBytes:
		p.skipped = true
		_, err = c.reader.Discard(size)
	default:
		return p, fmt.Errorf("the broker sends a packet of type %d with %d bytes, which is too much (or not MQTT)",
			p.kind, size)
	}
	return p, closed(err)
}

// ErrClosed says that the broker has closed the connection.
var ErrClosed = errors.New("the broker has closed the connection")

// closed returns [ErrClosed] for what is no other error.
func closed(err error) error {
	for _, e := range []error{io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.EPIPE} {
		if errors.Is(err, e) {
			return ErrClosed
		}
	}
	return err
}
