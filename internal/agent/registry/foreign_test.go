package registry

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/akri-go/akri/internal/gobuild"
)

// foreign is a process of test/foreignhandler.
type foreign struct {
	t     *testing.T
	cmd   *exec.Cmd
	in    io.Writer
	facts chan string
	told  []string    // facts that nobody has waited for yet
	done  chan string // answers to commands
}

func buildForeign(t *testing.T) string {
	t.Helper()
	return gobuild.Program(t, "github.com/akri-go/akri/test/foreignhandler")
}

func startForeign(t *testing.T, binary string, args ...string) *foreign {
	t.Helper()
	return startForeignAs(t, nil, binary, args...)
}

func startForeignAs(t *testing.T, who *syscall.SysProcAttr, binary string, args ...string) *foreign {
	t.Helper()
	f := &foreign{t: t, cmd: exec.Command(binary, append(args, "-retry", "50ms")...), facts: make(chan string, 1000), done: make(chan string, 1)}
	f.cmd.Stderr = os.Stderr
	f.cmd.SysProcAttr = who
	in, err := f.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	f.in = in
	out, err := f.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := f.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		scanner := bufio.NewScanner(out)
		for scanner.Scan() {
			fact := scanner.Text()
			if strings.HasPrefix(fact, "done") || strings.HasPrefix(fact, "error") {
				f.done <- fact
				continue
			}
			f.facts <- fact
		}
		close(f.facts)
	}()
	t.Cleanup(f.kill)
	return f
}

func (f *foreign) kill() {
	f.cmd.Process.Kill()
	f.cmd.Wait()
}

func (f *foreign) do(format string, args ...any) {
	f.t.Helper()
	if _, err := fmt.Fprintf(f.in, format+"\n", args...); err != nil {
		f.t.Fatal(err)
	}
	select {
	case answer := <-f.done:
		if strings.HasPrefix(answer, "error") {
			f.t.Fatalf("%s: %s", format, answer)
		}
	case <-time.After(waitTimeout):
		f.t.Fatalf("%s: no answer within %s", format, waitTimeout)
	}
}

// says waits for a fact that begins so, which may have been told before others
// that were waited for.
func (f *foreign) says(prefix string) string {
	f.t.Helper()
	timeout := time.After(waitTimeout)
	for {
		for i, fact := range f.told {
			if strings.HasPrefix(fact, prefix) {
				f.told = slices.Delete(f.told, i, i+1)
				return fact
			}
		}
		select {
		case fact, ok := <-f.facts:
			if !ok {
				f.t.Fatalf("the process ended, it said %q", f.told)
			}
			f.told = append(f.told, fact)
		case <-timeout:
			f.t.Fatalf("waited %s for %q, it said %q", waitTimeout, prefix, f.told)
		}
	}
}

func TestForeignHandler(t *testing.T) {
	binary := buildForeign(t)
	t.Run("socket", func(t *testing.T) { testForeignHandler(t, binary) })
	t.Run("network", func(t *testing.T) { testForeignHandlerOverNetwork(t, binary) })
}

func testForeignHandler(t *testing.T, binary string) {
	dir := shortDir(t)
	socket := filepath.Join(dir, "foreign.sock")
	a := startAgent(t, dir, nil)
	a.Ask(requestOf("c", "foreign", "what is there?"))
	f := startForeign(t, binary, "-directory", dir)
	f.says("registered")
	if got, want := f.says("asked"), `asked "what is there?"`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	f.do("add first NAME=value")
	a.o.devices(t, "c", socket, "first")
	f.do("add second node:/dev/null")
	a.o.devices(t, "c", socket, "first", "second")

	// Bad devices hurt only themselves.
	f.do("add %q", "with\nnewline")
	f.do("add %s", strings.Repeat("x", 10<<10))
	f.do("add first NAME=other")
	f.do("add thief node:/etc/shadow")
	f.do("add id/with/slashes")
	a.o.devices(t, "c", socket, "first", "id/with/slashes", "second")
	a.o.until(t, "what was refused", func() bool {
		err := a.o.reports["c "+socket].Refused
		return err != nil && strings.Contains(err.Error(), "control characters") && strings.Contains(err.Error(), "10240 bytes") &&
			strings.Contains(err.Error(), "more than once") && strings.Contains(err.Error(), "/etc/shadow")
	})

	// Too many devices: the report is ignored, the state before stays.
	f.do("flood 100000")
	a.o.failure(t, "c", socket, "100007 devices")
	a.o.devices(t, "c", socket, "first", "id/with/slashes", "second")
	f.do("clear")
	a.o.devices(t, "c", socket)

	// It disappears and comes back.
	f.do("add third")
	a.o.devices(t, "c", socket, "third")
	f.do("leave")
	a.o.failure(t, "c", socket, "cannot connect")
	f.do("return")
	a.o.devices(t, "c", socket, "third")
	f.do("end")
	a.o.until(t, "another loss", func() bool { return a.o.lost["c "+socket] == 2 })
	a.o.devices(t, "c", socket, "third")

	// It is killed, and another takes its place.
	f.kill()
	a.o.failure(t, "c", socket, "connection refused")
	f = startForeign(t, binary, "-directory", dir, "-devices", "fourth")
	a.o.devices(t, "c", socket, "fourth")

	// The agent restarts; the handler notices by its stream.
	a.stop()
	f.says("dropped")
	a = startAgent(t, dir, nil)
	a.Ask(requestOf("c", "foreign", "again"))
	a.o.devices(t, "c", socket, "fourth")

	// A mix of shared and local devices is refused.
	other := startForeign(t, binary, "-directory", dir, "-socket", filepath.Join(dir, "other.sock"), "-shared")
	if got := other.says("refused"); !strings.Contains(got, "FailedPrecondition") || !strings.Contains(got, "mix") {
		t.Errorf("got %s", got)
	}

	// A request that is refused.
	f.do("refuse I do not know that")
	a.Ask(requestOf("d", "foreign", "x"))
	a.o.failure(t, "d", socket, "I do not know that")
}

func testForeignHandlerOverNetwork(t *testing.T, binary string) {
	dir := shortDir(t)
	a := startAgent(t, dir, nil)
	a.Ask(requestOf("c", "foreign", ""))
	f := startForeign(t, binary, "-directory", dir, "-address", "127.0.0.1:0", "-devices", "camera")
	address := strings.TrimPrefix(f.says("listening"), "listening ")
	a.o.devices(t, "c", "http://"+strings.TrimPrefix(address, "http://"), "camera")
}
