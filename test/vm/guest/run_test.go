package guest

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/akri-go/akri/internal/eventually"
	"github.com/akri-go/akri/test/vm/wire"
)

// here is a guest that is this machine: what runs commands, without QEMU.
func here(t *testing.T) *Guest {
	t.Helper()
	server := httptest.NewServer(wire.Handler())
	t.Cleanup(server.Close)
	return &Guest{t: t, address: server.Listener.Addr().String()}
}

func shell(t *testing.T) string {
	t.Helper()
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("skipped: there is no sh on this machine")
	}
	return sh
}

func TestRun(t *testing.T) {
	g, sh := here(t), shell(t)
	if got := g.Run(t, sh, "-c", "echo out; echo err >&2"); got != "out\nerr\n" {
		t.Errorf("it prints %q", got)
	}
	for _, tt := range []struct {
		argv []string
		exit string
	}{
		{[]string{sh, "-c", "exit 3"}, "3"},
		{[]string{sh, "-c", "kill -9 $$"}, "-1"},
		{[]string{"/no/such/program"}, "fork/exec /no/such/program: no such file or directory"},
		{nil, "400 Bad Request"},
	} {
		p := g.Start(t, nil, tt.argv...)
		p.wait()
		if exit, ended := p.Ended(); !ended || exit != tt.exit {
			t.Errorf("%q: exit code %q, want %q", tt.argv, exit, tt.exit)
		}
	}
	// What it prints is there before it ends, and it ends with what it has started.
	p := g.Start(t, []string{"WORD=hello"}, sh, "-c", `echo $WORD; sleep 1000 & wait`)
	eventually.Succeeds(t, eventually.Patience, func(context.Context) error {
		if got := p.Output(); got != "hello\n" {
			return fmt.Errorf("it prints %q", got)
		}
		return nil
	})
	if _, ended := p.Ended(); ended {
		t.Error("it has ended")
	}
	p.Stop()
	if p.exit != "-1" {
		t.Errorf("it was killed, and its exit code is %q", p.exit)
	}
}

func TestDial(t *testing.T) {
	g := here(t)
	socket := filepath.Join(t.TempDir(), "s")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { // it speaks first, then echoes a line
		defer close(done)
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		fmt.Fprintln(conn, "welcome")
		line, _ := bufio.NewReader(conn).ReadString('\n')
		fmt.Fprint(conn, strings.ToUpper(line))
	}()
	conn, err := g.Dial(t.Context(), "unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintln(conn, "hello")
	lines := bufio.NewScanner(conn)
	var got []string
	for lines.Scan() {
		got = append(got, lines.Text())
	}
	if strings.Join(got, " ") != "welcome HELLO" {
		t.Errorf("got %q, %v", got, lines.Err())
	}
	<-done
	listener.Close()
	if _, err := g.Dial(t.Context(), "unix", socket); err == nil || !strings.Contains(err.Error(), "connect to "+socket+" in the guest: dial unix") {
		t.Errorf("got %v", err)
	}
}
