package bounded

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/akri-go/akri/internal/leaktest"
)

// serve serves until the test ends.
func serve(t *testing.T, limits Limits, s *http.Server) *Listener {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	l, err := Listen(ctx, "127.0.0.1:0", limits)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, l, s) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if len(l.open) > 0 {
			t.Errorf("%d connections still count", len(l.open))
		}
	})
	return l
}

// dial connects from an address of the loopback.
func dial(t *testing.T, l *Listener, from string) net.Conn {
	t.Helper()
	c, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}).Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// ask sends a request and reads its answer.
func ask(c net.Conn) error {
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		return err
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return errors.Join(err, resp.Body.Close())
}

// A thousand connections that say nothing, of one stranger and of many, keep
// nobody out.
func TestFlood(t *testing.T) {
	leaktest.Check(t)
	l := serve(t, Limits{Connections: 32}, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") })})
	for i := range 1000 {
		from := "127.0.0.2"
		if i >= 500 {
			from = fmt.Sprintf("127.0.1.%d", i%200+1)
		}
		dial(t, l, from)
		if i%100 == 99 {
			if err := ask(dial(t, l, "127.0.0.1")); err != nil {
				t.Errorf("after %d: %v", i+1, err)
			}
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.open); n > 32 {
		t.Errorf("%d connections are open", n)
	}
}

// Who is being served is not thrown out by who is not.
func TestBusyStays(t *testing.T) {
	leaktest.Check(t)
	at, release := make(chan struct{}), make(chan struct{})
	l := serve(t, Limits{Connections: 4}, &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		close(at)
		<-release
	})})
	served := make(chan error, 1)
	mine := dial(t, l, "127.0.0.1")
	go func() { served <- ask(mine) }()
	<-at
	for i := range 50 {
		dial(t, l, fmt.Sprintf("127.0.2.%d", i+1))
		dial(t, l, "127.0.0.1")
	}
	close(release)
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// What takes too long to come, or is too long, is cut off.
func TestSlow(t *testing.T) {
	leaktest.Check(t)
	s := &http.Server{ReadHeaderTimeout: 50 * time.Millisecond, ReadTimeout: 50 * time.Millisecond, IdleTimeout: 50 * time.Millisecond,
		Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })}
	l := serve(t, Limits{}, s)
	for _, sent := range []string{"", "GET", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n1", "GET / HTTP/1.1\r\nHost: x\r\n\r\n"} {
		c := dial(t, l, "127.0.0.1")
		if _, err := io.WriteString(c, sent); err != nil {
			t.Fatal(err)
		}
		if err := c.SetReadDeadline(time.Now().Add(2 * time.Minute)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("after %q it stays open", sent)
		}
	}
	if s.MaxHeaderBytes == 0 || s.WriteTimeout == 0 || s.HTTP2.MaxReceiveBufferPerConnection == 0 || s.HTTP2.MaxConcurrentStreams == 0 {
		t.Errorf("unbounded: %+v", s)
	}
}

