package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/gopcua/opcua/ua"
)

func words(numbers ...uint32) (b []byte) {
	for _, n := range numbers {
		b = binary.LittleEndian.AppendUint32(b, n)
	}
	return b
}

func chunk(kind string, body []byte) []byte {
	return append(binary.LittleEndian.AppendUint32([]byte(kind), uint32(len(body)+8)), body...)
}

// opening is the answer to the opening of a channel, with a policy and a certificate
// in its header.
func opening(policy string, certificate []byte) []byte {
	b := append(words(7, uint32(len(policy))), policy...)
	b = append(append(b, words(uint32(len(certificate)))...), certificate...)
	return chunk("OPNF", append(b, words(1<<32-1, 1, 1)...))
}

var acknowledged = chunk("ACKF", words(0, 1<<16, 1<<16, 0, 0))

// What a server may send, and what not.
func TestGuard(t *testing.T) {
	const basic = ua.SecurityPolicyURIBasic256Sha256
	certificate := []byte("the certificate")
	type list = [][]byte
	message := chunk("MSGF", make([]byte, 60))
	for _, c := range []struct {
		name   string
		secure bool
		sent   list
		err    string // "" if all of it passes
	}{
		{"a conversation", false, list{acknowledged, opening(ua.SecurityPolicyURINone, nil), message, message}, ""},
		{"a secure one", true, list{acknowledged, opening(basic, certificate), message, opening(basic, certificate)}, ""},
		{"certificates of others after the server's", true, list{acknowledged, opening(basic, []byte("the certificate and another"))}, ""},
		{"an error at once", false, list{chunk("ERRF", words(0x80010000, 0))}, ""},
		{"no security where there should be some", true, list{acknowledged, opening(ua.SecurityPolicyURINone, nil)},
			`it answers with the security policy "http://opcfoundation.org/UA/SecurityPolicy#None" instead of Basic256Sha256: is somebody between`},
		{"so at the renewal of keys", true, list{acknowledged, opening(basic, certificate), opening(ua.SecurityPolicyURINone, nil)}, "is somebody between"},
		{"a weaker policy", true, list{acknowledged, opening(ua.SecurityPolicyURIBasic128Rsa15, certificate)}, "is somebody between"},
		{"another's certificate", true, list{acknowledged, opening(basic, []byte("another certificate"))}, "it answers with another certificate"},
		{"no certificate", true, list{acknowledged, opening(basic, nil)}, "it answers with another certificate"},
		{"security where there should be none", false, list{acknowledged, opening(basic, certificate)}, "instead of None"},
		{"more openings than were asked for", false, list{acknowledged, opening(ua.SecurityPolicyURINone, nil), opening(ua.SecurityPolicyURINone, nil),
			opening(ua.SecurityPolicyURINone, nil)}, "it opens a channel that it was not asked for"},
		{"an opening that ends in a length", true, list{acknowledged, chunk("OPNF", words(7, 1000))}, "too short"},
		{"an opening without anything", true, list{acknowledged, chunk("OPNF", nil)}, "too short"},
		{"another service", false, list{[]byte("HTTP/1.1 400 Bad Request\r\n")}, `it answers "HTTP/1.1", which is not OPC UA`},
		{"a message before the channel", false, list{message}, "it sends MSG at the wrong time"},
		{"two acknowledgements", false, list{acknowledged, acknowledged}, "it sends ACK at the wrong time"},
		{"an acknowledgement that is too short", false, list{chunk("ACKF", words(0, 1<<16))}, "its Acknowledge is too short"},
		{"small buffers", false, list{chunk("ACKF", words(0, 100, 100, 0, 0))}, "it takes chunks of 100 bytes only"},
		{"a large chunk", false, list{acknowledged, append([]byte("MSGF"), words(1<<31)...)}, "it sends a chunk of 2147483648 bytes"},
		{"a chunk smaller than its head", false, list{acknowledged, append([]byte("MSGF"), words(7)...)}, "it sends a chunk of 7 bytes"},
		{"a message without a signature", true, list{acknowledged, opening(basic, certificate), chunk("MSGF", make([]byte, 8))}, "it sends a message of 16 bytes, 56 is the least"},
		{"an end in a message", false, list{acknowledged, message[:20]}, "it ends the connection in the middle of a message"},
		{"messages without end", false, append(list{acknowledged}, slices.Repeat(list{chunk("MSGC", make([]byte, 60_000))}, 20)...), "its messages are too long"},
	} {
		g := &guard{policy: ua.SecurityPolicyURINone}
		if c.secure {
			g = &guard{policy: basic, certificate: certificate}
		}
		request := chunk("OPNF", make([]byte, 50))
		if err := g.asks(io.Discard, bytes.NewReader(slices.Concat(chunk("HELF", nil), request, request))); err != io.EOF {
			t.Fatal(err)
		}
		r := bytes.NewReader(slices.Concat(c.sent...))
		var err error
		for err == nil {
			_, err = g.next(r)
		}
		if got := err.Error(); c.err == "" && !errors.Is(err, io.EOF) || !strings.Contains(got, c.err) {
			t.Errorf("%s: %s, want %q", c.name, got, c.err)
		}
	}
}

// Whatever sizes a server says, the library is told ours.
func TestAcknowledge(t *testing.T) {
	for _, c := range []struct{ takes, wantSend uint32 }{{8192, 8192}, {1<<32 - 1, maxChunkBytes}} {
		g := new(guard)
		got, err := g.next(bytes.NewReader(chunk("ACKF", words(0, c.takes, 1<<32-1, 1<<32-1, 1<<32-1))))
		want := chunk("ACKF", words(0, maxChunkBytes, c.wantSend, maxMessageBytes, maxMessageBytes/minChunkBytes))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d: %x, %v; want %x", c.takes, got, err, want)
		}
	}
}

func FuzzGuard(f *testing.F) {
	f.Add(slices.Concat(acknowledged, opening(ua.SecurityPolicyURIBasic256Sha256, []byte("c")), chunk("MSGF", make([]byte, 60))))
	f.Fuzz(func(t *testing.T, data []byte) {
		g := &guard{policy: ua.SecurityPolicyURIBasic256Sha256, certificate: []byte("c")}
		g.opening.Store(1 << 20) // all openings are looked at
		passed := 0
		for r := bytes.NewReader(data); ; {
			c, err := g.next(r)
			if err != nil {
				break
			}
			passed += len(c)
		}
		if passed > len(data) {
			t.Errorf("%d bytes became %d", len(data), passed)
		}
	})
}
