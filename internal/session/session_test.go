package session_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
	"github.com/akri-go/akri/internal/eventually"
	"github.com/akri-go/akri/internal/leaktest"
	"github.com/akri-go/akri/internal/session"
	"github.com/akri-go/akri/internal/session/sessiontest"
)

// read reads messages until the session ends.
func read(s *session.Session) <-chan edgev1.Message {
	out := make(chan edgev1.Message, 1000)
	go func() {
		defer close(out)
		for {
			m, err := s.Read()
			if err != nil {
				return
			}
			out <- m
		}
	}()
	return out
}

// Messages of all lengths arrive whole, at both ends at once.
func TestBothWays(t *testing.T) {
	leaktest.Check(t)
	a, b := sessiontest.Pair(t, session.Options{}, session.Options{})
	sizes := []int{0, 1, 16_000, 16_384, 100_000, 3 << 20}
	for _, way := range [][2]*session.Session{{a, b}, {b, a}} {
		got := read(way[1])
		go func() {
			for i, n := range sizes {
				if err := way[0].Send(t.Context(), &edgev1.Put{ID: 1, Version: fmt.Sprint(i), Object: bytes.Repeat([]byte{byte(i)}, n)}); err != nil {
					t.Error(err)
				}
			}
		}()
		for i, n := range sizes {
			m, ok := (<-got).(*edgev1.Put)
			if !ok || m.Version != fmt.Sprint(i) || !bytes.Equal(m.Object, bytes.Repeat([]byte{byte(i)}, n)) {
				t.Fatalf("message %d is %v", i, m)
			}
		}
		defer func() {
			for range got {
			}
		}()
	}
	if s := a.State(); s.Received < 3<<20 || s.Sent < 3<<20 || time.Since(s.LastContact) > time.Minute {
		t.Errorf("state %+v", s)
	}
	a.Close(nil)
	b.Close(nil)
}

// A session with nothing to say goes on, since both ends ping.
func TestIdle(t *testing.T) {
	leaktest.Check(t)
	o := session.Options{PingInterval: 20 * time.Millisecond, Timeout: 10 * time.Second}
	pings := make(chan struct{}, 1000)
	counting := o
	counting.Received = func(k edgev1.Kind) {
		if k == edgev1.KindPing || k == edgev1.KindPong {
			select {
			case pings <- struct{}{}:
			default:
			}
		}
	}
	a, b := sessiontest.Pair(t, counting, o)
	gotA, gotB := read(a), read(b)
	for range 20 {
		<-pings
	}
	if a.Err() != nil || b.Err() != nil {
		t.Errorf("%v, %v", a.Err(), b.Err())
	}
	a.Close(nil)
	b.Close(nil)
	<-gotA
	<-gotB
}

// An end that is silent is given up, and so is one that does not read.
func TestDeaf(t *testing.T) {
	leaktest.Check(t)
	quick := session.Options{PingInterval: 50 * time.Millisecond, Timeout: 300 * time.Millisecond}
	slow := session.Options{PingInterval: time.Hour, Timeout: time.Hour}
	t.Run("silent", func(t *testing.T) {
		a, b := sessiontest.Pair(t, quick, slow) // nobody reads at b, so it answers nothing
		for range read(a) {
		}
		if err := a.Err(); !session.IsTimeout(err) || !strings.Contains(err.Error(), "nothing came for 300ms") {
			t.Error(err)
		}
		b.Close(nil)
	})
	t.Run("does not read", func(t *testing.T) {
		patient := session.Options{PingInterval: 50 * time.Millisecond, Timeout: 3 * time.Second} // b's pings must come
		a, b := sessiontest.Pair(t, patient, session.Options{PingInterval: 50 * time.Millisecond})
		got := read(a) // b pings, so a hears of it
		var err error
		for err == nil {
			err = a.Send(t.Context(), &edgev1.Put{Object: make([]byte, 1<<20)})
		}
		if !session.IsTimeout(err) || !strings.Contains(err.Error(), "took no frame") {
			t.Error(err)
		}
		for range got {
		}
		b.Close(nil)
	})
}

// While a lane is full, Send waits, until ctx is done or the session has ended.
func TestSendWaits(t *testing.T) {
	leaktest.Check(t)
	o := session.Options{PingInterval: time.Hour, Timeout: time.Hour}
	a, b := sessiontest.Pair(t, o, o)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		var err error
		for err == nil {
			err = a.Send(ctx, &edgev1.Put{Object: make([]byte, 1<<20)})
		}
		ended <- err
	}()
	var before uint64
	eventually.Succeeds(t, eventually.Patience, func(context.Context) error {
		select {
		case err := <-ended:
			t.Fatal(err)
		default:
		}
		last, now := before, a.State().Sent
		if before = now; now < 100_000 || now != last { // the kernel takes no more
			return fmt.Errorf("%d bytes, then %d", last, now)
		}
		return nil
	})
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	// What is short still has room.
	if err := a.Send(t.Context(), &edgev1.Cancel{ID: 1}); err != nil {
		t.Error(err)
	}
	go func() { ended <- a.Send(t.Context(), &edgev1.Put{ID: 1, Object: make([]byte, 1<<20)}) }()
	a.Close(errors.New("enough"))
	if err := <-ended; err == nil || err.Error() != "enough" {
		t.Error(err)
	}
	b.Close(nil)
}

