package registry

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/akri-go/akri/discovery"
)

func TestReportsAndLoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newFixture(t)
		r.Ask(requestOf("c", "h", "x"))
		r.want(`c:  fails: no discovery handler "h" is registered o`)

		// A new endpoint wakes the request that waits.
		f := r.endpoint("h", "/h", false)
		c, after := r.next(f)
		if after != 0 || c.req.Details != "x" {
			t.Errorf("asked %q after %s", c.req.Details, after)
		}
		c.report()
		r.want("c: /h reports []")
		c.report("a", "b")
		r.want("c: /h reports [a b]")
		c.report("b", "a")
		r.want("") // the same
		c.on(list{}, errors.New("100000 devices"))
		c.on(list{}, errors.New("100000 devices"))
		r.want("c: /h fails: 100000 devices")
		c.report("a", "b")
		r.want("c: /h reports [a b]") // it is well again

		c.end <- errors.New("broken")
		r.want("c: /h lost", "c: /h fails: broken")
		c, after = r.next(f)
		if after < firstRetryDelay/2 || after > firstRetryDelay {
			t.Errorf("asked again after %s", after)
		}
		c.report("a", "b")
		r.want("c: /h reports [a b]")
	})
}

func TestOneEndpointFailsTheOtherAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newFixture(t)
		one, two := r.endpoint("h", "/1", true), r.endpoint("h", "/2", true)
		r.Ask(requestOf("c", "h", "x"))
		bad, _ := r.next(one)
		good, _ := r.next(two)
		good.report("a")
		r.want("c: /2 reports [a]")
		bad.end <- errors.New("broken")
		r.want("c: /1 fails: broken")
		for range 5 { // the same failure is told once
			bad, _ = r.next(one)
			bad.end <- errors.New("broken")
		}
		good.report("a", "b")
		r.want("c: /2 reports [a b]")
	})
}

func TestPausesGrow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newFixture(t)
		f := r.endpoint("h", "/h", false)
		r.Ask(requestOf("c", "h", "x"))
		c, _ := r.next(f)
		var after time.Duration
		for pause := firstRetryDelay; pause < maxRetryDelay; pause *= 2 {
			c.end <- errors.New("broken")
			if c, after = r.next(f); after < pause/2 || after > pause {
				t.Errorf("asked after %s, want between %s and %s", after, pause/2, pause)
			}
		}
		for range 3 {
			c.end <- errors.New("broken")
			if c, after = r.next(f); after < maxRetryDelay/2 || after > maxRetryDelay {
				t.Errorf("asked after %s, want at most %s", after, maxRetryDelay)
			}
		}
		// A handler that reports and ends at once gets no shorter pauses.
		c.report("a")
		c.end <- errors.New("broken")
		if c, after = r.next(f); after < maxRetryDelay/2 {
			t.Errorf("asked after %s", after)
		}
		// One that lived longer does.
		time.Sleep(maxRetryDelay + time.Second)
		c.end <- errors.New("broken")
		if _, after = r.next(f); after > firstRetryDelay {
			t.Errorf("asked after %s", after)
		}
	})
}

func TestSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newFixture(t)
		f := r.endpoint("h", "/h", false)
		r.Ask(requestOf("c", "h", "x"))
		c, _ := r.next(f)
		time.Sleep(silentAfter - time.Second)
		r.want("")
		time.Sleep(2 * time.Second)
		r.want("c: /h is silent: connected, but nothing was reported with")
		time.Sleep(time.Hour)
		r.want("") // told once, and not punished
		if c.ctx.Err() != nil {
			t.Error("the silent stream was ended")
		}
		c.report("late")
		r.want("c: /h reports [late]")
		time.Sleep(time.Hour)
		r.want("")
	})
}

func TestInvalidRequestIsNotRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newFixture(t)
		f := r.endpoint("h", "/h", false)
		r.Ask(requestOf("c", "h", "x"))
		c, _ := r.next(f)
		c.end <- discovery.Invalid("bad rule")
		r.want("c: /h refuses: bad rule")
		r.idle(f, time.Hour)

		// A handler that registers again may be a newer one.
		if err := r.again("h", "/h", false); err != nil {
			t.Fatal(err)
		}
		c, _ = r.next(f)
		c.end <- discovery.Invalid("bad rule")
		r.want("")

		r.Ask(requestOf("c", "h", "y"))
		c, _ = r.next(f)
		c.report("a")
		r.want("c: /h reports [a]")
	})
}

func TestRequestChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newFixture(t)
		f := r.endpoint("h", "/h", false)
		r.Ask(requestOf("c", "h", "x"))
		r.Ask(requestOf("d", "h", "x"))
		c, _ := r.next(f)
		d, _ := r.next(f)
		c.report("a")
		d.report("a")
		r.o.told()

		r.Ask(requestOf("c", "h", "x"))
		r.idle(f, time.Hour) // the same request

		r.Ask(requestOf("c", "h", "y"))
		c2, _ := r.next(f)
		if c2.req.Details != "y" {
			t.Errorf("asked %q", c2.req.Details)
		}
		if c, d = owner(c, d); d.ctx.Err() != nil {
			t.Error("the other Configuration's stream was ended")
		}
		c.report("late") // of the old request
		r.want("")
		c2.report("b")
		r.want("c: /h reports [b]")

		r.Drop(types.NamespacedName{Namespace: "default", Name: "c"})
		synctest.Wait()
		if c2.ctx.Err() == nil {
			t.Error("the stream of the dropped request goes on")
		}
		c2.report("late")
		r.idle(f, time.Hour)
		r.want("")
	})
}

// owner sorts two calls: that whose stream has ended comes first.
func owner(a, b *call) (ended, going *call) {
	synctest.Wait()
	if a.ctx.Err() != nil {
		return a, b
	}
	return b, a
}

func TestUnreachableEndpointIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newFixture(t)
		f := r.endpoint("h", "/h", false)
		r.Ask(requestOf("c", "h", "x"))
		c, _ := r.next(f)
		c.report("a")
		r.o.told()
		began := time.Now()
		for n := 0; ; n++ {
			c.end <- unreachable{errors.New("connection refused")}
			synctest.Wait()
			r.mu.Lock()
			gone := r.handlers["h"] == nil
			r.mu.Unlock()
			if gone {
				break
			}
			if n > 100 {
				t.Fatal("never dropped")
			}
			c, _ = r.next(f)
		}
		if d := time.Since(began); d < socketGrace || d > socketGrace+maxRetryDelay {
			t.Errorf("dropped after %s", d)
		}
		r.want("c: /h lost", "c: /h fails: cannot connect: connection refused",
			"c: /h lost", `c:  fails: no discovery handler "h" is registered o`)
		r.idle(f, time.Hour)

		f = r.endpoint("h", "/h", false)
		c, _ = r.next(f)
		c.report("a")
		r.want("c: /h reports [a]")
	})
}

func TestRegisteringAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newFixture(t)
		f := r.endpoint("h", "/h", false)
		r.Ask(requestOf("c", "h", "x"))
		c, _ := r.next(f)
		c.report("a")
		r.want("c: /h reports [a]")

		// A stream that lives is kept.
		if err := r.again("h", "/h", false); err != nil {
			t.Fatal(err)
		}
		r.idle(f, time.Hour)
		if c.ctx.Err() != nil {
			t.Error("the stream was ended")
		}
		// Its end, which came late, is answered at once.
		c.end <- errors.New("connection lost")
		c, after := r.next(f)
		if after != 0 {
			t.Errorf("asked after %s", after)
		}
		// A pause is cut short.
		for range 10 {
			c.end <- errors.New("broken")
			c, _ = r.next(f)
		}
		c.end <- errors.New("broken")
		synctest.Wait()
		if err := r.again("h", "/h", false); err != nil {
			t.Fatal(err)
		}
		if _, after = r.next(f); after != 0 {
			t.Errorf("asked after %s", after)
		}
	})
}

