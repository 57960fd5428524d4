package trial

import (
	"context"
	"fmt"
	"maps"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	pb "github.com/akri-go/akri/api/discovery/v0"
	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/discovery/contract"
)

const pollInterval = 10 * time.Millisecond

// Run makes a trial. It returns an error if that was not possible, for instance
// because the program does not exist; what the handler does wrong is in the
// report. It ends what it started.
func Run(ctx context.Context, s Subject) (Report, error) {
	s, clean, err := s.prepared()
	if err != nil {
		return Report{}, err
	}
	defer clean()
	t := &trial{
		Subject: s, began: time.Now(), stopped: ctx.Err, player: newPlayer(s.Directory), limits: contract.DefaultLimits(),
	}
	switch {
	case s.Handler != nil:
		t.runner = &served{handler: s.Handler, directory: s.Directory}
	case s.Program != nil:
		t.runner = newProgram(*s.Program, s.Directory)
	}
	defer t.player.stop()
	defer t.quit()
	err = t.run(ctx)
	if err == nil {
		err = ctx.Err()
	}
	return t.report, err
}

// trial is the state of a trial. Its steps run one after the other.
type trial struct {
	Subject
	began   time.Time
	stopped func() error // nil while the trial is wanted
	player  *player
	runner  runner // nil if somebody else runs the handler
	limits  contract.Limits
	report  Report

	apart   string // why this process cannot be the agent, "" if it can
	running bool   // the runner has been started and not stopped
	first   *pb.RegisterDiscoveryHandlerRequest
	address contract.Address
	conn    *grpc.ClientConn
	calls   int     // made so far
	open    []*call // with the Request
	patient bool    // it has answered, so waiting for its answers is of use
	again   bool    // it registers again when a call was dropped
}

// found notes a finding. What did not happen because the trial was broken off is
// none.
func (t *trial) found(f Finding) {
	if t.stopped() != nil {
		return
	}
	t.report.Findings = append(t.report.Findings, f)
	t.Found(f)
}

func (t *trial) run(ctx context.Context) error {
	if err := t.meet(ctx); err != nil {
		return err
	}
	if t.address != (contract.Address{}) && t.reach(ctx) && t.lists(ctx) && t.sideBySide(ctx) {
		for _, step := range []func(context.Context){t.refusals, t.changing, t.dropping, t.restarting, t.killing} {
			if t.conn == nil || ctx.Err() != nil {
				break // it could not be started again
			}
			step(ctx)
		}
	}
	if f := judgeRegistrations(t.player.count(), t.calls, time.Since(t.began)); f != nil {
		t.found(*f)
	}
	t.end(ctx)
	t.rest()
	return nil
}

// rest says which checks were not made, and why.
func (t *trial) rest() {
	made := map[string]bool{}
	for _, f := range t.report.Findings {
		made[f.Check] = true
	}
	for _, c := range allChecks() {
		switch {
		case made[c.name]:
		case t.runner == nil && (c == startsAlone || c == killed || c == toldToEnd):
			t.found(c.skip("somebody else runs the handler"))
		case t.apart != "":
			t.found(c.skip(t.apart))
		default:
			t.found(c.skip("not tried, because of what failed before"))
		}
	}
}

// within is ctx with the time that a handler has for what must happen.
func (t *trial) within(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, t.Timeout)
}

// pause waits on purpose: things are watched, or the agent is away.
func (t *trial) pause(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(t.Watch):
	}
}

func (t *trial) start() error {
	if err := t.runner.start(); err != nil {
		return err
	}
	t.running = true
	return nil
}

// ended is closed if the handler ends that the trial runs.
func (t *trial) ended() <-chan struct{} {
	if t.runner == nil {
		return nil
	}
	return t.runner.ended()
}

func (t *trial) hasEnded() bool {
	select {
	case <-t.ended():
		return true
	default:
		return false
	}
}

// ask makes a call.
func (t *trial) ask(ctx context.Context, req discovery.Request) *call {
	t.calls++
	return ask(ctx, t.conn, req, t.limits)
}

