// Package mqtttest has an MQTT broker for tests: a small one in this process, whose
// faults can be chosen, and mosquitto. It shares no code with the handler, so a
// misreading of the standard makes a test fail.
package mqtttest

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Broker is a broker on the loopback.
type Broker struct {
	// URL is mqtt://127.0.0.1:port.
	URL string

	listener net.Listener
	ended    sync.WaitGroup

	mu       sync.Mutex
	faults   Faults
	tls      *tls.Config
	retained map[string]string
	clients  map[*client]bool
	versions []byte // of those that have connected
}

// Faults are what a broker does otherwise. The zero value is a good one.
type Faults struct {
	// Old makes it speak 3.1.1 only; Rude makes it hang up on other versions
	// without a word.
	Old, Rude bool
	// Password is what clients must know, as the user "user".
	Password string
	// Forbidden is a topic filter that nobody may subscribe to.
	Forbidden string
	// Talk, if not nil, is all that it says to those that connect.
	Talk func(net.Conn)
}

// Start starts one, and ends it with the test.
func Start(t testing.TB) *Broker {
	t.Helper()
	return StartAt(t, "127.0.0.1:0")
}

// StartAt starts one at an address.
func StartAt(t testing.TB, address string) *Broker {
	t.Helper()
	b, err := Listen(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

// Listen starts one at an address, until its Close.
func Listen(address string) (*Broker, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	b := &Broker{URL: "mqtt://" + l.Addr().String(), listener: l,
		retained: map[string]string{}, clients: map[*client]bool{}}
	b.ended.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			b.ended.Go(func() { b.serve(conn) })
		}
	})
	return b, nil
}

// Address is host:port.
func (b *Broker) Address() string { return b.listener.Addr().String() }

// Be changes its faults.
func (b *Broker) Be(f Faults) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.faults = f
}

// UseTLS makes it speak TLS.
func (b *Broker) UseTLS(c *tls.Config) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tls = c
}

// Versions returns the protocol versions of those that have connected, in turn.
func (b *Broker) Versions() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.versions)
}

// Subscribed returns the topic filters that are subscribed to, sorted.
func (b *Broker) Subscribed() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := map[string]bool{}
	for c := range b.clients {
		maps.Copy(all, c.filters)
	}
	return slices.Sorted(maps.Keys(all))
}

// Retain publishes a message that is retained.
func (b *Broker) Retain(topic, payload string) {
	b.mu.Lock()
	if b.retained[topic] = payload; payload == "" {
		delete(b.retained, topic)
	}
	b.mu.Unlock()
	b.Publish(topic, payload)
}

// Forget has it forget what it has retained, without a word.
func (b *Broker) Forget(topic string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.retained, topic)
}

// Publish publishes a message.
func (b *Broker) Publish(topic, payload string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for c := range b.clients {
		if c.wants(topic) {
			c.publish(topic, payload, false)
		}
	}
}

// Drop ends all connections.
func (b *Broker) Drop() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for c := range b.clients {
		c.conn.Close()
	}
}

// Close ends it.
func (b *Broker) Close() {
	b.listener.Close()
	b.Drop()
	b.ended.Wait()
}

// client is one that is connected.
type client struct {
	conn    net.Conn
	version byte
	filters map[string]bool
}

func (b *Broker) serve(conn net.Conn) {
	b.mu.Lock()
	if b.tls != nil {
		conn = tls.Server(conn, b.tls)
	}
	b.mu.Unlock()
	c := &client{conn: conn, filters: map[string]bool{}}
	b.mu.Lock()
	b.clients[c] = true
	faults := b.faults
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		delete(b.clients, c)
		b.mu.Unlock()
		conn.Close()
	}()
	kind, body, err := readPacket(conn)
	if err != nil || kind != 1 || len(body) < 10 {
		return
	}
	if faults.Talk != nil {
		faults.Talk(conn)
		return
	}
	if b.greet(c, body, faults) != nil {
		return
	}
	for {
		kind, body, err := readPacket(conn)
		if err != nil || kind == 14 {
			return
		}
		b.mu.Lock()
		err = b.answer(c, kind, body)
		b.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// greet answers CONNECT.
func (b *Broker) greet(c *client, body []byte, f Faults) error {
	c.version = body[6]
	b.mu.Lock()
	b.versions = append(b.versions, c.version)
	b.mu.Unlock()
	code := byte(0)
	login := "\x00\x04user" + string([]byte{0, byte(len(f.Password))}) + f.Password
	switch known := strings.HasSuffix(string(body), login); {
	case c.version == 5 && f.Rude:
		return errors.New("another version")
	case c.version == 5 && f.Old:
		_, _ = c.conn.Write([]byte{0x20, 2, 0, 1})
		return errors.New("another version")
	case f.Password != "" && !known && c.version == 5:
		code = 0x86
	case f.Password != "" && !known:
		code = 4
	}
	reply := []byte{0x20, 2, 0, code}
	if c.version == 5 { // with a receive maximum, and a reason
		reply = []byte{0x20, 11, 0, code, 8, 0x21, 0, 10, 0x1f, 0, 2, 'o', 'k'}
	}
	if _, err := c.conn.Write(reply); err != nil {
		return err
	}
	if code != 0 {
		return errors.New("refused")
	}
	return nil
}

// answer answers what is not CONNECT.
func (b *Broker) answer(c *client, kind byte, body []byte) error {
	skip := 2
	if c.version == 5 {
		skip = 3
	}
	switch kind {
	case 8, 10:
		reply := append([]byte{}, body[:skip]...)
		var filters []string
		for rest := body[skip:]; len(rest) > 0; {
			n := int(binary.BigEndian.Uint16(rest))
			filter := string(rest[2 : 2+n])
			rest = rest[2+n:]
			code := byte(0)
			if kind == 8 {
				rest = rest[1:]
				if filter == b.faults.Forbidden {
					code = map[byte]byte{4: 0x80, 5: 0x87}[c.version]
				} else {
					filters = append(filters, filter)
					c.filters[filter] = true
				}
			} else {
				delete(c.filters, filter)
			}
			if kind == 8 || c.version == 5 {
				reply = append(reply, code)
			}
		}
		if _, err := c.conn.Write(packet((kind+1)<<4, reply)); err != nil {
			return err
		}
		for _, topic := range slices.Sorted(maps.Keys(b.retained)) {
			if slices.ContainsFunc(filters, func(f string) bool { return matches(f, topic) }) {
				c.publish(topic, b.retained[topic], true)
			}
		}
		return nil
	case 12:
		_, err := c.conn.Write([]byte{0xd0, 0})
		return err
	}
	return errors.New("not for a broker")
}

func (c *client) wants(topic string) bool {
	for f := range c.filters {
		if matches(f, topic) {
			return true
		}
	}
	return false
}

func (c *client) publish(topic, payload string, retained bool) {
	body := append(binary.BigEndian.AppendUint16(nil, uint16(len(topic))), topic...)
	if c.version == 5 { // with a user property
		body = append(body, 7, 0x26, 0, 1, 'a', 0, 1, 'b')
	}
	first := byte(0x30)
	if retained {
		first |= 1
	}
	_, _ = c.conn.Write(packet(first, append(body, payload...)))
}
