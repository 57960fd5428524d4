//go:build integration

package onvif_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/internal/eventually"
	"github.com/akri-go/akri/internal/handlers/onvif"
	"github.com/akri-go/akri/samples/simulators/camera/simulator"
)

// insideEnv says that this process is the one with a network of its own.
const insideEnv = "AKRI_TEST_ONVIF_INSIDE"

// TestMain runs the tests in a network namespace of their own: the node, with an
// interface eth0 at 10.99.0.1/24. The cameras are in another, at the other end of
// it. Nothing of the machine's network is touched.
func TestMain(m *testing.M) {
	if os.Getenv(insideEnv) != "" {
		// Tests do not run on this thread, so that it stays in the node's namespace:
		// it is the one that /proc/<pid> stands for.
		runtime.LockOSThread()
		os.Exit(m.Run())
	}
	if os.Getuid() != 0 {
		fmt.Println("SKIP: needs root to make network namespaces")
		return
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), insideEnv+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &unix.SysProcAttr{Cloneflags: unix.CLONE_NEWNET, Pdeathsig: unix.SIGKILL}
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		os.Exit(exit.ExitCode())
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// street is the network namespace with the cameras. What opens sockets there
// must run there.
type street struct {
	work chan func()
}

// newStreet makes the namespace and the cable to it, and takes both away at the
// end.
func newStreet(t *testing.T) *street {
	t.Helper()
	s := &street{work: make(chan func())}
	ready := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with its namespace
		ready <- unix.Unshare(unix.CLONE_NEWNET)
		for f := range s.work {
			f()
		}
	}()
	t.Cleanup(func() { close(s.work) })
	if err := <-ready; err != nil {
		t.Fatal(err)
	}
	s.in(func() {
		ip(t, "link", "set", "lo", "up")
		ip(t, "link", "add", "cable", "type", "veth", "peer", "name", "eth0", "netns", fmt.Sprint(os.Getpid()))
		writeFile(t, "/proc/sys/net/ipv6/conf/cable/accept_dad", "0")
		ip(t, "link", "set", "cable", "up")
		ip(t, "addr", "add", "10.99.0.2/24", "dev", "cable")
		for n := range 8 {
			ip(t, "addr", "add", fmt.Sprintf("10.99.0.%d/24", 11+n), "dev", "cable")
		}
	})
	t.Cleanup(func() { s.in(func() { ip(t, "link", "del", "cable") }) })
	ip(t, "link", "set", "lo", "up")
	if t.Failed() {
		t.FailNow()
	}
	writeFile(t, "/proc/sys/net/ipv6/conf/eth0/accept_dad", "0")
	ip(t, "addr", "add", "10.99.0.1/24", "dev", "eth0")
	ip(t, "link", "set", "eth0", "up")
	eventually.Succeeds(t, 20*time.Second, func(ctx context.Context) error { // IPv6 takes a moment
		out, err := exec.CommandContext(ctx, "ip", "-6", "addr", "show", "dev", "eth0", "scope", "link").CombinedOutput()
		if err != nil || !strings.Contains(string(out), "fe80::") || strings.Contains(string(out), "tentative") {
			return fmt.Errorf("no address of the link on eth0: %s %v", out, err)
		}
		return nil
	})
	return s
}

// in runs f where the cameras are, and waits for it.
func (s *street) in(f func()) {
	done := make(chan struct{})
	s.work <- func() { defer close(done); f() }
	<-done
}

// cameras starts cameras at 10.99.0.11 and so on.
func (s *street) cameras(t *testing.T, n int, o simulator.Options) *simulator.Simulator {
	t.Helper()
	for i := range n {
		o.Addresses = append(o.Addresses, netip.AddrFrom4([4]byte{10, 99, 0, byte(11 + i)}))
	}
	o.Port, o.NoRTSP, o.MaxDelay = 80, true, 20*time.Millisecond
	var sim *simulator.Simulator
	s.in(func() {
		var err error
		if sim, err = simulator.New(o); err == nil {
			err = sim.Start()
		}
		if err != nil {
			t.Error(err)
		}
	})
	if t.Failed() {
		t.FailNow()
	}
	t.Cleanup(func() { s.in(func() { _ = sim.Close() }) })
	return sim
}

func ip(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		t.Errorf("ip %s: %v: %s", strings.Join(args, " "), err, out)
	}
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Error(err)
	}
}

// logBook is a log that tests read.
type logBook struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *logBook) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *logBook) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// watched is a request that is being answered.
type watched struct {
	t   *testing.T
	log *logBook

	mu      sync.Mutex
	last    discovery.Report
	reports int
	dropped map[string]int
	err     error
}

// watch asks a new handler.
func watch(t *testing.T, req discovery.Request) *watched {
	t.Helper()
	return watchWith(t, req, onvif.Options{})
}

func watchWith(t *testing.T, req discovery.Request, o onvif.Options) *watched {
	t.Helper()
	w := &watched{t: t, log: &logBook{}, dropped: map[string]int{}}
	o.Log = slog.New(slog.NewTextHandler(io.MultiWriter(w.log, t.Output()), nil))
	o.Dropped = func(why string) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.dropped[why]++
	}
	h := onvif.New(o)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		err := h.Explain(ctx, req, func(r discovery.Report) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.last, w.reports = r, w.reports+1
			return nil
		})
		w.mu.Lock()
		defer w.mu.Unlock()
		w.err = err
	}()
	t.Cleanup(func() { cancel(); <-done })
	return w
}

// until waits for a report that check is content with.
func (w *watched) until(check func(discovery.Report) error) discovery.Report {
	w.t.Helper()
	var r discovery.Report
	eventually.Succeeds(w.t, 40*time.Second, func(context.Context) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		r = w.last
		if w.err != nil {
			return fmt.Errorf("it has ended: %w", w.err)
		}
		if w.reports == 0 {
			return errors.New("nothing is reported yet")
		}
		if err := check(r); err != nil {
			return fmt.Errorf("%w; the report is %+v", err, r)
		}
		return nil
	})
	return r
}

// devices waits for a report of just these cameras, and returns it.
func (w *watched) devices(want ...*simulator.Camera) discovery.Report {
	w.t.Helper()
	return w.until(func(r discovery.Report) error {
		if got, want := idsOf(r), uuids(want...); !slices.Equal(got, want) {
			return fmt.Errorf("devices %q, want %q", got, want)
		}
		return nil
	})
}

// note waits for a note with all of these words.
func (w *watched) note(words ...string) {
	w.t.Helper()
	w.until(func(r discovery.Report) error {
		for _, word := range words {
			if !strings.Contains(r.Note, word) {
				return fmt.Errorf("the note lacks %q", word)
			}
		}
		return nil
	})
}

func idsOf(r discovery.Report) (ids []string) {
	for _, d := range r.Devices {
		ids = append(ids, d.ID)
	}
	slices.Sort(ids)
	return ids
}

func uuids(cameras ...*simulator.Camera) (ids []string) {
	for _, c := range cameras {
		ids = append(ids, c.UUID)
	}
	slices.Sort(ids)
	return ids
}