// Goodbye passes what waits, and both ends know.
func TestGoodbye(t *testing.T) {
	leaktest.Check(t)
	a, b := sessiontest.Pair(t, session.Options{}, session.Options{})
	got := read(a)
	for range 40 {
		if err := b.Send(t.Context(), &edgev1.Synced{ID: 1}); err != nil {
			t.Fatal(err)
		}
	}
	b.Leave(edgev1.Goodbye{Reason: edgev1.ReasonReplaced, RetryAfter: time.Second})
	if err := b.Send(t.Context(), &edgev1.Synced{ID: 1}); err == nil {
		t.Error("it sends after Goodbye")
	}
	for range got {
	}
	var bye *session.GoodbyeError
	if err := a.Err(); !errors.As(err, &bye) || bye.Reason != edgev1.ReasonReplaced || bye.RetryAfter != time.Second {
		t.Errorf("at the other end: %v", err)
	}
	for range read(b) {
	}
	if err := b.Err(); err == nil {
		t.Error("it goes on")
	}
}

// An end that does not hang up after Goodbye is cut off.
func TestGoodbyeUnheard(t *testing.T) {
	leaktest.Check(t)
	a, b := sessiontest.Pair(t, session.Options{}, session.Options{Timeout: time.Hour, LeaveTimeout: 50 * time.Millisecond})
	b.Leave(edgev1.Goodbye{Reason: edgev1.ReasonShuttingDown})
	<-b.Done() // nobody reads at a
	a.Close(nil)
}

// What no end says ends a session; what only later versions say does not.
func TestRubbish(t *testing.T) {
	leaktest.Check(t)
	unknown := []byte{0, 200, 0}
	forget := []byte{0, byte(edgev1.KindForget), 2, '{', '}'}
	for name, tt := range map[string]struct {
		send [][]byte
		text bool
		want string // empty: it goes on
	}{
		"of a later version": {send: [][]byte{unknown, forget}},
		"noise":              {send: [][]byte{{0xff, 0xff, 0xff}}, want: "begins with"},
		"no message":         {send: [][]byte{{0, byte(edgev1.KindPing), 'x'}}, want: "length of its header"},
		"text":               {send: [][]byte{forget}, text: true, want: "text message"},
		"long frames":        {send: [][]byte{append([]byte{0}, make([]byte, edgev1.MaxFrameBytes+10)...)}, want: "more than 16384 bytes"},
		"without end":        {send: [][]byte{bytes.Repeat([]byte{2}, 10_000), bytes.Repeat([]byte{2}, 10_000)}, want: "more than 15000 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			a := sessiontest.NewAuthority(t)
			got := make(chan error, 1)
			address := sessiontest.Serve(t, a, func(ws *websocket.Conn, c *session.Conn) {
				s := session.New(ws, c, session.Options{MaxMessageBytes: 15_000})
				m, err := s.Read()
				if err == nil && edgev1.KindOf(m) != edgev1.KindForget {
					err = fmt.Errorf("it is %s", edgev1.KindOf(m))
				}
				got <- err
				s.Close(nil)
			})
			ws, _, err := sessiontest.Dial(t, "wss://"+address, a.Node(t, "system:node:x", time.Now().Add(time.Hour)))
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range tt.send {
				kind := websocket.MessageBinary
				if tt.text {
					kind = websocket.MessageText
				}
				if err := ws.Write(t.Context(), kind, f); err != nil {
					t.Fatal(err)
				}
			}
			err = <-got
			switch {
			case tt.want == "":
				if err != nil {
					t.Error(err)
				}
			case err == nil || !strings.Contains(err.Error(), tt.want):
				t.Errorf("%v, want %q", err, tt.want)
			case !session.IsProtocolError(err):
				t.Errorf("not as an error of the protocol: %v", err)
			}
		})
	}
}

// A peer that sends faster than it may is read at its rate.
func TestFlood(t *testing.T) {
	leaktest.Check(t)
	slowed := make(chan time.Duration, 1000)
	o := session.Options{FramesPerSecond: 1000, FrameBurst: 10, Slowed: func(by time.Duration) { slowed <- by }}
	a, b := sessiontest.Pair(t, session.Options{}, o)
	got := read(b)
	for i := range 100 {
		if err := a.Send(t.Context(), &edgev1.Forget{ID: uint64(i)}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 100 {
		if m := (<-got).(*edgev1.Forget); m.ID != uint64(i) {
			t.Fatalf("%d is %d", i, m.ID)
		}
	}
	if len(slowed) == 0 {
		t.Error("it was not slowed")
	}
	a.Close(nil)
	for range got {
	}
	if b.Err() == nil {
		t.Error("it goes on")
	}
}

// A connection is read no faster than it may, whatever the bytes are.
func TestConnRate(t *testing.T) {
	const second = 64 << 10 // bytes; so much may also come at once
	start := func(t *testing.T) (*session.Conn, net.Conn) {
		client, server := net.Pipe()
		go func() {
			_, _ = client.Write(make([]byte, 4*second))
			client.Close()
		}()
		return session.NewConn(server, second, 0, nil), client
	}
	buf := make([]byte, 1<<20)
	synctest.Test(t, func(t *testing.T) {
		c, _ := start(t)
		began, total := time.Now(), 0
		for {
			n, err := c.Read(buf)
			if total += n; err != nil {
				break
			}
		}
		if took := time.Since(began); total != 4*second || took.Round(time.Second) != 3*time.Second {
			t.Errorf("%d bytes in %s", total, took)
		}
		c.Close()
	})
	synctest.Test(t, func(t *testing.T) { // closed, it waits for nothing
		c, client := start(t)
		began := time.Now()
		time.AfterFunc(500*time.Millisecond, func() { c.Close() })
		for {
			if _, err := c.Read(buf); err != nil {
				break
			}
		}
		if took := time.Since(began); took != 500*time.Millisecond {
			t.Errorf("it ended after %s", took)
		}
		client.Close()
	})
}
