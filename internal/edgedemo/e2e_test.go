//go:build e2e

package edgedemo

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/akri-go/akri/internal/browsertest"
	"github.com/akri-go/akri/internal/devcluster"
	"github.com/akri-go/akri/internal/eventually"
	"github.com/akri-go/akri/internal/testlog"
)

// TestDemo runs the demo without a person, then on the same cluster with one who
// sits at a terminal and presses keys. It keeps the pictures of docs/edge.
func TestDemo(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cluster")
	t.Cleanup(func() {
		if err := devcluster.Down(context.Background(), dir, os.Stderr); err != nil {
			t.Error(err)
		}
	})
	repo, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	err = Run(t.Context(), Options{Dir: dir, Repo: repo, Out: io.MultiWriter(&out, os.Stderr)})
	if err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	for _, want := range []string{
		"akri-edge-1 notices that it cannot reach the cluster", "the cluster calls akri-edge-1 NotReady",
		"akri-edge-2 has version 2", "akri-edge-1 has no power", "its application runs again, without the cluster",
		"akri-edge-1 is connected again", "akri-edge-1 has version 2", "the demo works", "the cluster stays",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the demo does not say %q:\n%s", want, &out)
		}
	}

	terminal, screen := pty(t)
	ended := make(chan error, 1)
	go func() { ended <- Run(t.Context(), Options{Dir: dir, Repo: repo, Terminal: terminal, Out: terminal}) }()
	began := 0 // what was shown before the last key
	sees := func(what string, ok func(screen string) bool) {
		t.Helper()
		eventually.Succeeds(t, 3*time.Minute, func(context.Context) error {
			select {
			case err := <-ended:
				ended <- err
				t.Fatalf("the demo has ended: %v\n%s", err, screen)
			default:
			}
			if now := browsertest.Screen(screen.String()[began:]); !ok(now) {
				return fmt.Errorf("%s is not so:\n%s", what, now)
			}
			return nil
		})
	}
	press := func(key, then string) {
		t.Helper()
		began = len(screen.String())
		if _, err := screen.master.WriteString(key); err != nil {
			t.Fatal(err)
		}
		sees(fmt.Sprintf("after the key %q: %s", key, then), func(now string) bool { return strings.Contains(now, then) })
	}
	// Rows of the table, of both nodes.
	rows := func(of ...string) func(string) bool {
		row := regexp.MustCompile(`(?s)` + strings.Join(of, `[^\n]*\n.*`))
		return row.MatchString
	}
	photograph := func(name string) {
		t.Helper()
		browsertest.Terminal(t, name, "make demo-edge", browsertest.Screen(screen.String()))
	}
	const runs, anew = `Running 1/1, \d restarts`, `Running 1/1, 0 restarts`
	sees("the first screen", rows(`CLOUD  node +Ready +Ready`, `EDGE`, `Pod +`+runs+` +`+runs, `app +version 2 +version 2`))
	press("2", "[akri-edge-2]")
	photograph("edge-joined")
	press("c", "akri-edge-2 notices that it cannot reach the cluster")
	sees("cut off for both ends", rows(`CLOUD  node +Ready +NotReady`))
	press("u", "akri-edge-1 has version 3")
	sees("only one node is updated", rows(`EDGE`, `Pod +`+anew+` +`+runs, `app +version 3 +version 2`))
	photograph("edge-cut")
	press("p", "akri-edge-2 has no power")
	press("p", "akri-edge-2: its application runs again, without the cluster")
	photograph("edge-power")
	press("c", "akri-edge-2 is connected again")
	sees("both ends agree", rows(`CLOUD  node +Ready +Ready`, `EDGE`, `Pod +`+anew+` +`+anew, `app +version 3 +version 3`))
	photograph("edge-rejoined")
	if _, err := screen.master.WriteString("q"); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Errorf("%v", err)
	}
	eventually.Succeeds(t, eventually.Patience, func(context.Context) error {
		if s := screen.String(); !strings.Contains(s, "\x1b[?1049l") || !strings.Contains(s, "the cluster stays") {
			return fmt.Errorf("it does not leave the screen: %q", s[max(0, len(s)-500):])
		}
		return nil
	})
}

// screen is the other end of a terminal.
type screen struct {
	testlog.Buffer
	master *os.File
}

// pty opens a terminal; what is written to it is on the screen.
func pty(t *testing.T) (*os.File, *screen) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(int(master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 40, Col: 120}); err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	s := &screen{master: master}
	t.Cleanup(func() { slave.Close(); master.Close() })
	go func() { _, _ = io.Copy(s, master) }() // ends with the terminal
	return slave, s
}