// Serve returns when what is under way has ended, not before.
func TestServeWaits(t *testing.T) {
	leaktest.Check(t)
	ctx, cancel := context.WithCancel(t.Context())
	l, err := Listen(ctx, "127.0.0.1:0", Limits{})
	if err != nil {
		t.Fatal(err)
	}
	at, release := make(chan struct{}), make(chan struct{})
	finished := false
	done := make(chan error, 1)
	go func() {
		done <- Serve(ctx, l, &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			close(at)
			<-release
			finished = true
		})})
	}()
	asked := make(chan error, 1)
	c := dial(t, l, "127.0.0.1")
	go func() { asked <- ask(c) }()
	<-at
	cancel()
	select {
	case err := <-done:
		t.Fatalf("it returned before: %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	close(release)
	if err := <-done; err != nil || !finished {
		t.Errorf("%v, the request has ended: %v", err, finished)
	}
	if err := <-asked; err != nil {
		t.Error(err)
	}
	again, err := Listen(t.Context(), l.Addr().String(), Limits{})
	if err != nil {
		t.Fatalf("the address is not free: %v", err)
	}
	again.Close()
}

// A listener of any kind, and peers of any kind.
func TestUnix(t *testing.T) {
	inner, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	l := NewListener(inner, Limits{Connections: 3, PerPeer: 1, Peer: func(net.Conn) string { return "one" }})
	defer l.Close()
	accepted := make(chan net.Conn)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				close(accepted)
				return
			}
			accepted <- c
		}
	}()
	open := func() net.Conn {
		c, err := net.Dial("unix", inner.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	open()
	first := <-accepted
	if _, ok := first.(interface{ NetConn() net.Conn }).NetConn().(*net.UnixConn); !ok {
		t.Error("the connection itself is not to be had")
	}
	if _, err := open().Read(make([]byte, 1)); err == nil {
		t.Error("one that is too many is not closed")
	}
	first.Close()
	open()
	(<-accepted).Close()
}

// A connection that is released leaves room, whatever is around it.
func TestRelease(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := NewListener(inner, Limits{Connections: 1, PerPeer: 1})
	defer l.Close()
	for range 3 {
		client := dial(t, l, "127.0.0.1")
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		l.Release(tls.Server(c, &tls.Config{}))
		if len(l.open) != 0 {
			t.Fatalf("%d connections count", len(l.open))
		}
		if _, err := c.Write([]byte("x")); err != nil {
			t.Error(err)
		}
		if _, err := client.Read(make([]byte, 1)); err != nil {
			t.Errorf("it is closed: %v", err)
		}
	}
	l.Release(nil) // none of its own
}

// A connection counts for who it is, as soon as that is known.
func TestKnown(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	names := map[net.Conn]string{}
	l := NewListener(inner, Limits{Connections: 8, PerPeer: 3, Known: func(c net.Conn) string { return names[c] }})
	defer l.Close()
	accept := func(name string) net.Conn {
		dial(t, l, "127.0.0.1")
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		names[c] = name
		l.ConnState(c, http.StateNew)
		return c
	}
	peers := func(want string) {
		t.Helper()
		got := ""
		for _, c := range l.open {
			got += c.peer + " "
		}
		if got != want {
			t.Errorf("open are %s, want %s", got, want)
		}
	}
	a := accept("a")
	l.ConnState(a, http.StateActive)
	names[a] = "x"
	l.ConnState(a, http.StateIdle)
	l.ConnState(a, http.StateActive) // it is known
	for range 4 {
		l.ConnState(accept("b"), http.StateActive)
	}
	peers("a b b b ") // one of b is too many, and all are busy
	for range 4 {
		accept("c")
	}
	peers("a b b b 127.0.0.1 127.0.0.1 127.0.0.1 ") // as strangers they have three places
	l.ConnState(l.open[4], http.StateActive)
	peers("a b b b c 127.0.0.1 127.0.0.1 ")
}

func TestGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGate(3, 2)
		var mu sync.Mutex
		var order string
		leaves := map[string]func(){}
		enter := func(name string) {
			go func() {
				leave, err := g.Enter(t.Context(), name[:1])
				if err != nil {
					return
				}
				mu.Lock()
				defer mu.Unlock()
				order += name + " "
				leaves[name] = leave
			}()
			synctest.Wait()
		}
		leave := func(name string) {
			mu.Lock()
			f := leaves[name]
			mu.Unlock()
			f()
			f() // twice is once
			synctest.Wait()
		}
		for _, name := range []string{"a1", "a2", "a3", "a4", "b1", "c1", "b2"} {
			enter(name)
		}
		if order != "a1 a2 b1 " {
			t.Errorf("in are %s", order)
		}
		leave("a1") // c has nothing inside, a and b have
		leave("a2")
		leave("b1")
		leave("c1")
		if order != "a1 a2 b1 c1 a3 b2 a4 " {
			t.Errorf("they came in as %s", order)
		}
		enter("d1")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := g.Enter(ctx, "e"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("with all places taken: %v", err)
		}
		for _, name := range []string{"a3", "b2", "a4", "d1"} {
			leave(name)
		}
		if g.total != 0 || len(g.inside) != 0 || len(g.waiting) != 0 {
			t.Errorf("at the end %d inside, %v, %d wait", g.total, g.inside, len(g.waiting))
		}
	})
}

