package edgelink

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
	"github.com/akri-go/akri/internal/edge/edgehub/join"
	"github.com/akri-go/akri/internal/eventually"
	"github.com/akri-go/akri/internal/leaktest"
	"github.com/akri-go/akri/internal/session"
)

// answered waits until a node's call is answered.
func answered(t *testing.T, e *edge, id uint64) {
	t.Helper()
	eventually.Succeeds(t, eventually.Patience, func(context.Context) error { return e.call(id, fmt.Sprint(id)) })
}

// The life of a node: it joins, connects, renews, is reset and joins again.
func TestLife(t *testing.T) {
	leaktest.Check(t)
	c := startCloud(t, session.Options{})
	e := c.join(t, "edge-1")
	stop := e.run(t, c.wss, "edge-1", "a", session.Options{})
	answered(t, e, 1)

	// The next connection has the next certificate; the present one stays.
	before, err := join.Load(e.dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := join.Renew(t.Context(), join.Options{Address: c.https, Node: "edge-1", Dir: e.dir}); err != nil {
		t.Fatal(err)
	}
	after, err := join.Load(e.dir)
	if err != nil || after.Certificate.Leaf.SerialNumber.Cmp(before.Certificate.Leaf.SerialNumber) == 0 {
		t.Errorf("not renewed: %v", err)
	}
	answered(t, e, 2)
	if n := e.status.Snapshot().Sessions; n != 1 {
		t.Errorf("the renewal took %d sessions", n)
	}
	c.hub.Disconnect("edge-1", edgev1.ReasonShuttingDown, "a test", 0)
	<-e.ended
	answered(t, e, 3)

	if err := c.keeper.Reset(t.Context(), "edge-1"); err != nil {
		t.Fatal(err)
	}
	if err := <-e.ended; !strings.Contains(err.Error(), "join it again with a new token") {
		t.Errorf("reset: %v", err)
	}
	stop()
	err = join.Renew(t.Context(), join.Options{Address: c.https, Node: "edge-1", Dir: e.dir})
	var refused *join.RefusedError
	if !errors.As(err, &refused) {
		t.Errorf("a reset node renews: %v", err)
	}
	c.joinAgain(t, "edge-1", e)
	e.run(t, c.wss, "edge-1", "a", session.Options{})
	answered(t, e, 4)
}

// Two machines with one name: one is linked at a time, and the other waits.
func TestTwins(t *testing.T) {
	leaktest.Check(t)
	c := startCloud(t, session.Options{})
	a, b := c.join(t, "edge-1"), c.join(t, "edge-1")
	a.run(t, c.wss, "edge-1", "a", session.Options{})
	answered(t, a, 1)
	b.run(t, c.wss, "edge-1", "b", session.Options{})
	answered(t, b, 1)
	var bye *session.GoodbyeError
	if err := <-a.ended; !errors.As(err, &bye) || bye.Reason != edgev1.ReasonReplaced {
		t.Errorf("the first ends with %v", err)
	}
	eventually.Succeeds(t, eventually.Patience, func(context.Context) error {
		if s := a.status.Snapshot(); time.Until(s.NextTry) < 30*time.Second {
			return fmt.Errorf("it tries again in %s", time.Until(s.NextTry))
		}
		return nil
	})
	if n := c.hub.Len(); n != 1 {
		t.Errorf("%d sessions of one node", n)
	}
}

// Nothing passes any more, and nobody says so: both ends notice, and the node
// has a new session although cloudcore still has the old one.
func TestBlackHole(t *testing.T) {
	leaktest.Check(t)
	c := startCloud(t, session.Options{PingInterval: 100 * time.Millisecond, Timeout: time.Hour})
	e := c.join(t, "edge-1")
	cable := lay(t, c.wss)
	e.run(t, cable.Addr().String(), "edge-1", "a", session.Options{Timeout: time.Second})
	for i := range 3 {
		answered(t, e, uint64(i))
		cable.pull()
		if err := <-e.ended; !session.IsTimeout(err) {
			t.Errorf("it ends with %v", err)
		}
	}
	answered(t, e, 9)
	if n := c.hub.Len(); n != 1 {
		t.Errorf("%d sessions", n)
	}
}

// Many messages of many sizes arrive whole beside calls, and those of an
// interest in their order.
func TestTraffic(t *testing.T) {
	leaktest.Check(t)
	c := startCloud(t, session.Options{})
	e := c.join(t, "edge-1")
	e.run(t, c.wss, "edge-1", "a", session.Options{})
	answered(t, e, 1)
	send := c.controller.to("edge-1")
	want := map[uint64][]string{}
	const n, interests = 150, 3
	put := func(i int) *edgev1.Put {
		size := i * 7919 % 5 * 20_000 // some of them long
		return &edgev1.Put{ID: uint64(i % interests), Version: fmt.Sprint(i), Object: make([]byte, size)}
	}
	for i := range n {
		p := put(i)
		want[p.ID] = append(want[p.ID], fmt.Sprintf("%d/%s/%d", p.ID, p.Version, len(p.Object)))
	}
	done := make(chan error, 1)
	go func() {
		var err error
		for i := 0; i < n && err == nil; i++ {
			err = send(t.Context(), put(i))
		}
		done <- err
	}()
	for i := range 50 {
		if err := e.call(uint64(i), strings.Repeat("x", i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	eventually.Succeeds(t, eventually.Patience, func(context.Context) error {
		e.mu.Lock()
		defer e.mu.Unlock()
		if len(e.puts) != n {
			return fmt.Errorf("%d of %d", len(e.puts), n)
		}
		return nil
	})
	got := map[uint64][]string{}
	for _, p := range e.puts {
		id := uint64(p[0] - '0')
		got[id] = append(got[id], p)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("they came as %v", got)
	}
}

// told waits until the node's status says why it is not linked.
func told(t *testing.T, e *edge, says string) {
	t.Helper()
	eventually.Succeeds(t, eventually.Patience, func(context.Context) error {
		if s := e.status.Snapshot(); !s.Since.IsZero() || !strings.Contains(s.LastError, says) {
			return fmt.Errorf("the status is %+v, want %q", s, says)
		}
		return nil
	})
}

// A node that was reset while its link was cut is told so when it comes back.
func TestResetWhileCut(t *testing.T) {
	leaktest.Check(t)
	c := startCloud(t, session.Options{})
	e := c.join(t, "edge-1")
	stop := e.run(t, c.wss, "edge-1", "a", session.Options{})
	answered(t, e, 1)
	stop()
	if err := c.keeper.Reset(t.Context(), "edge-1"); err != nil {
		t.Fatal(err)
	}
	stop = e.run(t, c.wss, "edge-1", "a", session.Options{})
	told(t, e, "join it again with a new token")
	stop()
	c.joinAgain(t, "edge-1", e)
	e.run(t, c.wss, "edge-1", "a", session.Options{})
	answered(t, e, 2)
}

// A cloudcore that was installed anew is another one: the node says so, and joins
// again with a token of the new one.
func TestInstalledAnew(t *testing.T) {
	leaktest.Check(t)
	before, after := startCloud(t, session.Options{}), startCloud(t, session.Options{})
	e := before.join(t, "edge-1")
	stop := e.run(t, after.wss, "edge-1", "a", session.Options{})
	told(t, e, "installed anew, join again with a new token")
	stop()
	err := join.Renew(t.Context(), join.Options{Address: after.https, Node: "edge-1", Dir: e.dir})
	if err == nil || !strings.Contains(err.Error(), "this is not the cloudcore") {
		t.Errorf("it renews: %v", err)
	}
	after.joinAgain(t, "edge-1", e)
	e.run(t, after.wss, "edge-1", "a", session.Options{})
	answered(t, e, 1)
}

// A clock that is wrong, as after a start without a network, keeps the link down
// for as long as it is wrong, and the node says what to look at.
func TestClockIsWrong(t *testing.T) {
	leaktest.Check(t)
	c := startCloud(t, session.Options{})
	e := c.join(t, "edge-1")
	for _, wrong := range []time.Duration{-20 * 365 * 24 * time.Hour, 30 * 365 * 24 * time.Hour} {
		var clock atomic.Int64
		clock.Store(int64(wrong))
		stop := e.runAt(t, c.wss, "edge-1", "a", session.Options{}, func() time.Time { return time.Now().Add(time.Duration(clock.Load())) })
		told(t, e, "look at this node's clock first")
		clock.Store(0)
		answered(t, e, 1)
		stop()
	}
}
