package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"time"
	"unicode/utf8"
)

// Types of control packets (MQTT 5.0, section 2.1.2).
const (
	typeConnect     = 1
	typeConnack     = 2
	typePublish     = 3
	typeSubscribe   = 8
	typeSuback      = 9
	typeUnsubscribe = 10
	typeUnsuback    = 11
	typePingreq     = 12
	typePingresp    = 13
	typeDisconnect  = 14
)

// Properties that are read or written (section 2.2.2.2).
const (
	propertyServerKeepAlive   = 0x13
	propertyMaximumPacketSize = 0x27
)

// frame puts a fixed header before what follows it.
func frame(first byte, body []byte) []byte {
	p := []byte{first}
	n := len(body)
	for n >= 128 {
		p = append(p, byte(n)|128)
		n >>= 7
	}
	return append(append(p, byte(n)), body...)
}

// text appends a text, or bytes, with their length.
func text[T string | []byte](p []byte, s T) []byte {
	if len(s) > math.MaxUint16 {
		s = s[:math.MaxUint16] // nobody has given one that long: see the callers' limits
	}
	return append(binary.BigEndian.AppendUint16(p, uint16(len(s))), s...)
}

// connect is the packet CONNECT (section 3.1).
func connect(h Hello) []byte {
	flags := byte(2) // a clean start
	if h.User != nil {
		flags |= 128
	}
	if h.Password != nil {
		flags |= 64
	}
	p := append(text(nil, "MQTT"), byte(h.Version), flags)
	p = binary.BigEndian.AppendUint16(p, uint16(min(h.KeepAlive/time.Second, math.MaxUint16)))
	if h.Version == V5 {
		p = binary.BigEndian.AppendUint32(append(p, 5, propertyMaximumPacketSize), MaxPacketBytes)
	}
	p = text(p, h.ClientID)
	if h.User != nil {
		p = text(p, h.User)
	}
	if h.Password != nil {
		p = text(p, h.Password)
	}
	return frame(typeConnect<<4, p)
}

// subscribe is the packet SUBSCRIBE (section 3.8), with quality of service 0.
func subscribe(v Version, id uint16, filters []string) []byte {
	p := identified(v, id)
	for _, f := range filters {
		p = append(text(p, f), 0)
	}
	return frame(typeSubscribe<<4|2, p)
}

// unsubscribe is the packet UNSUBSCRIBE (section 3.10).
func unsubscribe(v Version, id uint16, filters []string) []byte {
	p := identified(v, id)
	for _, f := range filters {
		p = text(p, f)
	}
	return frame(typeUnsubscribe<<4|2, p)
}

// identified begins a packet with its identifier, and without properties.
func identified(v Version, id uint16) []byte {
	p := binary.BigEndian.AppendUint16(nil, id)
	if v == V5 {
		p = append(p, 0)
	}
	return p
}

func pingreq() []byte { return []byte{typePingreq << 4, 0} }

// errMalformed is of a packet that does not have the form that it should have.
var errMalformed = errors.New("the broker sends what is not MQTT")

// readLength reads a variable byte integer (section 1.5.5).
func readLength(r io.ByteReader) (int, error) {
	n := 0
	for shift := 0; shift < 28; shift += 7 {
		b, err := r.ReadByte()
		if err != nil {
			return 0, err
		}
		n |= int(b&127) << shift
		if b < 128 {
			return n, nil
		}
	}
	return 0, errMalformed
}

// take cuts n bytes off what is left of a packet.
func take(p *[]byte, n int) ([]byte, error) {
	if n > len(*p) {
		return nil, errMalformed
	}
	cut := (*p)[:n]
	*p = (*p)[n:]
	return cut, nil
}

// takeNumber cuts off a number of two bytes.
func takeNumber(p *[]byte) (uint16, error) {
	b, err := take(p, 2)
	if err != nil {
		return 0, err
	}
	return binary.BigEndian.Uint16(b), nil
}

// reader lets readLength read what is left of a packet.
type reader struct{ left *[]byte }

