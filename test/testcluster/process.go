package testcluster

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// ProcessesOf returns the processes of Pods on all nodes, by a prefix of their
// names and the Pods' UIDs, which are in the names of their cgroups.
func ProcessesOf(name string, uids ...string) ([]int, error) {
	groups, err := filepath.Glob("/proc/[0-9]*/cgroup")
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, file := range groups {
		group, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		comm, err := os.ReadFile(filepath.Join(filepath.Dir(file), "comm"))
		if err != nil || !strings.HasPrefix(string(comm), name) {
			continue
		}
		if !slices.ContainsFunc(uids, func(uid string) bool { return strings.Contains(string(group), uid) }) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err != nil {
			return nil, err
		}
		pids = append(pids, pid)
	}
	return pids, nil
}

// EnvironmentOf returns the environment of the one process of a Pod whose name
// begins so, as the kernel has it.
func EnvironmentOf(name, uid string) (map[string]string, error) {
	pids, err := ProcessesOf(name, uid)
	if err != nil {
		return nil, err
	}
	if len(pids) != 1 {
		return nil, fmt.Errorf("%d processes %s, want 1", len(pids), name)
	}
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pids[0]))
	if err != nil {
		return nil, err
	}
	env := map[string]string{}
	for _, variable := range strings.Split(string(raw), "\x00") {
		if name, value, ok := strings.Cut(variable, "="); ok {
			env[name] = value
		}
	}
	return env, nil
}

// Foreign is test/foreignhandler, a discovery handler that does not use our
// SDK, as a process on a node. It takes commands.
type Foreign struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	mu    sync.Mutex
	facts []string
	ended chan struct{}
}

// ForeignOptions says which handler to start.
type ForeignOptions struct {
	Node    int // counted from 1; 0 means 1
	Name    string
	Shared  bool
	Devices []string // ids to begin with
	By      []string // a command to start it with, setpriv for instance
	Address string   // host:port to listen at instead of a socket
}

// StartForeign starts a handler. It is gone after the test.
func (b *Bed) StartForeign(t *testing.T, o ForeignOptions) *Foreign {
	t.Helper()
	program := b.foreignProgram(t)
	argv := append(slices.Clone(o.By), program, "-directory", "/var/lib/akri", "-name", o.Name, "-retry", "500ms",
		"-shared="+strconv.FormatBool(o.Shared), "-devices", strings.Join(o.Devices, ","), "-address", o.Address)
	cmd, err := b.Command(context.Background(), max(o.Node, 1), argv...)
	if err != nil {
		t.Fatal(err)
	}
	f := &Foreign{cmd: cmd, ended: make(chan struct{})}
	if f.in, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(f.ended)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			f.mu.Lock()
			f.facts = append(f.facts, lines.Text())
			f.mu.Unlock()
		}
		cmd.Wait()
	}()
	t.Cleanup(f.Kill)
	return f
}

// foreignProgram returns the path of the handler, which the first test builds.
func (b *Bed) foreignProgram(t *testing.T) string {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	program := filepath.Join(b.Programs, "foreignhandler")
	if _, err := os.Stat(program); err == nil {
		return program
	}
	out, err := exec.Command("go", "build", "-o", program, filepath.Join(b.Repo, "test", "foreignhandler")).CombinedOutput()
	if err != nil {
		t.Fatalf("build the foreign handler: %v: %s", err, out)
	}
	return program
}

// Kill ends the process with SIGKILL: it cannot clean up.
func (f *Foreign) Kill() {
	f.cmd.Process.Signal(syscall.SIGKILL)
	<-f.ended
}

// Do gives commands, and waits until each has been carried out.
func (f *Foreign) Do(t *testing.T, commands ...string) {
	t.Helper()
	for _, c := range commands {
		before := f.answers()
		if _, err := io.WriteString(f.in, c+"\n"); err != nil {
			t.Fatalf("tell the foreign handler %q: %v", c, err)
		}
		Eventually(t, WaitTimeout, func(context.Context) error {
			if f.answers() == before {
				return fmt.Errorf("the handler has not answered %.80q", c)
			}
			return nil
		})
	}
}

// answers returns how many commands have been answered.
func (f *Foreign) answers() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, fact := range f.facts {
		if strings.HasPrefix(fact, "done ") || strings.HasPrefix(fact, "error ") {
			n++
		}
	}
	return n
}

// Says complains unless the handler has reported a fact that starts with these
// words.
func (f *Foreign) Says(fact string) Check {
	return func(context.Context) error {
		f.mu.Lock()
		defer f.mu.Unlock()
		for _, s := range f.facts {
			if strings.HasPrefix(s, fact) {
				return nil
			}
		}
		return fmt.Errorf("the handler said %q, want %q", f.facts, fact)
	}
}