// Who finds no place is told when to try again.
func TestNoPlace(t *testing.T) {
	g := NewGate(1, 1)
	leave, err := g.Enter(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	handler := g.Handler(time.Millisecond, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	for _, want := range []int{http.StatusServiceUnavailable, http.StatusOK} {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
		if after := w.Header().Get("Retry-After"); w.Code != want || (after != "") != (want != http.StatusOK) {
			t.Errorf("%d, want %d; Retry-After %q", w.Code, want, after)
		}
		leave()
	}
}

func TestContainerLimit(t *testing.T) {
	file := func(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s + "\n")} }
	for name, tt := range map[string]struct {
		files fstest.MapFS
		want  int64
	}{
		"nothing is known": {fstest.MapFS{}, 0},
		"version 2, in a container": {fstest.MapFS{
			"proc/self/cgroup": file("0::/"), "sys/fs/cgroup/memory.max": file("134217728")}, 134217728},
		"version 2, no limit": {fstest.MapFS{
			"proc/self/cgroup": file("0::/"), "sys/fs/cgroup/memory.max": file("max")}, 0},
		"version 2, the least of all above": {fstest.MapFS{
			"proc/self/cgroup": file("0::/a/b"), "sys/fs/cgroup/a/b/memory.max": file("max"), "sys/fs/cgroup/a/memory.max": file("1000")}, 1000},
		"version 2, the path is the host's": {fstest.MapFS{
			"proc/self/cgroup": file("0::/kubepods/pod1/c"), "sys/fs/cgroup/memory.max": file("2000")}, 2000},
		"version 2, a path above the container's": {fstest.MapFS{
			"proc/self/cgroup": file("0::/../c"), "sys/fs/cgroup/memory.max": file("2000")}, 2000},
		"version 1": {fstest.MapFS{
			"proc/self/cgroup":                                 file("5:cpu,cpuacct:/\n4:memory:/kubepods/c\n0::/"),
			"sys/fs/cgroup/memory/memory.limit_in_bytes":       file("3000"),
			"sys/fs/cgroup/memory/other/memory.limit_in_bytes": file("1")}, 3000},
		"version 1, no limit": {fstest.MapFS{
			"proc/self/cgroup": file("4:memory:/"), "sys/fs/cgroup/memory/memory.limit_in_bytes": file("9223372036854771712")}, 0},
		"nonsense": {fstest.MapFS{"proc/self/cgroup": file("x\n0::/"), "sys/fs/cgroup/memory.max": file("-5")}, 0},
	} {
		if got := containerLimit(tt.files); got != tt.want {
			t.Errorf("%s: %d, want %d", name, got, tt.want)
		}
	}
}

// What the user says counts.
func TestMemory(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	defer debug.SetMemoryLimit(before)
	if got := Memory(func(string) string { return "1GiB" }); got != 0 || debug.SetMemoryLimit(-1) != before {
		t.Errorf("GOMEMLIMIT is set, and so is %d", got)
	}
	limit := containerLimit(os.DirFS("/"))
	got := Memory(func(string) string { return "" })
	if want := limit / 10 * 9; got != want || limit > 0 && debug.SetMemoryLimit(-1) != want {
		t.Errorf("the container has %d: set %d, the runtime has %d", limit, got, debug.SetMemoryLimit(-1))
	}
}
