package wire

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/akri-go/akri/internal/leaktest"
)

// opened returns a connection to a broker that answers CONNECT with a packet and
// then says what it is given. What is sent to it is thrown away.
func opened(t testing.TB, v Version, connack, says []byte) (*Conn, error) {
	t.Helper()
	ours := stream{bytes.NewReader(append(slices.Clone(connack), says...))}
	return Open(context.Background(), ours, Hello{Version: v, ClientID: "c", KeepAlive: time.Minute})
}

var (
	ok5 = []byte{0x20, 3, 0, 0, 0}
	ok4 = []byte{0x20, 2, 0, 0}
)

func TestConnack(t *testing.T) {
	for text, c := range map[string]struct {
		version   Version
		packet    []byte
		keepAlive time.Duration
		err       string
	}{
		"good":                         {V5, ok5, time.Minute, ""},
		"good, old":                    {V311, ok4, time.Minute, ""},
		"the broker's keep alive":      {V5, []byte{0x20, 9, 0, 0, 6, 0x21, 0, 20, 0x13, 0, 10}, 10 * time.Second, ""},
		"a longer one":                 {V5, []byte{0x20, 6, 0, 0, 3, 0x13, 1, 0}, time.Minute, ""},
		"none":                         {V5, []byte{0x20, 6, 0, 0, 3, 0x13, 0, 0}, time.Minute, ""},
		"texts before it":              {V5, []byte{0x20, 17, 0, 0, 14, 0x26, 0, 1, 'a', 0, 1, 'b', 0x1f, 0, 1, 'x', 0x13, 0, 10}, 10 * time.Second, ""},
		"not this version":             {V5, []byte{0x20, 3, 0, 0x84, 0}, 0, "does not speak this version"},
		"not this version, old":        {V5, []byte{0x20, 2, 0, 1}, 0, "does not speak this version"},
		"good for the old one":         {V5, ok4, 0, "does not speak this version"},
		"password":                     {V5, []byte{0x20, 3, 0, 0x86, 0}, 0, "does not know this user"},
		"password, old":                {V311, []byte{0x20, 2, 0, 4}, 0, "does not know this user"},
		"some code":                    {V5, []byte{0x20, 3, 0, 0xfe, 0}, 0, "reason code 0xfe"},
		"too short":                    {V5, []byte{0x20, 1, 0}, 0, "not MQTT"},
		"another packet":               {V5, []byte{0xd0, 0}, 0, "begins with the byte 0xd0"},
		"HTTP":                         {V5, []byte("HTTP/1.1 400 Bad Request\r\n"), 0, "begins with the byte 0x48"},
		"properties beyond the end":    {V5, []byte{0x20, 4, 0, 0, 9, 0x13}, 0, "not MQTT"},
		"properties without end":       {V5, []byte{0x20, 7, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x7f}, 0, "not MQTT"},
		"a property that is not there": {V5, []byte{0x20, 5, 0, 0, 2, 0x77, 0}, 0, "not MQTT"},
		"a length without end":         {V5, []byte{0x20, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, 0, "not MQTT"},
		"4 GiB":                        {V5, []byte{0x20, 0xff, 0xff, 0xff, 0xff, 0x0f}, 0, "not MQTT"},
		"256 MiB":                      {V5, []byte{0x20, 0xff, 0xff, 0xff, 0x7f}, 0, "which is too much"},
		"nothing":                      {V5, nil, 0, "has closed the connection"},
		"half":                         {V5, []byte{0x20}, 0, "has closed the connection"},
	} {
		conn, err := opened(t, c.version, c.packet, nil)
		if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %v, want %s", text, err, c.err)
		}
		if err == nil && conn.KeepAlive() != c.keepAlive {
			t.Errorf("%s: keep alive %s, want %s", text, conn.KeepAlive(), c.keepAlive)
		}
	}
}

