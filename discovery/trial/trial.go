package trial

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	pb "github.com/akri-go/akri/api/discovery/v0"
	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/internal/contract"
	"github.com/akri-go/akri/internal/poll"
)

const (
	pollInterval = 10 * time.Millisecond
	// maxStart is how long a handler may take to make its socket before it gets an
	// agent. It need not make one so early.
	maxStart = 5 * time.Second
)

// Run makes a trial. It returns an error if that was not possible, for instance
// because the program does not exist; what the handler does wrong is in the
// report. It ends what it started.
func Run(ctx context.Context, s Subject) (Report, error) {
	s, clean, err := s.prepared()
	if err != nil {
		return Report{}, err
	}
	defer clean()
	t := &trial{Subject: s, player: newPlayer(s.Directory), limits: contract.DefaultLimits()}
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
	player *player
	runner runner // nil if somebody else runs the handler
	limits contract.Limits
	report Report

	apart   string // why this process cannot be the agent, "" if it can
	running bool   // the runner has been started and not stopped
	first   *pb.RegisterDiscoveryHandlerRequest
	address contract.Address
	conn    *grpc.ClientConn
	open    []*call // with the Request
	patient bool    // it has answered, so waiting for its answers is of use
	again   bool    // it registers again when a call was dropped
}

func (t *trial) found(f Finding) {
	t.report.Findings = append(t.report.Findings, f)
	t.Found(f)
}

func (t *trial) run(ctx context.Context) error {
	if err := t.meet(ctx); err != nil {
		return err
	}
	if t.address == (contract.Address{}) || !t.reach(ctx) {
		t.end()
		return nil
	}
	if t.lists(ctx) {
		t.sideBySide(ctx)
		t.refusals(ctx)
		t.changing(ctx)
		t.dropping(ctx)
		t.restarting(ctx)
		t.killing(ctx)
	}
	t.end()
	return nil
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

// meet starts the handler if the trial runs it, and waits until it has registered.
func (t *trial) meet(ctx context.Context) error {
	if t.runner != nil {
		if err := t.start(); err != nil {
			return err
		}
		t.settle(ctx)
	}
	alone := ""
	if t.runner != nil && t.hasEnded() {
		alone = t.runner.how()
		t.running = false
	}
	if err := t.player.listen(); err != nil {
		if t.Socket == "" || !inUse(err) {
			return fmt.Errorf("be the agent: %w", err)
		}
		t.apart = fmt.Sprintf("this trial is not the agent in %s: %v", t.Directory, err)
		t.found(registration.skip(t.apart))
		return t.callAt(t.Socket)
	}
	if alone != "" {
		t.found(judgeStart(alone, false, 0))
		if err := t.start(); err != nil { // it may run with an agent
			return err
		}
	} else if t.runner == nil && t.Socket == "" {
		t.Waiting(t.Directory)
	}
	return t.introduce(ctx, alone == "")
}

// settle waits until the handler has made a socket, has ended, or takes too long.
func (t *trial) settle(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, min(maxStart, t.Timeout))
	defer cancel()
	_ = poll.Until(ctx, "the handler has made its socket", pollInterval, func(context.Context) error {
		sockets, err := filepath.Glob(filepath.Join(t.Directory, "*.sock"))
		if err == nil && len(sockets) == 0 && !t.hasEnded() {
			return errors.New("not yet")
		}
		return err
	}) // and if not, it may listen later
}