func (r reader) ReadByte() (byte, error) {
	b, err := take(r.left, 1)
	if err != nil {
		return 0, err
	}
	return b[0], nil
}

// takeProperties cuts off the properties; version 3.1.1 has none.
func takeProperties(p *[]byte, v Version) ([]byte, error) {
	if v != V5 {
		return nil, nil
	}
	n, err := readLength(reader{p})
	if err != nil {
		return nil, err
	}
	return take(p, n)
}

// parseConnack reads the packet CONNACK (section 3.2). keepAlive is 0 if the
// broker says nothing of it.
func parseConnack(p []byte, v Version) (keepAlive time.Duration, err error) {
	head, err := take(&p, 2)
	if err != nil {
		return 0, err
	}
	code := head[1]
	switch {
	case code == 1 || code == 0x84:
		return 0, ErrVersion
	case code != 0:
		return 0, &RefusedError{Code: code}
	case v != V5:
		return 0, nil
	case len(p) == 0:
		return 0, ErrVersion // it has answered as brokers for 3.1.1 do
	}
	properties, err := takeProperties(&p, v)
	if err != nil {
		return 0, err
	}
	return serverKeepAlive(properties)
}

// sizes are how many bytes the properties of CONNACK have; -1 is a text, -2 two.
var sizes = map[byte]int{
	0x11: 4, 0x12: -1, propertyServerKeepAlive: 2, 0x15: -1, 0x16: -1, 0x1a: -1, 0x1c: -1, 0x1f: -1, 0x21: 2, 0x22: 2,
	0x24: 1, 0x25: 1, 0x26: -2, propertyMaximumPacketSize: 4, 0x28: 1, 0x29: 1, 0x2a: 1,
}

// serverKeepAlive finds that property among those of CONNACK.
func serverKeepAlive(p []byte) (keepAlive time.Duration, err error) {
	for len(p) > 0 {
		id, _ := take(&p, 1)
		size, known := sizes[id[0]]
		if !known {
			return 0, errMalformed
		}
		for ; size < 0; size++ {
			n, err := takeNumber(&p)
			if err != nil {
				return 0, err
			}
			if _, err := take(&p, int(n)); err != nil {
				return 0, err
			}
		}
		value, err := take(&p, size)
		if err != nil {
			return 0, err
		}
		if id[0] == propertyServerKeepAlive {
			keepAlive = time.Duration(binary.BigEndian.Uint16(value)) * time.Second
		}
	}
	return keepAlive, nil
}

// parsePublish reads the packet PUBLISH (section 3.3).
func parsePublish(e Event, pk packet, v Version) (Event, error) {
	p := pk.body
	if qos := pk.flags >> 1 & 3; qos != 0 {
		return e, fmt.Errorf("the broker sends with quality of service %d, 0 was asked for", qos)
	}
	n, err := takeNumber(&p)
	if err != nil {
		return e, err
	}
	topic, err := take(&p, int(n))
	if err != nil {
		return e, err
	}
	if _, err := takeProperties(&p, v); err != nil {
		return e, err
	}
	if len(topic) == 0 {
		return e, errors.New("the broker sends a message without a topic, though no alias was allowed")
	}
	e.Topic, e.Payload, e.Retained = string(topic), p, pk.flags&1 != 0
	if !utf8.Valid(topic) || strings.ContainsAny(e.Topic, "+#\x00") {
		e = Event{Kind: Skipped, Bytes: e.Bytes}
	}
	return e, nil
}

// parseSuback reads the packet SUBACK (section 3.9).
func parseSuback(p []byte, v Version) (id uint16, codes []byte, err error) {
	if id, err = takeNumber(&p); err != nil {
		return 0, nil, err
	}
	if _, err = takeProperties(&p, v); err != nil {
		return 0, nil, err
	}
	return id, p, nil
}

// parseDisconnect returns what the packet DISCONNECT says (section 3.14).
func parseDisconnect(p []byte) error {
	if len(p) == 0 {
		return ErrClosed
	}
	return fmt.Errorf("%w: %s", ErrClosed, reason(p[0]))
}
