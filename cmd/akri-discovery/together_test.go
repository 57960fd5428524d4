package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"k8s.io/apimachinery/pkg/types"

	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/internal/agent/registry"
	"github.com/akri-go/akri/internal/eventually"
	"github.com/akri-go/akri/internal/freeport"
	"github.com/akri-go/akri/internal/handlers/handlermetrics"
	"github.com/akri-go/akri/internal/leaktest"
)

const waitTimeout = eventually.Patience

// asked are requests that can be answered on any machine, by handler.
func asked() map[string]string {
	return map[string]string{
		"debugEcho": "descriptions: [one]",
		"udev":      `udevRules: ['KERNEL=="no such device"']`,
		"opcua":     "opcuaDiscoveryMethod: {standard: {discoveryUrls: ['opc.tcp://127.0.0.1:1/']}}",
	}
}

// One process serves several handlers: each has its socket, each registers with
// each agent, and all end together.
func TestTogether(t *testing.T) {
	leaktest.Check(t)
	dir := folder(t)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	port := freeport.Port(t)
	wg.Go(func() {
		args := []string{"udev", "-allow-node-devices", "/dev/sdz", "debugEcho", "-shared=false", "opcua",
			"-directory", dir, "-metrics-port", strconv.Itoa(port)}
		if code := run(ctx, args, func(string) string { return "" }, io.Discard, io.Discard); code != 0 {
			t.Errorf("it ended with code %d", code)
		}
	})
	for range 2 { // agents, one after the other
		o, stop := startAgent(t, dir)
		o.reports(t, dir, slices.Collect(maps.Keys(asked()))...)
		stop()
	}
	cancel()
	wg.Wait()
	if left, err := filepath.Glob(filepath.Join(dir, "*.sock")); err != nil || len(left) > 1 {
		t.Errorf("sockets %q are left (%v)", left, err)
	}
}

// A handler that cannot be served holds up no other, is told of, and is served
// when it can be. If none can, the process ends.
func TestOneFails(t *testing.T) {
	leaktest.Check(t)
	dir := folder(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	good, bad := echo("debugEcho"), echo("in/valid")
	state := newCondition([]discovery.Handler{good, bad})
	opts := []discovery.Option{discovery.WithDirectory(dir)}
	var wg sync.WaitGroup
	for _, h := range []discovery.Handler{good, bad} {
		wg.Go(func() {
			if err := state.serve(ctx, h, slog.New(slog.DiscardHandler), opts); err != nil {
				t.Errorf("%s: %v", h.Name(), err)
			}
		})
	}
	o, stop := startAgent(t, dir)
	defer stop()
	o.reports(t, dir, "debugEcho")
	eventually.Succeeds(t, waitTimeout, func(context.Context) error {
		err := state.ready()
		if err == nil || !strings.Contains(err.Error(), `"in/valid"`) || strings.Contains(err.Error(), "debugEcho") {
			return fmt.Errorf("ready: %w, want what is wrong with in/valid alone", err)
		}
		return nil
	})
	state.accepted("in/valid")
	if err := state.ready(); err != nil {
		t.Errorf("when both are accepted: %v", err)
	}
	cancel()
	wg.Wait()

	var metrics handlermetrics.Metrics
	err := serve(t.Context(), settings{directory: dir}, []discovery.Handler{bad, echo("an/other")}, slog.New(slog.DiscardHandler), &metrics)
	if err == nil || !strings.Contains(err.Error(), "serve handler") {
		t.Errorf("no handler can be served: %v", err)
	}
}

// echo is a handler that reports nothing.
type echo string

func (e echo) Name() string { return string(e) }
func (echo) Shared() bool   { return false }
func (echo) Discover(ctx context.Context, _ discovery.Request, report func([]discovery.Device) error) error {
	if err := report(nil); err != nil {
		return err
	}
	<-ctx.Done()
	return ctx.Err()
}

// folder is a folder whose path is short enough for sockets.
func folder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "akri")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// startAgent starts the agent's side and asks all handlers of [asked].
func startAgent(t *testing.T, dir string) (*observer, func()) {
	t.Helper()
	o := &observer{endpoints: map[string]bool{}}
	agent, err := registry.New(registry.Options{Dir: dir, Observer: o, SocketGID: os.Getgid()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := agent.Run(ctx); err != nil {
			t.Error(err)
		}
	}()
	for name, details := range asked() {
		agent.Ask(registry.Request{Configuration: types.NamespacedName{Namespace: "default", Name: strings.ToLower(name)},
			Handler: name, Request: discovery.Request{Details: details}})
	}
	return o, func() { cancel(); <-done }
}

// observer remembers which endpoints have reported.
type observer struct {
	mu        sync.Mutex
	endpoints map[string]bool
}

func (o *observer) Reported(r registry.Report) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.endpoints[r.Endpoint] = true
	return nil
}
func (*observer) Failed(registry.Failure) {}
func (*observer) Lost(registry.Loss)      {}

// reports waits until each handler has reported from its socket.
func (o *observer) reports(t *testing.T, dir string, handlers ...string) {
	t.Helper()
	eventually.Succeeds(t, waitTimeout, func(context.Context) error {
		o.mu.Lock()
		defer o.mu.Unlock()
		var missing []error
		for _, name := range handlers {
			if !o.endpoints[filepath.Join(dir, name+".sock")] {
				missing = append(missing, fmt.Errorf("%s has not reported", name))
			}
		}
		return errors.Join(missing...)
	})
}
