package trial

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/discovery/contract"
)

// AgentSocket is the name of the agent's socket in the folder where agent and
// handlers meet.
const AgentSocket = contract.AgentSocket

const (
	// DefaultTimeout is more than a handler of upstream Akri needs, which looks
	// every 10 s whether a call was dropped, and tries to register as often.
	DefaultTimeout = 30 * time.Second
	// DefaultWatch is how long an answer is watched, and how long the agent is
	// away when it restarts.
	DefaultWatch = time.Second
	// DefaultCalls is how many calls are open at once.
	DefaultCalls = 8
)

// Subject is a handler and what to ask it.
type Subject struct {
	// Handler is served by [discovery.Serve] in this process; or Program is
	// started; or else the handler is one that somebody runs.
	Handler discovery.Handler
	Program *Program
	// Directory is where agent and handler meet. It is made if it does not exist;
	// "" makes one for the time of the trial.
	Directory string
	// Socket is where a handler listens that somebody runs already. It is called
	// there even if it does not register. Directory is then the socket's folder.
	Socket string

	// Request is what the handler is asked. It should find devices.
	Request discovery.Request
	// Others find something else. They are asked at the same time.
	Others []discovery.Request
	// Bad must be refused.
	Bad []discovery.Request
	// Nothing, if not nil, is a request that finds no device.
	Nothing *discovery.Request
	// Present are the ids that Request finds at first, nil if that is not known.
	Present []string
	// Changes are made one after the other, while calls are open.
	Changes []Change

	// Name and Shared are what it must register; "" and nil if that is not known.
	Name   string
	Shared *bool

	// Timeout is how long to wait for what must happen, Watch how long to watch
	// for what must not, and Calls how many calls are open at once. 0 is the
	// default; a Watch below 0 is none.
	Timeout, Watch time.Duration
	Calls          int

	// Found, if not nil, is told each finding as soon as it is made, and Waiting
	// that nobody has registered yet in a folder.
	Found   func(Finding)
	Waiting func(directory string)
}

// Change changes which devices there are.
type Change struct {
	// What says what it does, as in "unplugged a device".
	What string
	// Make does it. It returns the ids that Request must find then, nil if that is
	// not known.
	Make func(ctx context.Context) (want []string, err error)
}

// Program is a handler that the trial starts and stops. All of its processes are
// in one process group.
type Program struct {
	// Args are the program and its arguments.
	Args []string
	// Env are variables besides those of this process, as NAME=value. The trial
	// sets DISCOVERY_HANDLERS_DIRECTORY, and takes POD_IP away unless it is here.
	Env []string
	// Output, if not nil, gets what the program prints.
	Output io.Writer
}

// prepared returns the subject with its defaults. Clean removes the folder if it
// was made.
func (s Subject) prepared() (_ Subject, clean func(), err error) {
	clean = func() {}
	given := 0
	for _, is := range []bool{s.Handler != nil, s.Program != nil, s.Socket != ""} {
		if is {
			given++
		}
	}
	switch {
	case given > 1:
		return s, clean, errors.New("only one of Handler, Program and Socket can be tried")
	case s.Program != nil && len(s.Program.Args) == 0:
		return s, clean, errors.New("the program is missing")
	}
	if s.Timeout == 0 {
		s.Timeout = DefaultTimeout
	}
	if s.Watch == 0 {
		s.Watch = DefaultWatch
	}
	s.Watch = max(s.Watch, 0)
	if s.Calls == 0 {
		s.Calls = DefaultCalls
	}
	if s.Found == nil {
		s.Found = func(Finding) {}
	}
	if s.Waiting == nil {
		s.Waiting = func(string) {}
	}
	if s.Handler != nil {
		shared := s.Handler.Shared()
		s.Name, s.Shared = s.Handler.Name(), &shared
	}
	if s.Socket != "" {
		if s.Socket, err = filepath.Abs(s.Socket); err != nil {
			return s, clean, err
		}
		switch info, err := os.Stat(s.Socket); {
		case errors.Is(err, fs.ErrNotExist):
			return s, clean, fmt.Errorf("there is no socket %s: is the handler running, and does it listen there?", s.Socket)
		case err != nil:
			return s, clean, err
		case info.Mode().Type() != fs.ModeSocket:
			return s, clean, fmt.Errorf("%s is not a socket: give the path where the handler listens", s.Socket)
		}
		if s.Directory == "" {
			s.Directory = filepath.Dir(s.Socket)
		}
	}
	if s.Directory == "" {
		// Not where TMPDIR says: the path of a socket must be short.
		if s.Directory, err = os.MkdirTemp("/tmp", "akri-"); err != nil {
			return s, clean, fmt.Errorf("folder for the agent's socket: %w", err)
		}
		dir := s.Directory
		return s, func() { os.RemoveAll(dir) }, nil
	}
	if s.Directory, err = filepath.Abs(s.Directory); err != nil {
		return s, clean, err
	}
	if err := os.MkdirAll(s.Directory, 0o770); err != nil {
		return s, clean, fmt.Errorf("folder for the agent's socket: %w", err)
	}
	return s, clean, nil
}