// answerTo makes a call, waits for its first list or its end, and drops it.
func (t *trial) answerTo(ctx context.Context, req discovery.Request) answer {
	c := t.ask(ctx, req)
	a := t.await(ctx, c, answered)
	c.drop()
	return a
}

// await waits for what a call must bring. A handler that has never answered does
// not get the time again.
func (t *trial) await(ctx context.Context, c *call, ok func(answer) bool) answer {
	waiting, cancel := t.patience(ctx)
	defer cancel()
	return c.until(waiting, ok)
}

// patience is ctx with the time that a handler gets for an answer.
func (t *trial) patience(ctx context.Context) (context.Context, context.CancelFunc) {
	if !t.patient {
		return context.WithTimeout(ctx, min(t.Timeout, max(t.Watch, 100*time.Millisecond)))
	}
	return t.within(ctx)
}

// maxLastWords is how long after its connections a program may end that crashes.
const maxLastWords = 10 * time.Second

// crash says how the program ended if that has ended a call; "" if it has not.
func (t *trial) crash(ctx context.Context, a answer) string {
	if t.runner == nil || !a.ended || a.code != codes.Unavailable {
		return ""
	}
	waiting, cancel := context.WithTimeout(ctx, maxLastWords) // the connection goes first
	defer cancel()
	select {
	case <-t.ended():
		return "; the program ended " + t.runner.how()
	case <-waiting.Done():
		return ""
	}
}

// revive starts a program again that has crashed or is killed, so that the trial
// can go on.
func (t *trial) revive(ctx context.Context, kill bool) {
	if t.runner == nil || !kill && !t.hasEnded() {
		return
	}
	t.hangUp()
	n := t.player.count()
	t.runner.kill()
	if err := t.start(); err != nil {
		return // the next call will tell
	}
	waiting, cancel := t.within(ctx)
	defer cancel()
	t.player.after(waiting, n, t.ended())
	if t.connect() {
		t.open = append(t.open, t.ask(ctx, t.Request), t.ask(ctx, t.Request))
		t.await(ctx, t.open[0], answered)
	}
}

// answers is what the open calls have brought.
func (t *trial) answers() []answer {
	var all []answer
	for _, c := range t.open {
		all = append(all, c.now())
	}
	return all
}

// drop ends all open calls.
func (t *trial) drop() {
	for _, c := range t.open {
		c.drop()
	}
	t.open = nil
}

// hangUp ends everything that an agent has with a handler.
func (t *trial) hangUp() {
	t.drop()
	if t.conn != nil {
		_ = t.conn.Close()
		t.conn = nil
	}
}

// end stops the handler and judges how it ended.
func (t *trial) end(ctx context.Context) {
	t.hangUp()
	if t.runner == nil || !t.running {
		return
	}
	t.running = false
	if t.hasEnded() {
		t.found(toldToEnd.fail("looked for the handler at the end of the trial",
			"it had ended by itself, "+t.runner.how(), "Go on until SIGTERM comes."))
		return
	}
	inTime := t.runner.stop()
	how := ""
	if inTime {
		how = t.runner.how()
	}
	t.found(judgeEnd(inTime, how, endGrace, t.left(ctx)))
}

// left says what still answers where the handler did; "" if nothing.
func (t *trial) left(ctx context.Context) string {
	if t.address == (contract.Address{}) {
		return ""
	}
	conn, err := dial(ctx, t.address)
	if err != nil {
		return ""
	}
	defer conn.Close()
	where := "something"
	if pid := owner(conn); pid != 0 {
		where = fmt.Sprintf("the process %d", pid)
	}
	return fmt.Sprintf("%s still answers at %s", where, t.address)
}

// quit ends what is left when a trial is broken off.
func (t *trial) quit() {
	t.hangUp()
	if t.runner != nil && t.running {
		t.running = false
		t.runner.stop()
	}
}

// has tells whether the last list has these ids.
func has(want map[string]bool) func(answer) bool {
	return func(a answer) bool { return a.lists > 0 && maps.Equal(ids(a.devices), want) }
}
