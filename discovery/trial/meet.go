package trial

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"google.golang.org/grpc/connectivity"

	"github.com/akri-go/akri/discovery/contract"
	"github.com/akri-go/akri/internal/poll"
)

// maxStart is how long a handler may take to make its socket before it gets an
// agent. It need not make one so early.
const maxStart = 5 * time.Second

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
		if t.runner != nil && inUse(err) {
			t.found(inTheWay(registration, err))
			return nil
		}
		if t.Socket == "" || !inUse(err) {
			return fmt.Errorf("be the agent: %w", err)
		}
		t.apart = fmt.Sprintf("this trial is not the agent in %s: %v", t.Directory, err)
		t.found(registration.skip(t.apart))
		t.callAt(t.Socket)
		return nil
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

// inTheWay is of a handler that has taken the place of the agent's socket.
func inTheWay(c check, err error) Finding {
	return c.fail("made the agent's socket", err.Error(),
		"Leave "+AgentSocket+" to the agent: connect to it, and make nothing there.")
}

// settle waits until the handler has made a socket, has ended, or takes too long.
func (t *trial) settle(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, min(maxStart, t.Timeout))
	defer cancel()
	_ = poll.Until(ctx, "the handler has made its socket", pollInterval, func(context.Context) error {
		if len(t.sockets()) == 0 && !t.hasEnded() {
			return errors.New("not yet")
		}
		return nil
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
		t.found(registration.warn("made the agent's socket beside the handler's",
			fmt.Sprintf("it has not registered within %s", took(waited)),
			"Register when the agent's socket appears. Handlers of upstream Akri do not if they have "+
				"registered once and nobody calls them."))
		t.callAt(t.Socket)
		return nil
	case t.runner != nil && t.hasEnded():
		t.running = false
		t.found(registration.fail("started the handler with an agent there", "it ended "+t.runner.how(),
			"Go on until SIGTERM comes."))
		return nil
	}
	t.found(registration.fail("made the agent's socket", fmt.Sprintf("nobody has registered within %s",
		took(waited)),
		"Call v0.Registration/RegisterDiscoveryHandler on "+AgentSocket+" in the folder "+
			"DISCOVERY_HANDLERS_DIRECTORY, until it succeeds."))
	if sockets := t.sockets(); len(sockets) == 1 {
		t.callAt(sockets[0])
	}
	return nil
}

// sockets are those in the folder, without the agent's.
func (t *trial) sockets() []string {
	all, err := filepath.Glob(filepath.Join(t.Directory, "*.sock"))
	if err != nil {
		return nil // the folder's name is no pattern: nothing to find
	}
	return slices.DeleteFunc(all, func(path string) bool { return filepath.Base(path) == AgentSocket })
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
		t.callAt(t.Socket)
		return nil
	}
	t.address = a
	return nil
}

// callAt has the handler called at a socket that it has not registered.
func (t *trial) callAt(socket string) {
	t.address = contract.Address{Network: "unix", Dial: socket, Dir: filepath.Dir(socket)}
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
	if err == nil {
		err = t.speaks(ctx)
	}
	f := judgeSocket(t.address.String(), mode, err)
	t.found(f)
	return f.Level != Failure || err == nil
}

// speaks connects, and waits until the handler speaks HTTP/2.
func (t *trial) speaks(ctx context.Context) error {
	if !t.connect() {
		return errNotGRPC
	}
	waiting, cancel := t.within(ctx)
	defer cancel()
	t.conn.Connect()
	for state := t.conn.GetState(); state != connectivity.Ready; state = t.conn.GetState() {
		if state == connectivity.TransientFailure || !t.conn.WaitForStateChange(waiting, state) {
			return errNotGRPC
		}
	}
	return nil
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
