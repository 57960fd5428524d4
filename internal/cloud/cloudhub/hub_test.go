package cloudhub

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
	"github.com/akri-go/akri/internal/eventually"
	"github.com/akri-go/akri/internal/session"
	"github.com/akri-go/akri/internal/session/sessiontest"
)

func TestSession(t *testing.T) {
	f := start(t, Limits{}, session.Options{PingInterval: time.Minute})
	s := f.connect(t, "edge-1", "s")
	ask(t, s)
	other := f.connect(t, "edge-2", "s")
	ask(t, other)
	f.counted(t, "cloudhub_sessions", "", 2)
	f.counted(t, "cloudhub_messages_total", "Synced", 2)
	s.Close(nil)
	f.until(t, "+edge-1/s +edge-2/s -edge-1/s")
	f.counted(t, "cloudhub_sessions_ended_total", "Broken", 1)
	if !f.Disconnect("edge-2", "Test", "m", 3*time.Second) || f.Disconnect("edge-1", "Test", "", 0) {
		t.Error("Disconnect does not know who is there")
	}
	if bye := goodbye(t, other); bye.Reason != "Test" || bye.RetryAfter != 3*time.Second {
		t.Errorf("%+v", bye)
	}
	f.counted(t, "cloudhub_sessions_ended_total", "Test", 1)
	if f.Len() != 0 {
		t.Errorf("%d sessions are left", f.Len())
	}
}

// The newest connection of a node counts, and the controller sees one after the
// other.
func TestNewestWins(t *testing.T) {
	f := start(t, Limits{}, session.Options{})
	s := f.connect(t, "edge-1", "a")
	for _, store := range []string{"a", "b", "b", "c"} {
		before := s
		heard := make(chan edgev1.Goodbye, 1)
		go func() { heard <- goodbye(t, before) }()
		s = f.connect(t, "edge-1", store)
		if bye := <-heard; bye.Reason != edgev1.ReasonReplaced || bye.RetryAfter != replacedRetry {
			t.Errorf("%+v", bye)
		}
		ask(t, s)
	}
	f.until(t, "+edge-1/a -edge-1/a +edge-1/a -edge-1/a +edge-1/b -edge-1/b +edge-1/b -edge-1/b +edge-1/c")
	f.counted(t, "cloudhub_sessions_ended_total", edgev1.ReasonReplaced, 4)
	if n := strings.Count(f.log.String(), "two machines have certificates of one node"); n != 2 {
		t.Errorf("two machines are told of %d times", n)
	}
	f.telling.Lock()
	if got := strings.Join(f.told, " "); got != "edge-1 edge-1" {
		t.Errorf("the controller is told of %q", got)
	}
	f.telling.Unlock()
	// One that is not there any more hears nothing, and holds nobody up.
	if again := f.connect(t, "edge-1", "c"); again.Err() != nil {
		t.Error(again.Err())
	}
	f.counted(t, "cloudhub_sessions", "", 1)
}

