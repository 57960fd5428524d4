package edged

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/akri-go/akri/internal/atomicfile"
	"github.com/akri-go/akri/internal/backoff"
)

const (
	// stopTimeout is how long a program may take to end.
	stopTimeout = 20 * time.Second
	// steadyAfter is how long it must have run for the next delay to be the first
	// again.
	steadyAfter = 5 * time.Minute
)

// program says what is run.
type program struct {
	name, path string // the name is for people
	args       []string
	files      func() ([]file, error) // that it reads
	meanwhile  string                 // what is while it does not run
	remedy     string                 // where it is missing
}

// Program is a program that runs, and is started again when it ends.
type Program struct {
	program
	log    *slog.Logger
	output io.Writer
	retry  backoff.Backoff

	mu    sync.Mutex
	state State
	end   context.CancelCauseFunc // of what runs; nil: nothing does
}

// State is what is known of a program, for a person.
type State struct {
	PID      int       `json:"pid,omitempty"` // 0: it does not run
	Since    time.Time `json:"since,omitzero"`
	Restarts int       `json:"restarts"`
	LastExit string    `json:"lastExit,omitempty"`
}

func newProgram(p program, log *slog.Logger, output io.Writer) *Program {
	return &Program{program: p, log: log, output: output, retry: backoff.Backoff{First: time.Second, Max: time.Minute,
		Jitter: 0.2}}
}

// State returns what is known of the program.
func (p *Program) State() State {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state
}

func (p *Program) set(f func(*State)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f(&p.state)
}

// Restart ends the program, if it runs, so that it is started again. why is for
// people.
func (p *Program) Restart(why error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.end != nil {
		p.end(why)
	}
}

// Write writes the program's files.
func (p *Program) Write() error {
	files, err := p.files()
	for _, f := range files {
		if err == nil {
			err = atomicfile.Write(f.path, f.text, f.mode)
		}
	}
	if err != nil {
		return fmt.Errorf("write the configuration of %s: %w", p.name, err)
	}
	return nil
}

// Run writes the program's files and runs it until ctx is done. It fails only if
// they cannot be written.
func (p *Program) Run(ctx context.Context) error {
	if err := p.Write(); err != nil {
		return err
	}
	// The kernel ends the program with the thread that has started it, so that none
	// is left behind by an edgecore that was killed.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for failures := 0; ; {
		began := time.Now()
		err := p.once(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if time.Since(began) >= steadyAfter {
			failures = 0
		}
		failures++
		wait := p.retry.Delay(failures)
		level := slog.LevelError
		if errors.Is(err, fs.ErrNotExist) && p.State().LastExit == err.Error() {
			level = slog.LevelDebug // it was said
		}
		p.log.Log(ctx, level, p.name+" does not run; "+p.meanwhile, "error", err, "next", wait.Round(100*time.Millisecond))
		p.set(func(s *State) { s.PID, s.Since, s.LastExit = 0, time.Time{}, err.Error(); s.Restarts++ })
		if backoff.Sleep(ctx, wait) != nil {
			return nil
		}
	}
}

// once runs the program until it ends.
func (p *Program) once(ctx context.Context) error {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	cmd := exec.CommandContext(ctx, p.path, p.args...)
	cmd.Stdout, cmd.Stderr = p.output, p.output
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = stopTimeout
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	switch err := cmd.Start(); {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("start %s: %w; %s", p.name, err, p.remedy)
	case err != nil:
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	p.log.Info(p.name+" runs", "pid", cmd.Process.Pid)
	p.set(func(s *State) { s.PID, s.Since, p.end = cmd.Process.Pid, time.Now(), end })
	err := cmd.Wait()
	p.set(func(*State) { p.end = nil })
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		return err
	}
	return errors.New("exit status 0")
}
