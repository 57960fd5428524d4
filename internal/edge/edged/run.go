package edged

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/akri-go/akri/internal/backoff"
)

const (
	// stopTimeout is how long the kubelet may take to end.
	stopTimeout = 20 * time.Second
	// steadyAfter is how long it must have run for the next delay to be the first
	// again.
	steadyAfter = 5 * time.Minute
)

// Edged runs a kubelet.
type Edged struct {
	Options
	log    *slog.Logger
	output io.Writer
	retry  backoff.Backoff

	mu    sync.Mutex
	state State
}

// State is what is known of the kubelet, for a person.
type State struct {
	PID      int       `json:"pid,omitempty"` // 0: it does not run
	Since    time.Time `json:"since,omitzero"`
	Restarts int       `json:"restarts"`
	LastExit string    `json:"lastExit,omitempty"`
}

// New returns an Edged. What the kubelet prints goes to output.
func New(o Options, log *slog.Logger, output io.Writer) *Edged {
	return &Edged{Options: o, log: log, output: output, retry: backoff.Backoff{First: time.Second, Max: time.Minute,
		Jitter: 0.2}}
}

// State returns what is known of the kubelet.
func (e *Edged) State() State {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.state
}

func (e *Edged) set(f func(*State)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	f(&e.state)
}

// Run writes the kubelet's files and runs it until ctx is done. It fails only if
// they cannot be written.
func (e *Edged) Run(ctx context.Context) error {
	if err := e.Write(); err != nil {
		return err
	}
	// The kernel ends the kubelet with the thread that has started it, so that no
	// kubelet is left behind by an edgecore that was killed.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for failures := 0; ; {
		began := time.Now()
		err := e.once(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if time.Since(began) >= steadyAfter {
			failures = 0
		}
		failures++
		wait := e.retry.Delay(failures)
		e.log.Error("the kubelet has ended; containers run on", "error", err, "next", wait.Round(100*time.Millisecond))
		e.set(func(s *State) { s.PID, s.Since, s.LastExit = 0, time.Time{}, err.Error(); s.Restarts++ })
		if backoff.Sleep(ctx, wait) != nil {
			return nil
		}
	}
}

// once runs the kubelet until it ends.
func (e *Edged) once(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, e.Kubelet, e.arguments()...)
	cmd.Stdout, cmd.Stderr = e.output, e.output
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = stopTimeout
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start the kubelet: %w", err)
	}
	e.log.Info("the kubelet runs", "pid", cmd.Process.Pid)
	e.set(func(s *State) { s.PID, s.Since = cmd.Process.Pid, time.Now() })
	if err := cmd.Wait(); err != nil {
		return err
	}
	return fmt.Errorf("exit status 0")
}