func TestRead(t *testing.T) {
	large := append([]byte{0x30, 0x83, 0x80, 0x08}, make([]byte, 128<<10+3)...)
	for text, c := range map[string]struct {
		version Version
		says    []byte
		want    string
	}{
		"message":           {V5, []byte{0x30, 6, 0, 1, 'a', 0, 'h', 'i'}, "0 a hi false"},
		"retained":          {V5, []byte{0x31, 6, 0, 1, 'a', 0, 'h', 'i'}, "0 a hi true"},
		"old":               {V311, []byte{0x31, 5, 0, 1, 'a', 'h', 'i'}, "0 a hi true"},
		"properties":        {V5, []byte{0x30, 8, 0, 1, 'a', 2, 1, 0, 'h', 'i'}, "0 a hi false"},
		"empty":             {V311, []byte{0x30, 3, 0, 1, 'a'}, "0 a  false"},
		"large":             {V5, large, "1   false"},
		"topic is no text":  {V5, []byte{0x30, 4, 0, 1, 0xff, 0}, "1   false"},
		"topic is a filter": {V5, []byte{0x30, 4, 0, 1, '#', 0}, "1   false"},
		"alive":             {V5, []byte{0xd0, 0}, "3   false"},
		"no topic":          {V5, []byte{0x30, 3, 0, 0, 0}, "without a topic"},
		"quality 1":         {V5, []byte{0x32, 6, 0, 1, 'a', 0, 1, 0}, "quality of service 1"},
		"topic too long":    {V5, []byte{0x30, 3, 0xff, 0xff, 'a'}, "not MQTT"},
		"no properties":     {V5, []byte{0x30, 3, 0, 1, 'a'}, "not MQTT"},
		"bye":               {V5, []byte{0xe0, 1, 0x8b}, "closed the connection: it is shutting down"},
		"bye, briefly":      {V5, []byte{0xe0, 0}, "closed the connection"},
		"CONNECT":           {V5, []byte{0x10, 0}, "packet of type 1"},
		"AUTH":              {V5, []byte{0xf0, 0}, "packet of type 15"},
		"type 0":            {V5, []byte{0, 0}, "packet of type 0"},
		"SUBACK":            {V5, []byte{0x90, 4, 0, 9, 0, 0}, "a SUBSCRIBE that was not sent"},
		"large SUBACK":      {V5, append([]byte{0x90, 0x83, 0x80, 0x08}, make([]byte, 128<<10+3)...), "which is too much"},
		"cut off":           {V5, []byte{0x30, 100, 0}, "closed the connection"},
	} {
		conn, err := opened(t, c.version, map[Version][]byte{V5: ok5, V311: ok4}[c.version], c.says)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		e, err := conn.Read()
		got := fmt.Sprintf("%d %s %s %v", e.Kind, e.Topic, e.Payload, e.Retained)
		if err != nil {
			got = err.Error()
		}
		if err == nil && got != c.want || err != nil && !strings.Contains(got, c.want) {
			t.Errorf("%s: %s, want %s", text, got, c.want)
		}
	}
}

