package mqtttest

import (
	"io"
	"strings"
)

// matches tells whether a topic filter matches a topic.
func matches(filter, topic string) bool {
	f, rest, more := strings.Cut(filter, "/")
	if f == "#" {
		return true
	}
	t, below, deeper := strings.Cut(topic, "/")
	switch {
	case f != "+" && f != t:
		return false
	case more && deeper:
		return matches(rest, below)
	case more:
		return rest == "#"
	}
	return !deeper
}

func packet(first byte, body []byte) []byte {
	p := []byte{first}
	for n := len(body); ; n /= 128 {
		if n < 128 {
			p = append(p, byte(n))
			return append(p, body...)
		}
		p = append(p, byte(n%128)+128)
	}
}

func readPacket(r io.Reader) (kind byte, body []byte, err error) {
	var b [1]byte
	if _, err = io.ReadFull(r, b[:]); err != nil {
		return 0, nil, err
	}
	kind = b[0] >> 4
	n := 0
	for shift := 0; ; shift += 7 {
		if _, err = io.ReadFull(r, b[:]); err != nil {
			return 0, nil, err
		}
		n += int(b[0]%128) << shift
		if b[0] < 128 {
			break
		}
	}
	body = make([]byte, n)
	_, err = io.ReadFull(r, body)
	return kind, body, err
}
