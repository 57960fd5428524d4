package guest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/akri-go/akri/internal/testlog"
	"github.com/akri-go/akri/test/vm/wire"
)

// runTimeout is how long a program may take to end.
const runTimeout = 2 * time.Minute

// Process is a program that runs in the guest.
type Process struct {
	t     testing.TB
	g     *Guest
	id    string
	name  string
	begun chan struct{} // closed when it runs, or it is known that it does not
	done  chan struct{}
	said  testlog.Buffer
	exit  string // when it is done: its exit code, or why that is not known
}

// Start starts a program with arguments and environment. It is killed when the
// test ends, unless it has ended.
func (g *Guest) Start(t testing.TB, env []string, argv ...string) *Process {
	t.Helper()
	id := strconv.FormatUint(g.commands.Add(1), 10)
	body, err := json.Marshal(wire.Command{ID: id, Argv: argv, Env: env})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+g.address+"/run", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	p := &Process{g: g, t: t, id: id, name: strings.Join(argv, " "), begun: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(p.done)
		p.exit = p.run(request)
	}()
	t.Cleanup(func() {
		cancel()
		<-p.done
	})
	return p
}

// client has a connection for each request, and leaves none behind.
func client() *http.Client { return &http.Client{Transport: &http.Transport{DisableKeepAlives: true}} }

// run returns the exit code.
func (p *Process) run(request *http.Request) string {
	answer, err := client().Do(request)
	close(p.begun)
	if err != nil {
		return err.Error()
	}
	defer answer.Body.Close()
	if _, err := io.Copy(&p.said, answer.Body); err != nil {
		return err.Error()
	}
	if answer.StatusCode != http.StatusOK {
		return answer.Status
	}
	return answer.Trailer.Get(wire.ExitTrailer)
}

// Output is what it has printed so far.
func (p *Process) Output() string { return p.said.String() }

// Ended tells whether it has ended, and how: its exit code, or why that is not known.
func (p *Process) Ended() (exit string, ended bool) {
	select {
	case <-p.done:
		return p.exit, true
	default:
		return "", false
	}
}

// Stop kills it, and waits until it has ended.
func (p *Process) Stop() {
	p.t.Helper()
	<-p.begun
	answer, err := client().Post("http://"+p.g.address+"/kill?id="+p.id, "", nil)
	if err != nil {
		p.t.Fatalf("kill %s in the guest: %v", p.name, err)
	}
	answer.Body.Close()
	p.wait()
}

// wait waits until it has ended.
func (p *Process) wait() {
	p.t.Helper()
	timer := time.NewTimer(runTimeout)
	defer timer.Stop()
	select {
	case <-p.done:
	case <-timer.C:
		p.t.Fatalf("in the guest, %s has not ended after %v:\n%s", p.name, runTimeout, p.Output())
	}
}

// Run runs a program to its end, and returns what it prints. If it fails, so does
// the test.
func (g *Guest) Run(t testing.TB, argv ...string) string {
	t.Helper()
	p := g.Start(t, nil, argv...)
	p.wait()
	if p.exit != "0" {
		t.Fatalf("in the guest, %s: exit code %s\n%s", p.name, p.exit, p.Output())
	}
	return p.Output()
}

// Dial connects to an address in the guest: of network "tcp" or "unix".
func (g *Guest) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", g.address)
	if err != nil {
		return nil, err
	}
	inner, err := upgrade(conn, network, address)
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("connect to %s in the guest: %w", address, err)
	}
	return inner, nil
}

// Forward returns an address of this machine's loopback that leads to one in the
// guest, as [Guest.Dial] does, until the test ends.
func (g *Guest) Forward(t testing.TB, network, address string) (local string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var running sync.WaitGroup
	running.Go(func() {
		for {
			outer, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() { g.join(ctx, outer, network, address) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		cancel()
		running.Wait()
	})
	return l.Addr().String()
}

// join connects a connection with an address in the guest, until one of them ends
// or ctx does.
func (g *Guest) join(ctx context.Context, outer net.Conn, network, address string) {
	defer outer.Close()
	inner, err := g.Dial(ctx, network, address)
	if err != nil {
		return // the client sees that its connection ends
	}
	end := func() {
		outer.Close()
		inner.Close()
	}
	defer context.AfterFunc(ctx, end)()
	var there sync.WaitGroup
	there.Go(func() {
		defer end()
		_, _ = io.Copy(inner, outer)
	})
	_, _ = io.Copy(outer, inner)
	end()
	there.Wait()
}

// upgrade makes a connection to the guest one to an address in it.
func upgrade(conn net.Conn, network, address string) (net.Conn, error) {
	if err := conn.SetDeadline(time.Now().Add(monitorTimeout)); err != nil {
		return nil, err
	}
	query := url.Values{"network": {network}, "address": {address}}.Encode()
	if _, err := fmt.Fprintf(conn, "GET /dial?%s HTTP/1.1\r\nHost: guest\r\n\r\n", query); err != nil {
		return nil, err
	}
	r := bufio.NewReader(conn)
	answer, err := http.ReadResponse(r, nil)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode != http.StatusSwitchingProtocols {
		why, _ := io.ReadAll(io.LimitReader(answer.Body, maxConsoleLine))
		return nil, fmt.Errorf("%s", bytes.TrimSpace(why))
	}
	return &upgraded{conn, r}, conn.SetDeadline(time.Time{})
}

// upgraded is a connection of which a part has been read already.
type upgraded struct {
	net.Conn
	r *bufio.Reader
}

func (u *upgraded) Read(p []byte) (int, error) { return u.r.Read(p) }
