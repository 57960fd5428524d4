package registry

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/internal/eventually"
	"github.com/akri-go/akri/internal/handlers/debugecho"
)

// waitTimeout is how long these tests, which run real processes, wait for what
// must happen.
const waitTimeout = eventually.Patience

// await waits until condition, which is asked after each change, holds.
type await struct {
	mu      sync.Mutex
	changed chan struct{}
	reports map[string]Report  // by configuration and endpoint
	fails   map[string]Failure // likewise
	lost    map[string]int
}

func newAwait() *await {
	return &await{changed: make(chan struct{}), reports: map[string]Report{}, fails: map[string]Failure{}, lost: map[string]int{}}
}

func (o *await) update(do func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	do()
	close(o.changed)
	o.changed = make(chan struct{})
}

func (o *await) Reported(r Report) error {
	o.update(func() {
		key := r.Configuration.Name + " " + r.Endpoint
		o.reports[key] = r
		delete(o.fails, key)
		delete(o.fails, r.Configuration.Name+" ")
	})
	return nil
}

func (o *await) Failed(f Failure) {
	o.update(func() { o.fails[f.Configuration.Name+" "+f.Endpoint] = f })
}

func (o *await) Lost(l Loss) {
	c, endpoint := l.Configuration, l.Endpoint
	o.update(func() {
		delete(o.reports, c.Name+" "+endpoint)
		delete(o.fails, c.Name+" "+endpoint)
		o.lost[c.Name+" "+endpoint]++
	})
}

func (o *await) until(t *testing.T, what string, condition func() bool) {
	t.Helper()
	timeout := time.After(waitTimeout)
	for {
		o.mu.Lock()
		ok, changed := condition(), o.changed
		o.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-changed:
		case <-timeout:
			o.mu.Lock()
			defer o.mu.Unlock()
			t.Fatalf("waited %s for: %s\nreports %v\nfailures %v\nlost %v", waitTimeout, what, o.reports, o.fails, o.lost)
		}
	}
}

// devices waits until an endpoint reports these ids.
func (o *await) devices(t *testing.T, configuration, endpoint string, ids ...string) {
	t.Helper()
	o.until(t, fmt.Sprintf("%s reports %q", endpoint, ids), func() bool {
		r, ok := o.reports[configuration+" "+endpoint]
		var got []string
		for _, d := range r.Devices {
			got = append(got, d.ID)
		}
		slices.Sort(got)
		return ok && slices.Equal(got, ids)
	})
}

func (o *await) failure(t *testing.T, configuration, endpoint, text string) {
	t.Helper()
	o.until(t, fmt.Sprintf("%s fails with %q", endpoint, text), func() bool {
		f, ok := o.fails[configuration+" "+endpoint]
		return ok && strings.Contains(f.Err.Error(), text)
	})
}

// agent is a running registry.
type agent struct {
	*Registry
	o    *await
	dir  string
	stop func()
}

func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "akri") // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func startAgent(t *testing.T, dir string, change func(*Options)) *agent {
	t.Helper()
	a := &agent{o: newAwait(), dir: dir}
	options := Options{Dir: dir, Observer: a.o, SocketGID: os.Getgid()}
	if change != nil {
		change(&options)
	}
	var err error
	if a.Registry, err = New(options); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := a.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	}()
	a.stop = sync.OnceFunc(func() { cancel(); <-ended })
	t.Cleanup(a.stop)
	return a
}

// says waits until the agent says this of why handlers cannot register; "" means
// that they can.
func (a *agent) says(t *testing.T, text string) {
	t.Helper()
	timeout := time.After(waitTimeout)
	for {
		err := a.Serving()
		if text == "" && err == nil || text != "" && err != nil && strings.Contains(err.Error(), text) {
			return
		}
		select {
		case <-timeout:
			t.Fatalf("it says %v, want %q", err, text)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// serve runs a handler of our SDK.
func serve(t *testing.T, dir string, h discovery.Handler, opts ...discovery.Option) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := discovery.Serve(ctx, h, append(opts, discovery.WithDirectory(dir))...); err != nil {
			t.Errorf("Serve: %v", err)
		}
	}()
	stop = sync.OnceFunc(func() { cancel(); <-ended })
	t.Cleanup(stop)
	return stop
}

func echo(t *testing.T, dir string) (h discovery.Handler, offline func(bool)) {
	file := filepath.Join(dir, "availability.txt")
	return debugecho.New(debugecho.Options{AvailabilityFile: file}), func(off bool) {
		text := "ONLINE"
		if off {
			text = "OFFLINE"
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
