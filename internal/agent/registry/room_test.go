package registry

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// Of what others leave one gets half, so nobody is ever left with nothing.
func TestShare(t *testing.T) {
	held := 0
	for n := range 8 {
		may := Share(1<<20, held)
		if may == 0 {
			t.Fatalf("nothing is left for number %d", n+1)
		}
		held += may
	}
	if got := Share(10, 20); got != 0 {
		t.Errorf("of less than nothing: %d", got)
	}
}

// A report that the observer has no room for is an error of the handler, which is
// asked again later, and not at once because it registers again.
func TestReportThatIsNotKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newFixture(t)
		f := r.endpoint("h", "/h", false)
		r.Ask(requestOf("c", "h", "x"))
		r.o.full = errors.New("no room")
		c, _ := r.next(f)
		c.report("a")
		r.want("c: /h reports [a]", "c: /h lost", "c: /h fails: no room")
		if c.ctx.Err() == nil {
			t.Error("the call goes on")
		}
		if err := r.again("h", "/h", false); err != nil {
			t.Fatal(err)
		}
		r.idle(f, maxRetryDelay/2-time.Second)
		r.o.full = nil
		c, _ = r.next(f)
		c.report("a")
		r.want("c: /h reports [a]")
	})
}

// One name cannot take all that may be under way, and what had to wait is asked
// once there is room.
func TestStreamsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newFixture(t)
		r.rules.InFlightBytes = 4 * (connectionBytes + 3*firstMessageBytes)
		greedy, modest := newFake(), newFake()
		for name, f := range map[string]*fake{"greedy": greedy, "modest": modest} {
			if err := r.add(&endpoint{name: name, id: "/" + name, client: f, grace: socketGrace}); err != nil {
				t.Fatal(err)
			}
		}
		waits := 0
		for n := range 20 {
			r.Ask(requestOf(fmt.Sprintf("c%d", n), "greedy", "x"))
		}
		for _, line := range strings.Split(r.o.told(), "\n") {
			if strings.Contains(line, "/greedy fails: handlers of the name") {
				waits++
			}
		}
		if waits == 0 || waits == 20 {
			t.Fatalf("%d of 20 wait for room", waits)
		}
		r.Ask(requestOf("m", "modest", "x"))
		r.next(modest)
		asked := 0
		for ; asked < 20-waits; asked++ {
			r.next(greedy)
		}
		r.idle(greedy, time.Hour)
		r.Drop(requestOf("m", "", "").Configuration)
		r.Drop(requestOf("c0", "", "").Configuration)
		r.next(greedy)
	})
}

// The first calls of a name have room for some hundred devices, so that handlers
// need not find them again because the list was too large. Then there is less; what
// is larger all the same is asked for with four times as much.
func TestFirstReports(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newFixture(t)
		f := r.endpoint("h", "/h", false)
		large := 0
		var last *call
		for n := range 20 {
			r.Ask(requestOf(fmt.Sprintf("c%d", n), "h", "x"))
			last, _ = r.next(f)
			switch {
			case last.limit == manyMessageBytes && large == n:
				large++
			case last.limit != firstMessageBytes:
				t.Fatalf("call %d may report %d bytes", n, last.limit)
			}
		}
		if large < 4 || large == 20 {
			t.Errorf("%d calls have room for many devices", large)
		}
		last.end <- errTooLarge
		if last, _ = r.next(f); last.limit != 4*firstMessageBytes {
			t.Errorf("then it may report %d bytes", last.limit)
		}
	})
}

// A loss tells what is needed to know whether the handler has come back
// elsewhere.
func TestLossSaysWhetherAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newFixture(t)
		r.Ask(requestOf("c", "h", "x"))
		a := r.endpoint("h", "/a", false)
		c, _ := r.next(a)
		c.report("x")
		c.end <- errors.New("over")
		r.o.told()
		r.endpoint("other", "/o", false)
		r.endpoint("h", "/b", false)
		c, _ = r.next(a)
		c.report("x")
		c.end <- errors.New("over")
		r.o.told()
		if l := r.o.losses; len(l) != 2 || !l[0].Alone || l[0].Registration != 1 || l[1].Alone || l[1].Registration != 3 {
			t.Errorf("told %+v", l)
		}
	})
}