// Who has no good certificate has no session.
func TestCertificates(t *testing.T) {
	f := start(t, Limits{}, session.Options{})
	hour := time.Now().Add(time.Hour)
	stranger := sessiontest.NewAuthority(t)
	mixed := stranger.Node(t, NodePrefix+"x", hour)
	mixed.RootCAs = f.authority.Node(t, NodePrefix+"x", hour).RootCAs
	none := f.authority.Node(t, NodePrefix+"x", hour)
	none.Certificates = nil
	old := f.authority.Node(t, NodePrefix+"x", hour)
	old.MinVersion, old.MaxVersion = 0, 0x0303 // TLS 1.2
	for name, tt := range map[string]struct {
		dial func() error
		want string
	}{
		"of another authority": {func() error { _, _, err := sessiontest.Dial(t, f.url, mixed); return err }, "unknown certificate authority"},
		"none":                 {func() error { _, _, err := sessiontest.Dial(t, f.url, none); return err }, "certificate required"},
		"TLS 1.2":              {func() error { _, _, err := sessiontest.Dial(t, f.url, old); return err }, "protocol version"},
		"expired": {func() error {
			_, _, err := sessiontest.Dial(t, f.url, f.authority.Node(t, NodePrefix+"x", time.Now().Add(-time.Minute)))
			return err
		}, "expired certificate"},
		"not a node's": {func() error {
			_, _, err := sessiontest.Dial(t, f.url, f.authority.Node(t, "kubernetes-admin", hour))
			return err
		}, "403"},
		"of no node": {func() error {
			_, _, err := sessiontest.Dial(t, f.url, f.authority.Node(t, NodePrefix, hour))
			return err
		}, "403"},
	} {
		if err := tt.dial(); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	f.counted(t, "cloudhub_refused_total", "Certificate", 2)
	f.counted(t, "cloudhub_refused_total", "Handshake", 4)
	if got := f.controller.seen(); got != "" {
		t.Errorf("the controller saw %s", got)
	}
}

// A node that is reset is told so, at once and when it comes back. One whose
// certificate expires loses its session.
func TestNoLongerGood(t *testing.T) {
	f := start(t, Limits{}, session.Options{})
	f.authority.Revoke("edge-1")
	if bye := goodbye(t, f.dial(t, "edge-1", "s")); bye.Reason != edgev1.ReasonNodeReset || bye.RetryAfter >= 0 {
		t.Errorf("%+v", bye)
	}
	s := f.connect(t, "edge-2", "s")
	f.authority.Revoke("edge-2")
	if bye := goodbye(t, s); bye.Reason != edgev1.ReasonNodeReset {
		t.Errorf("%+v", bye)
	}
	f.until(t, "+edge-2/s -edge-2/s")
	s = f.connect(t, "edge-3", "s")
	f.mu.Lock()
	cert := f.sessions["edge-3"].cert
	f.mu.Unlock()
	if _, bad := f.judge(cert.NotAfter.Add(-time.Second), "edge-3", cert); bad {
		t.Error("it has expired before its time")
	}
	if bye, bad := f.judge(cert.NotAfter, "edge-3", cert); !bad || bye.Reason != edgev1.ReasonExpired {
		t.Errorf("%v, %+v", bad, bye)
	}
	s.Close(nil)
}

// quiet is a session of a node that has not said Hello.
func (f *fixture) quiet(t *testing.T) *session.Session {
	t.Helper()
	ws, conn, err := sessiontest.Dial(t, f.url, f.authority.Node(t, NodePrefix+"x", time.Now().Add(time.Hour)))
	if err != nil {
		t.Fatal(err)
	}
	return session.New(ws, conn, session.Options{})
}

// Who does not say Hello is cut off, and who does not even begin with TLS.
func TestNoHello(t *testing.T) {
	f := start(t, Limits{HandshakeTimeout: 2 * time.Second}, session.Options{})
	if m, err := f.quiet(t).Read(); err == nil {
		t.Errorf("%v", m)
	}
	f.counted(t, "cloudhub_refused_total", "NoHello", 1)
	c, err := net.Dial("tcp", strings.TrimSuffix(strings.TrimPrefix(f.url, "wss://"), "/v1/link"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if n, err := c.Read(make([]byte, 1)); err == nil {
		t.Errorf("%d bytes", n)
	}
	if got := f.controller.seen(); got != "" {
		t.Errorf("the controller saw %s", got)
	}
}

// So is who says something else.
func TestAnotherHello(t *testing.T) {
	f := start(t, Limits{}, session.Options{})
	s := f.quiet(t)
	if err := s.Send(t.Context(), &edgev1.Forget{}); err != nil {
		t.Fatal(err)
	}
	if m, err := s.Read(); err == nil {
		t.Errorf("%v", m)
	}
	f.counted(t, "cloudhub_refused_total", "NoHello", 1)
	s = f.quiet(t)
	if err := s.Send(t.Context(), &edgev1.Hello{Protocol: edgev1.Protocol + 1}); err != nil {
		t.Fatal(err)
	}
	if bye := goodbye(t, s); bye.Reason != edgev1.ReasonProtocol || bye.RetryAfter <= 0 {
		t.Errorf("%+v", bye)
	}
	if got := f.controller.seen(); got != "" {
		t.Errorf("the controller saw %s", got)
	}
}

// A full hub sends new nodes away, and lets in those that it has.
func TestFull(t *testing.T) {
	f := start(t, Limits{Sessions: 2}, session.Options{})
	f.connect(t, "edge-1", "s")
	two := f.connect(t, "edge-2", "s")
	if bye := goodbye(t, f.dial(t, "edge-3", "s")); bye.Reason != edgev1.ReasonBusy || bye.RetryAfter != busyRetry {
		t.Errorf("%+v", bye)
	}
	go goodbye(t, two)
	f.connect(t, "edge-2", "s")
	f.counted(t, "cloudhub_refused_total", edgev1.ReasonBusy, 1)
}

// Sessions do not count as handshakes: many nodes can come from one address.
func TestManyOfOneAddress(t *testing.T) {
	f := start(t, Limits{Handshakes: 4, HandshakesPerAddress: 2}, session.Options{})
	for i := range 10 {
		ask(t, f.connect(t, fmt.Sprintf("edge-%d", i), "s"))
	}
	f.counted(t, "cloudhub_sessions", "", 10)
}

// A node that floods the hub, or does not read, costs the others nothing.
func TestHostileNodes(t *testing.T) {
	f := start(t, Limits{FramesPerSecond: 50}, session.Options{Timeout: 8 * time.Second})
	flood := f.connect(t, "flood", "s")
	go func() { // and it does not read the answers
		for i := 0; flood.Send(t.Context(), &edgev1.Forget{ID: uint64(i)}) == nil; i++ {
		}
	}()
	deaf := f.connect(t, "deaf", "s")
	ask(t, deaf)
	f.controller.mu.Lock()
	send := f.controller.sends["deaf"]
	f.controller.mu.Unlock()
	stuck := make(chan error, 1)
	go func() {
		var err error
		for err == nil {
			err = send(t.Context(), &edgev1.Put{Object: make([]byte, 1<<20)})
		}
		stuck <- err
	}()
	good := f.connect(t, "good", "s")
	var err error
	for asked := 0; asked < 20 || err == nil; asked++ {
		ask(t, good) // all the time, so that it is not taken for dead
		select {
		case err = <-stuck:
		default:
		}
	}
	if !session.IsTimeout(err) {
		t.Errorf("of who does not read: %v", err)
	}
	f.counted(t, "cloudhub_sessions_ended_total", "Timeout", 1)
	eventually.Succeeds(t, eventually.Patience, func(context.Context) error {
		if f.metricOf(t, "cloudhub_slowed_seconds_total") == 0 {
			return errors.New("nobody was slowed")
		}
		return nil
	})
	deaf.Close(nil)
	flood.Close(nil)
}

// A hub that ends says Goodbye, and its controller hears the end of all
// sessions before Serve returns.
func TestStop(t *testing.T) {
	f := start(t, Limits{}, session.Options{})
	s := f.connect(t, "edge-1", "s")
	heard := make(chan edgev1.Goodbye, 1)
	go func() { heard <- goodbye(t, s) }()
	f.stop()
	if bye := <-heard; bye.Reason != edgev1.ReasonShuttingDown {
		t.Errorf("%+v", bye)
	}
	if got := f.controller.seen(); got != "+edge-1/s -edge-1/s" {
		t.Errorf("the controller saw %s", got)
	}
}

// Strangers that connect and say nothing keep no node out.
func TestStrangers(t *testing.T) {
	f := start(t, Limits{Handshakes: 16}, session.Options{})
	address := strings.TrimSuffix(strings.TrimPrefix(f.url, "wss://"), "/v1/link")
	for i := range 200 {
		from := &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(i%40+1))}
		c, err := (&net.Dialer{LocalAddr: from}).DialContext(t.Context(), "tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if i%50 == 49 {
			ask(t, f.connect(t, fmt.Sprintf("edge-%d", i), "s"))
		}
	}
	f.counted(t, "cloudhub_sessions", "", 4)
}
