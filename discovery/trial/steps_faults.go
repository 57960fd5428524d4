package trial

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/akri-go/akri/internal/poll"
)

// dropped is how many calls are dropped, at least.
const dropped = 40

// dropping drops calls, and judges what the handler does then.
func (t *trial) dropping(ctx context.Context) {
	one := t.ask(ctx, t.Request)
	t.await(ctx, one, answered)
	n := t.player.count()
	one.drop()
	if t.apart != "" {
		t.found(droppedCall.skip(t.apart))
	} else {
		waiting, cancel := t.within(ctx)
		began := time.Now()
		m := t.player.after(waiting, n, t.ended())
		cancel()
		t.again = m != nil
		if t.first == nil && m != nil { // it had registered before the trial
			t.first = m
			t.report.Name, t.report.Endpoint, t.report.Shared = m.GetName(), m.GetEndpoint(), m.GetShared()
			t.found(judgeRegistration(m, expected{name: t.Name, shared: t.Shared, dir: t.Directory}))
		}
		t.found(judgeAgain(droppedCall, "dropped a call while others stayed open", t.first, m,
			time.Since(began), false,
			"Notice the end of a call by gRPC's means (in Go the stream's context, in Python add_callback or "+
				"is_active), and register."))
	}
	before := usageOf(t.pid(ctx))
	made := 0
	for made < dropped {
		n, ok := t.dropMany(ctx)
		if made += n; !ok {
			break // the last call will tell
		}
	}
	began := time.Now()
	a := t.answerUntil(ctx, answered)
	ok := answered(a) || !t.patient && !a.ended
	waited := time.Since(began)
	t.found(judgeUsage(made, before, t.usageAfter(ctx, made, before), ok, waited))
	if !ok {
		t.revive(ctx, true)
	}
}

// dropMany makes calls, and drops them when they have been answered. It returns
// how many, and whether all were answered of a handler that answers.
func (t *trial) dropMany(ctx context.Context) (n int, ok bool) {
	waiting, cancel := t.patience(ctx)
	defer cancel()
	var calls []*call
	for range t.Calls {
		calls = append(calls, t.ask(ctx, t.Request))
	}
	ok = true
	for _, c := range calls {
		ok = (answered(c.until(waiting, answered)) || !t.patient) && ok
		c.drop()
	}
	return len(calls), ok
}

// pid returns the handler's process, 0 if it is not known.
func (t *trial) pid(ctx context.Context) int {
	conn, err := dial(ctx, t.address)
	if err != nil {
		return 0
	}
	defer conn.Close()
	return owner(conn)
}

// usageAfter waits until the handler has no more open than before, and returns
// what it has.
func (t *trial) usageAfter(ctx context.Context, calls int, before usage) (after usage) {
	pid := t.pid(ctx)
	waiting, cancel := t.within(ctx)
	defer cancel()
	_ = poll.Until(waiting, "what calls have left is gone", 10*pollInterval, func(context.Context) error {
		after = usageOf(pid)
		if judgeUsage(calls, before, after, true, 0).Level != Pass {
			return errors.New("not yet")
		}
		return nil
	})
	return after
}

// restarting restarts the agent, once while calls are open and once while none
// is.
func (t *trial) restarting(ctx context.Context) {
	if t.apart != "" {
		return
	}
	const socket = "Watch the agent's socket (inotify, or look every second whether it is another file) and " +
		"register when it was made anew."
	before := t.answers()[0]
	t.restart(ctx, agentRestart, "ended the agent, with its calls and its socket, and started another", true,
		"Register again whenever a call was dropped, and until it succeeds. "+socket)
	t.open = append(t.open, t.ask(ctx, t.Request))
	a := t.await(ctx, t.open[0], has(ids(before.devices)))
	if t.patient && !has(ids(before.devices))(a) {
		t.found(sameIDs.fail("called Discover after the agent's restart",
			orNone(ids(a.devices))+", and before "+orNone(ids(before.devices)),
			"Answer a new agent as the one before it."))
	}
	// Registrations because of dropped calls must not be taken for the ones that
	// are to come.
	n := t.player.count()
	t.drop()
	if t.again {
		waiting, cancel := t.within(ctx)
		t.player.after(waiting, n, t.ended())
		cancel()
		t.pause(ctx)
	}
	t.restart(ctx, agentRestartIdle, "ended the agent while it had no call open, and started another", false,
		socket+" Handlers of upstream Akri do not: they stay unknown to the new agent until they are restarted.")
}

// restart restarts the agent, and judges whether the handler registers again.
func (t *trial) restart(ctx context.Context, c check, did string, severe bool, change string) {
	// In this order: an agent that ends takes no registration from a handler whose
	// calls it has ended.
	t.player.stop()
	t.hangUp()
	t.pause(ctx)
	n := t.player.count()
	if err := t.player.listen(); err != nil {
		t.apart = fmt.Sprintf("the agent's socket could not be made again: %v", err)
		if t.runner != nil && inUse(err) {
			t.found(inTheWay(c, err))
			return
		}
		t.found(c.skip(t.apart))
		return
	}
	waiting, cancel := t.within(ctx)
	defer cancel()
	began := time.Now()
	m := t.player.after(waiting, n, t.ended())
	t.found(judgeAgain(c, did, t.first, m, time.Since(began), severe, change))
	t.connect()
}

// killing kills the handler, and starts it again.
func (t *trial) killing(ctx context.Context) {
	if t.runner == nil {
		return
	}
	const did = "killed the handler and started it again"
	t.hangUp()
	n := t.player.count()
	t.runner.kill()
	if err := t.start(); err != nil {
		t.found(killed.fail(did, err.Error(), "It must start each time."))
		return
	}
	waiting, cancel := t.within(ctx)
	defer cancel()
	began := time.Now()
	m := t.player.after(waiting, n, t.ended())
	if m == nil && t.hasEnded() {
		t.running = false
		t.found(killed.fail(did, "it ended "+t.runner.how(), "Remove the dead socket before you listen."))
		return
	}
	f := judgeAgain(killed, did, t.first, m, time.Since(began), true,
		"Remove the dead socket, listen, and register.")
	if f.Level == Pass && t.connect() {
		if a := t.answerUntil(ctx, answered); t.patient && !answered(a) {
			f = killed.fail(did, "it has registered, but does not answer",
				"Remove the dead socket, listen, and only then register.")
		}
	}
	t.found(f)
}