// What a broker does not allow is told by the filter.
func TestSubscribe(t *testing.T) {
	ours, theirs := net.Pipe()
	defer theirs.Close()
	var sent bytes.Buffer
	go func() {
		_, _ = theirs.Read(make([]byte, 100))
		_, _ = theirs.Write(ok5)
		_, _ = io.CopyN(&sent, theirs, 17)
		_, _ = theirs.Write([]byte{0x90, 5, 0, 1, 0, 0, 0x87, 0xd0, 0})
		_, _ = io.Copy(io.Discard, theirs)
	}()
	conn, err := Open(t.Context(), ours, Hello{Version: V5, ClientID: "c", KeepAlive: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.Subscribe("a", "b/#"); err != nil {
		t.Fatal(err)
	}
	e, err := conn.Read()
	if err != nil || e.Kind != Subscribed || len(e.Refused) != 1 || e.Refused[0] != (Refusal{"b/#", "the broker does not allow it to this user"}) {
		t.Errorf("%+v, %v", e, err)
	}
	if e, err = conn.Read(); err != nil || e.Kind != Alive {
		t.Errorf("%+v, %v", e, err)
	}
	if want := []byte{0x82, 13, 0, 1, 0, 0, 1, 'a', 0, 0, 3, 'b', '/', '#', 0, 0xc0, 0}; !bytes.Equal(sent.Bytes(), want) {
		t.Errorf("sent % x, want % x", sent.Bytes(), want)
	}
}

// A broker that does not answer SUBSCRIBEs does not fill the memory.
func TestUnanswered(t *testing.T) {
	conn, err := opened(t, V5, ok5, nil)
	if err != nil {
		t.Fatal(err)
	}
	for range maxUnanswered {
		_ = conn.Subscribe("a")
	}
	if err := conn.Subscribe("a"); err == nil || !strings.Contains(err.Error(), "does not answer") {
		t.Errorf("%v", err)
	}
}

func TestConnect(t *testing.T) {
	got := connect(Hello{Version: V5, ClientID: "me", User: []byte("u"), Password: []byte{}, KeepAlive: time.Minute})
	want := append([]byte{0x10, 25, 0, 4}, "MQTT\x05\xc2\x00\x3c\x05\x27\x00\x02\x00\x00\x00\x02me\x00\x01u\x00\x00"...)
	if !bytes.Equal(got, want) {
		t.Errorf("% x, want % x", got, want)
	}
	got = connect(Hello{Version: V311, ClientID: "me", KeepAlive: time.Minute})
	if want = append([]byte{0x10, 14, 0, 4}, "MQTT\x04\x02\x00\x3c\x00\x02me"...); !bytes.Equal(got, want) {
		t.Errorf("% x, want % x", got, want)
	}
}

// A broker that says nothing, or one byte at a time, is given up, and one whose
// context ends at once.
func TestSlow(t *testing.T) {
	for text, c := range map[string]struct {
		says  []byte
		after time.Duration
	}{
		"silent": {nil, 90 * time.Second}, // one and a half times the keep alive
		"slow":   {bytes.Repeat([]byte{0x30, 0x7f, 0}, 1000), packetTimeout},
	} {
		synctest.Test(t, func(t *testing.T) {
			ours, theirs := net.Pipe()
			var broker sync.WaitGroup
			broker.Go(func() { _, _ = io.Copy(io.Discard, theirs) })
			broker.Go(func() {
				_, _ = theirs.Write(ok5)
				for _, b := range c.says {
					if _, err := theirs.Write([]byte{b}); err != nil {
						return
					}
					time.Sleep(time.Second) // of the test's clock
				}
			})
			conn, err := Open(t.Context(), ours, Hello{Version: V5, KeepAlive: time.Minute})
			if err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			_, err = conn.Read()
			var timeout net.Error
			if !errors.As(err, &timeout) || !timeout.Timeout() || time.Since(began) != c.after {
				t.Errorf("%s: %v after %s", text, err, time.Since(began))
			}
			conn.Close()
			theirs.Close()
			broker.Wait()
		})
	}
	leaktest.Check(t)
	ours, theirs := net.Pipe()
	defer theirs.Close()
	go func() { _, _ = io.Copy(io.Discard, theirs) }()
	ctx, cancel := context.WithCancel(t.Context())
	go cancel()
	if _, err := Open(ctx, ours, Hello{Version: V5, KeepAlive: time.Minute}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// What a broker announces as large costs nothing before it is there, and what is
// skipped costs nothing at all.
func TestMemory(t *testing.T) {
	var before, after runtime.MemStats
	body := bytes.Repeat([]byte{0}, maxSkippedBytes)
	conn, err := opened(t, V5, ok5, append([]byte{0x30, 0x80, 0x80, 0x80, 0x08}, body...))
	if err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&before)
	e, err := conn.Read()
	runtime.ReadMemStats(&after)
	if err != nil || e.Kind != Skipped || e.Bytes < maxSkippedBytes {
		t.Errorf("%+v, %v", e, err)
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > 1<<20 {
		t.Errorf("%d bytes for a message that is skipped", used)
	}
}

func FuzzRead(f *testing.F) {
	f.Add(true, []byte{0x20, 9, 0, 0, 6, 0x21, 0, 20, 0x13, 0, 10, 0x90, 5, 0, 1, 0, 0, 0x87, 0xd0, 0, 0x31, 6, 0, 1, 'a', 0, 'h', 'i'})
	f.Add(false, []byte{0x20, 2, 0, 0, 0x90, 3, 0, 1, 0, 0x31, 5, 0, 1, 'a', 'h', 'i', 0xd0, 0})
	f.Add(true, []byte{0x20, 3, 0, 0, 0, 0xe0, 2, 0x8b, 0})
	f.Fuzz(func(t *testing.T, five bool, says []byte) {
		c := &Conn{conn: stream{bytes.NewReader(says)}, version: V311, keepAlive: time.Minute, asked: map[uint16][]string{1: {"a", "b"}}}
		if five {
			c.version = V5
		}
		c.reader = newReader(c.conn)
		if c.readConnack() != nil {
			return
		}
		for {
			e, err := c.Read()
			if err != nil {
				return
			}
			if e.Kind == Message && (e.Topic == "" || len(e.Topic)+len(e.Payload) > MaxPacketBytes) {
				t.Fatalf("%+v", e)
			}
		}
	})
}

// stream is a connection that says what it is given.
type stream struct{ *bytes.Reader }

func (s stream) Write(p []byte) (int, error)        { return len(p), nil }
func (s stream) WriteTo(w io.Writer) (int64, error) { return s.Reader.WriteTo(w) }
func (s stream) Close() error                       { return nil }
func (s stream) LocalAddr() net.Addr                { return nil }
func (s stream) RemoteAddr() net.Addr               { return nil }
func (s stream) SetDeadline(time.Time) error        { return nil }
func (s stream) SetReadDeadline(time.Time) error    { return nil }
func (s stream) SetWriteDeadline(time.Time) error   { return nil }