func TestSharedMix(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newFixture(t)
		one := r.endpoint("h", "/1", false)
		one.alive = true
		if err := r.again("h", "/2", true); !errors.Is(err, errMixed) {
			t.Errorf("a mix was accepted: %v", err)
		}
		r.endpoint("other", "/3", true)

		// The only one may change its mind: it is a new process.
		r.Ask(requestOf("c", "h", "x"))
		c, _ := r.next(one)
		c.report("a")
		r.o.told()
		two := r.endpoint("h", "/1", true)
		r.want("c: /1 lost")
		c, _ = r.next(two)
		c.report("a")
		r.want("c: /1 reports [a]")
		two.alive = true

		// One that is dead does not stand in the way.
		three := r.endpoint("h", "/3", true)
		two.alive, three.alive = false, false
		four := r.endpoint("h", "/4", false)
		if _, after := r.next(four); after != 0 {
			t.Errorf("asked after %s", after)
		}
		r.want("c: /1 lost")
	})
}

func TestNumberOfEndpoints(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newFixture(t)
		first := r.endpoint("h", "/first", false)
		first.alive = true
		for n := range r.rules.Endpoints - 1 {
			r.endpoint("h", fmt.Sprint(n), false).alive = true
		}
		if err := r.again("h", "/more", false); !errors.Is(err, errFull) {
			t.Errorf("one too many: %v", err)
		}
		first.alive = false
		if err := r.again("h", "/more", false); err != nil {
			t.Errorf("with a dead one among them: %v", err)
		}
		for n := range r.rules.Names - 1 {
			r.endpoint(fmt.Sprint("name", n), "/x", false).alive = true
		}
		r.handlers["h"].endpoints["/more"].client.(*fake).alive = true
		if err := r.again("one more", "/x", false); !errors.Is(err, errFull) {
			t.Errorf("one name too many: %v", err)
		}
	})
}

// An observer that is slow gets the newest list, not all.
func TestSlowObserver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newFixture(t)
		f := r.endpoint("h", "/h", false)
		r.Ask(requestOf("c", "h", "x"))
		c, _ := r.next(f)
		block := make(chan struct{})
		r.o.block = block
		for n := range 1000 {
			c.report(fmt.Sprint(n))
			if n == 0 {
				synctest.Wait()
			}
		}
		r.o.mu.Lock()
		r.o.block = nil
		r.o.mu.Unlock()
		close(block)
		r.want("c: /h reports [0]", "c: /h reports [999]")

		// A loss is told even if the list before was not.
		r.o.block = make(chan struct{})
		c.report("a")
		synctest.Wait()
		c.report("b")
		c.end <- errors.New("broken")
		synctest.Wait()
		block = r.o.block
		r.o.mu.Lock()
		r.o.block = nil
		r.o.mu.Unlock()
		close(block)
		r.want("c: /h reports [a]", "c: /h lost", "c: /h fails: broken")
	})
}

// That the agent stops is no news of devices.
func TestStopTellsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &recorder{}
		r, err := New(Options{Dir: "/nowhere", Observer: o})
		if err != nil {
			t.Fatal(err)
		}
		f := newFake()
		r.Ask(requestOf("c", "h", "x")) // before it runs
		if err := r.add(&endpoint{name: "h", id: "/h", client: f}); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		if err := r.start(ctx); err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() { r.mail.deliver(ctx, o, r.refuse); close(done) }()
		c := <-f.calls
		c.report("a")
		if got := o.told(); got != "c: /h reports [a]" {
			t.Errorf("told %q", got)
		}
		cancel()
		r.stop()
		<-done
		r.Ask(requestOf("d", "h", "x"))
		if got := o.told(); got != "" {
			t.Errorf("told %q", got)
		}
	})
}