// introduce waits for the first registration.
func (t *trial) introduce(ctx context.Context, wasAlone bool) error {
	waiting, cancel := t.within(ctx)
	defer cancel()
	if t.runner == nil && t.Socket == "" { // a person has to start it
		waiting = ctx
	}
	began := time.Now()
	t.first = t.player.after(waiting, 0, t.ended())
	waited := time.Since(began)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if t.runner != nil && wasAlone {
		end := ""
		if t.first == nil && t.hasEnded() {
			end = t.runner.how()
		}
		t.found(judgeStart(end, t.first != nil, waited))
	}
	if t.first != nil {
		return t.introduced()
	}
	switch {
	case t.Socket != "":
		t.found(registration.warn("made the agent's socket beside the handler's", fmt.Sprintf("it has not registered within %s", took(waited)),
			"Register when the agent's socket appears. Handlers of upstream Akri do not if they have registered once and nobody calls them."))
		return t.callAt(t.Socket)
	case t.runner != nil && t.hasEnded():
		t.running = false
		t.found(registration.fail("started the handler with an agent there", "it ended "+t.runner.how(), "Go on until SIGTERM comes."))
		return nil
	}
	t.found(registration.fail("made the agent's socket", fmt.Sprintf("nobody has registered within %s", took(waited)),
		"Call v0.Registration/RegisterDiscoveryHandler on "+AgentSocket+" in the folder DISCOVERY_HANDLERS_DIRECTORY, until it succeeds."))
	if sockets, err := filepath.Glob(filepath.Join(t.Directory, "*.sock")); err == nil && len(sockets) == 2 { // the agent's and another
		for _, path := range sockets {
			if filepath.Base(path) != AgentSocket {
				return t.callAt(path)
			}
		}
	}
	return nil
}

// introduced notes the first registration.
func (t *trial) introduced() error {
	m := t.first
	t.report.Name, t.report.Endpoint, t.report.Shared = m.GetName(), m.GetEndpoint(), m.GetShared()
	t.found(judgeRegistration(m, expected{name: t.Name, shared: t.Shared, dir: t.Directory}))
	a, err := contract.ParseAddress(m.GetEndpointType(), m.GetEndpoint(), t.Directory)
	if err != nil {
		if t.Socket == "" {
			return nil // the finding says why
		}
		return t.callAt(t.Socket)
	}
	t.address = a
	return nil
}

// callAt has the handler called at a socket that it has not registered.
func (t *trial) callAt(socket string) error {
	t.address = contract.Address{Network: "unix", Dial: socket, Dir: filepath.Dir(socket)}
	return nil
}

// reach connects to the handler.
func (t *trial) reach(ctx context.Context) bool {
	var mode fs.FileMode
	if t.address.Network == "unix" {
		if info, err := os.Lstat(t.address.Dial); err == nil {
			mode = info.Mode()
		}
	}
	conn, err := dial(ctx, t.address)
	if err == nil {
		err = conn.Close()
	}
	f := judgeSocket(t.address.String(), mode, err)
	t.found(f)
	if f.Level == Failure && err != nil {
		return false
	}
	return t.connect()
}

func (t *trial) connect() bool {
	conn, err := connect(t.address)
	if err != nil {
		t.found(judgeSocket(t.address.String(), 0, err))
		return false
	}
	t.conn = conn
	return true
}

// ask makes a call.
func (t *trial) ask(ctx context.Context, req discovery.Request) *call {
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

// crash says how the program ended if that has ended a call; "" if it has not.
func (t *trial) crash(ctx context.Context, a answer) string {
	if t.runner == nil || !a.ended || a.code != codes.Unavailable {
		return ""
	}
	waiting, cancel := context.WithTimeout(ctx, time.Second) // the connection goes first
	defer cancel()
	select {
	case <-t.ended():
		return "; the program ended " + t.runner.how()
	case <-waiting.Done():
		return ""
	}
}

// revive starts a program again that has crashed, so that the trial can go on.
func (t *trial) revive(ctx context.Context) {
	if t.runner == nil || !t.hasEnded() {
		return
	}
	t.hangUp()
	n := t.player.count()
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
func (t *trial) end() {
	t.hangUp()
	if t.runner == nil || !t.running {
		return
	}
	t.running = false
	if t.hasEnded() {
		t.found(toldToEnd.fail("looked for the handler at the end of the trial", "it had ended by itself, "+t.runner.how(), "Go on until SIGTERM comes."))
		return
	}
	inTime := t.runner.stop()
	how := ""
	if inTime {
		how = t.runner.how()
	}
	t.found(judgeEnd(inTime, how, endGrace))
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
