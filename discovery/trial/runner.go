package trial

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/akri-go/akri/discovery"
)

// endGrace is how long a handler may take to end when it is told to: what a
// kubelet gives a Pod.
const endGrace = 30 * time.Second

// runner starts and stops a handler.
type runner interface {
	// start starts it. It may be started again when it has ended.
	start() error
	// ended is closed when it has ended, and how says then how.
	ended() <-chan struct{}
	how() string
	// stop tells it to end, and ends it if it does not do so soon.
	stop() (inTime bool)
	// kill ends it at once, and leaves a dead socket behind.
	kill()
}

// program runs a [Program].
type program struct {
	Program
	env  []string
	cmd  *exec.Cmd
	done chan struct{}
	err  error // once done is closed
	tail *tail
}

func newProgram(p Program, directory string) *program {
	env := slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "DISCOVERY_HANDLERS_DIRECTORY=") || strings.HasPrefix(v, "POD_IP=")
	})
	return &program{Program: p, env: slices.Concat(env, p.Env,
		[]string{"DISCOVERY_HANDLERS_DIRECTORY=" + directory})}
}

func (p *program) start() error {
	p.tail = &tail{also: p.Output}
	p.cmd = exec.Command(p.Args[0], p.Args[1:]...)
	p.cmd.Env = p.env
	p.cmd.Stdout, p.cmd.Stderr = p.tail, p.tail
	// It ends with this process, too: Pdeathsig watches the thread that starts it.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	p.cmd.WaitDelay = time.Second // for what it has left running, which holds its output
	started, done := make(chan error), make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := p.cmd.Start()
		started <- err
		if err != nil {
			return
		}
		p.err = p.cmd.Wait()
		p.signal(syscall.SIGKILL) // what it has left running
	}()
	if err := <-started; err != nil {
		if errors.Is(err, fs.ErrPermission) {
			return fmt.Errorf("start the handler: %w: is %s a program that you may run (chmod +x)?", err, p.Args[0])
		}
		return fmt.Errorf("start the handler: %w", err)
	}
	p.done = done
	return nil
}

func (p *program) ended() <-chan struct{} { return p.done }

func (p *program) how() string {
	if p.err == nil || errors.Is(p.err, exec.ErrWaitDelay) {
		return "with exit status 0"
	}
	how := "with " + p.err.Error()
	if said := p.tail.last(); said != "" {
		how += fmt.Sprintf("; it said %q", said)
	}
	return how
}

func (p *program) signal(s syscall.Signal) {
	// The group, since a program may be a shell. It may be gone.
	_ = syscall.Kill(-p.cmd.Process.Pid, s)
}

func (p *program) stop() (inTime bool) {
	select {
	case <-p.done:
		return true
	default:
		p.signal(syscall.SIGTERM)
	}
	timer := time.NewTimer(endGrace)
	defer timer.Stop()
	select {
	case <-p.done:
		return true
	case <-timer.C:
		p.kill()
		return false
	}
}

func (p *program) kill() {
	select {
	case <-p.done: // its number may be another's by now
	default:
		p.signal(syscall.SIGKILL)
		<-p.done
	}
}

// tail keeps the end of what a program prints.
type tail struct {
	also interface{ Write([]byte) (int, error) }

	mu   sync.Mutex
	text []byte
}

const maxTailBytes = 4 << 10

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, b...)
	if n := len(t.text) - maxTailBytes; n > 0 {
		t.text = slices.Clone(t.text[n:])
	}
	if t.also != nil {
		_, _ = t.also.Write(b) // the program must not fail because nobody reads
	}
	return len(b), nil
}

// last returns the last line.
func (t *tail) last() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	lines := strings.Split(strings.TrimSpace(string(t.text)), "\n")
	return strings.ToValidUTF8(lines[len(lines)-1], "\uFFFD")
}

// served runs a handler of this process.
type served struct {
	handler   discovery.Handler
	directory string
	cancel    context.CancelFunc
	done      chan struct{}
	err       error // once done is closed
}

func (s *served) start() error {
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel, s.done = cancel, make(chan struct{})
	done := s.done
	go func() {
		defer close(done)
		s.err = discovery.Serve(ctx, s.handler, discovery.WithDirectory(s.directory))
	}()
	return nil
}

func (s *served) ended() <-chan struct{} { return s.done }

func (s *served) how() string {
	if s.err != nil {
		return "with " + s.err.Error()
	}
	return "without an error"
}

func (s *served) stop() (inTime bool) {
	s.cancel()
	timer := time.NewTimer(endGrace)
	defer timer.Stop()
	select {
	case <-s.done:
		return true
	case <-timer.C:
		return false // a goroutine cannot be killed
	}
}

func (s *served) kill() {
	s.stop()
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(s.directory,
		s.handler.Name()+".sock"), Net: "unix"})
	if err != nil {
		return // something else has the name
	}
	listener.SetUnlinkOnClose(false)
	_ = listener.Close()
}
