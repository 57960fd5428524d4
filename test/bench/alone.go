package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
	"k8s.io/apimachinery/pkg/types"

	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/internal/agent/registry"
	"github.com/akri-go/akri/internal/street"
)

// memoryLimit is what the chart gives a handler, as package bounded hands it on.
const memoryLimit = 64 << 20 / 10 * 9

// alone is a handler's process without a cluster: devices are seen when they are
// reported to an agent's registry. What it takes is the handler's alone; the
// simulated devices share the machine with it.
type alone struct {
	*bench
	dir   string
	agent *registry.Registry
	cmd   *exec.Cmd
	node  *street.Place
	end   func() error // of the registry

	mu      sync.Mutex
	reports []counted
	news    chan struct{}
	err     error
}

// counted is how many devices were reported.
type counted struct {
	devices int
	at      time.Time
}

// runAlone measures a handler alone.
func runAlone(open func(*network, int) (*fleet, error), handler string) func(context.Context, *bench) error {
	return func(ctx context.Context, b *bench) (err error) {
		ctx, cancel := context.WithTimeout(ctx, 10*time.Minute+2*b.idle)
		defer cancel()
		n, err := openAlone(ctx)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, n.Close()) }()
		a, err := b.startAlone(ctx, n, handler)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, a.stop()) }()
		return b.measureFleet(ctx, n, open, a)
	}
}

// startAlone builds the program and starts it on the node of a network.
func (b *bench) startAlone(ctx context.Context, n *network, handler string) (*alone, error) {
	dir, err := os.MkdirTemp("", "akri-bench-")
	if err != nil {
		return nil, err
	}
	a := &alone{bench: b, dir: dir, news: make(chan struct{}, 1)}
	program := filepath.Join(dir, "akri-discovery")
	if err := build(ctx, "./cmd/akri-discovery", program); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	a.agent, err = registry.New(registry.Options{Dir: dir, Observer: a, SocketGID: os.Getgid()})
	if err == nil {
		a.node, err = street.At(n.netNS)
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	var g errgroup.Group
	g.Go(func() error { return a.agent.Run(running) })
	a.end = func() error { stop(); return g.Wait() }
	a.cmd = exec.Command(program, "--directory", dir, "--log-level", "warn", handler)
	a.cmd.Stderr = os.Stderr
	a.cmd.Env = append(os.Environ(), fmt.Sprintf("GOMEMLIMIT=%d", memoryLimit))
	a.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL} // with the node's thread
	if err := a.node.Do(a.cmd.Start); err != nil {
		a.cmd = nil
		return nil, errors.Join(err, a.stop())
	}
	return a, nil
}

// stop ends the process.
func (a *alone) stop() error {
	var err error
	if a.cmd != nil {
		err = errors.Join(a.cmd.Process.Signal(unix.SIGTERM), a.cmd.Wait())
	}
	a.node.Leave()
	return errors.Join(err, a.end(), os.RemoveAll(a.dir))
}

func (a *alone) seen() string { return "report" }

func (a *alone) ask(_ context.Context, name, handler, details string) (watcher, func() error, error) {
	configuration := types.NamespacedName{Namespace: "bench", Name: name}
	a.agent.Ask(registry.Request{Configuration: configuration, UID: types.UID(name), Handler: handler,
		Request: discovery.Request{Details: details}})
	return a, func() error {
		a.agent.Drop(configuration)
		a.mu.Lock()
		defer a.mu.Unlock()
		a.reports = nil
		return nil
	}, nil
}

// count takes the reports one after the other; the one that is as wanted stays.
func (a *alone) count(ctx context.Context, is func(int) bool) (time.Time, error) {
	for {
		a.mu.Lock()
		for len(a.reports) > 0 {
			if r := a.reports[0]; is(r.devices) {
				a.mu.Unlock()
				return r.at, nil
			}
			if len(a.reports) == 1 {
				break
			}
			a.reports = a.reports[1:]
		}
		err, last := a.err, a.reports
		a.mu.Unlock()
		if err != nil {
			return time.Time{}, err
		}
		select {
		case <-ctx.Done():
			return time.Time{}, fmt.Errorf("reported is %v: %w", last, ctx.Err())
		case <-a.news:
		}
	}
}

func (a *alone) floor(context.Context, watcher) (time.Duration, error) { return 0, nil }

func (a *alone) floorOfMany(context.Context) (time.Duration, error) { return 0, nil }

// process is the handler's, which has registered.
func (a *alone) process(context.Context) (process, error) {
	return process(fmt.Sprintf("/proc/%d", a.cmd.Process.Pid)), nil
}

// report has no working set, since the process has no control group of its own.
func (a *alone) report(name string, p process) error {
	m, err := p.resident()
	if err != nil {
		return err
	}
	a.bench.report(name+"-resident", m.resident, "MiB", 0)
	a.bench.report(name+"-anonymous", m.anonymous, "MiB", 0)
	return nil
}

// Reported notes a report. See [registry.Observer].
func (a *alone) Reported(r registry.Report) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.reports = append(a.reports, counted{len(r.Devices), r.Received})
	a.poke()
	return nil
}

// Failed ends the measurement if the request can never be answered.
func (a *alone) Failed(f registry.Failure) {
	if !f.Final {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.err = f.Err
	a.poke()
}

// Lost is not waited for: the process would have ended.
func (a *alone) Lost(registry.Loss) {}

func (a *alone) poke() {
	select {
	case a.news <- struct{}{}:
	default:
	}
}
