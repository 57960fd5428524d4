package wire

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// runner runs commands.
type runner struct {
	mu    sync.Mutex
	kills map[string]func() // by id, of those that run
}

// Handler answers as the first process of a guest does.
func Handler() http.Handler {
	r := &runner{kills: map[string]func(){}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /run", r.run)
	mux.HandleFunc("POST /kill", func(_ http.ResponseWriter, q *http.Request) {
		r.mu.Lock()
		defer r.mu.Unlock()
		if kill := r.kills[q.FormValue("id")]; kill != nil {
			kill()
		}
	})
	mux.HandleFunc("GET /dial", dial)
	return mux
}

const maxCommandBytes = 64 << 10

// run runs a command; see package
func (r *runner) run(w http.ResponseWriter, q *http.Request) {
	var c Command
	// To its end: only then does the server see that the client is gone.
	body, err := io.ReadAll(http.MaxBytesReader(w, q.Body, maxCommandBytes))
	if err == nil {
		err = json.Unmarshal(body, &c)
	}
	if err != nil || len(c.Argv) == 0 {
		http.Error(w, fmt.Sprintf("not a command: %v", err), http.StatusBadRequest)
		return
	}
	w.Header().Set("Trailer", ExitTrailer)
	out := &flushed{w: w, rc: http.NewResponseController(w)}
	cmd := exec.CommandContext(q.Context(), c.Argv[0], c.Argv[1:]...)
	cmd.Env = append([]string{"PATH=/bin", "HOME=/tmp"}, c.Env...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	if err := r.start(c.ID, cmd); err != nil {
		w.Header().Set(ExitTrailer, err.Error())
		return
	}
	_, _ = out.Write(nil) // the answer begins before the command prints; who is gone kills it
	_ = cmd.Wait()        // its state says how it ended
	r.mu.Lock()
	delete(r.kills, c.ID)
	r.mu.Unlock()
	w.Header().Set(ExitTrailer, strconv.Itoa(cmd.ProcessState.ExitCode()))
}

// start starts a command, which can be killed from then on.
func (r *runner) start(id string, cmd *exec.Cmd) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := cmd.Start(); err != nil {
		return err
	}
	r.kills[id] = func() { _ = cmd.Cancel() } // it may have ended
	return nil
}

// flushed sends what is written at once.
type flushed struct {
	mu sync.Mutex
	w  io.Writer
	rc *http.ResponseController
}

func (f *flushed) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, err := f.w.Write(p)
	if err == nil {
		err = f.rc.Flush()
	}
	return n, err
}

// dialTimeout is how long a connection in the guest may take.
const dialTimeout = 10 * time.Second

// dial makes a connection one to an address in the guest.
func dial(w http.ResponseWriter, q *http.Request) {
	inner, err := net.DialTimeout(q.FormValue("network"), q.FormValue("address"), dialTimeout)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer inner.Close()
	outer, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer outer.Close()
	if _, err := io.WriteString(outer, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: raw\r\n\r\n"); err != nil {
		return
	}
	go func() {
		_, _ = io.Copy(inner, buffered) // that one side has ended ends the other
		inner.Close()
	}()
	_, _ = io.Copy(outer, inner)
}
