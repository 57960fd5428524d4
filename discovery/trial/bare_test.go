package trial_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	pb "github.com/akri-go/akri/api/discovery/v0"
	"github.com/akri-go/akri/discovery/trial"
)

// handlerVariable makes this test's program a handler, with the faults that it
// names.
const handlerVariable = "AKRI_TRIAL_FAULTS"

func TestMain(m *testing.M) {
	if faults, ok := os.LookupEnv(handlerVariable); ok {
		if err := newBare(faults).run(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// faulty is a program that is a handler with faults, which are words.
func faulty(t *testing.T, faults string) *trial.Program {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return &trial.Program{Args: []string{self}, Env: []string{handlerVariable + "=" + faults}}
}

// bare is a handler that uses the generated code of the protocol alone. Without
// faults it does all that is asked for.
type bare struct {
	pb.UnimplementedDiscoveryHandlerServer
	faults    map[string]bool
	directory string
	again     chan struct{}
	calls     atomic.Int64
	workers   chan struct{}
	one       sync.Mutex

	mu     sync.Mutex
	leaked []*os.File
}

func newBare(faults string) *bare {
	b := &bare{faults: map[string]bool{}, directory: os.Getenv("DISCOVERY_HANDLERS_DIRECTORY"), again: make(chan struct{}, 1), workers: make(chan struct{}, 30)}
	for fault := range strings.FieldsSeq(faults) {
		b.faults[fault] = true
	}
	return b
}

func (b *bare) has(fault string) bool { return b.faults[fault] }

func (b *bare) run() error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if b.has("needs-agent") {
		if _, err := os.Stat(filepath.Join(b.directory, trial.AgentSocket)); err != nil {
			return err
		}
	}
	path := filepath.Join(b.directory, "bare.sock")
	if !b.has("keeps-dead-socket") {
		_ = os.Remove(path)
	}
	if b.has("leaves-a-process") {
		again := exec.Command("/proc/self/exe")
		again.Env = append(os.Environ(), handlerVariable+"=ends-with-the-folder")
		again.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		if err := again.Start(); err != nil {
			return err
		}
		<-ctx.Done()
		return again.Process.Release()
	}
	if b.has("ends-with-the-folder") {
		endWithFolder(ctx, b.directory, stop)
	}
	if b.has("takes-the-agents-place") { // before it has a socket
		b.takePlace()
	}
	if b.has("talks") {
		go func() {
			for line := []byte(strings.Repeat("x", 1000) + "\n"); ; {
				_, _ = os.Stdout.Write(line)
			}
		}()
	}
	if !b.has("does-not-listen") {
		at := path
		if b.has("link") {
			at = filepath.Join(b.directory, "elsewhere")
			_ = os.Remove(at)
			if err := os.Symlink(at, path); err != nil {
				return err
			}
		}
		listener, err := net.Listen("unix", at)
		if err != nil {
			return err
		}
		mode := os.FileMode(0o660)
		if b.has("open-to-all") {
			mode = 0o666
		}
		if err := os.Chmod(path, mode); err != nil {
			return err
		}
		server := grpc.NewServer()
		if !b.has("other-service") {
			pb.RegisterDiscoveryHandlerServer(server, b)
		}
		if b.has("half-open") {
			go func() {
				for {
					if _, err := listener.Accept(); err != nil {
						return
					}
				}
			}()
		} else {
			go server.Serve(listener)
			defer server.Stop()
		}
	}
	go b.register(ctx, path)
	if b.has("ignores-sigterm") {
		signal.Ignore(syscall.SIGTERM)
		select {}
	}
	<-ctx.Done()
	return nil
}

// takePlace has a file where the agent's socket is or will be.
func (b *bare) takePlace() {
	socket := filepath.Join(b.directory, trial.AgentSocket)
	_ = os.Remove(socket)
	_ = os.WriteFile(socket, nil, 0o600)
}

// endWithFolder calls stop when the folder is gone, or after two minutes.
func endWithFolder(ctx context.Context, folder string, stop func()) {
	go func() {
		for range 2400 {
			if _, err := os.Stat(folder); err != nil || ctx.Err() != nil {
				break
			}
			time.Sleep(50 * time.Millisecond)
		}
		stop()
	}()
}

func (b *bare) register(ctx context.Context, path string) {
	socket := filepath.Join(b.directory, trial.AgentSocket)
	m := &pb.RegisterDiscoveryHandlerRequest{Name: "bare", Endpoint: path}
	switch {
	case b.has("wrong-name"):
		m.Name = "other"
	case b.has("relative-path"):
		m.Endpoint = "bare.sock"
	case b.has("other-folder"):
		m.Endpoint = "/run/bare.sock"
	case b.has("shared"):
		m.Shared = true
	}
	var known os.FileInfo
	for n := 0; ; n++ {
		now, err := os.Lstat(socket)
		made := err == nil && (known == nil || !os.SameFile(known, now) || !known.ModTime().Equal(now.ModTime()))
		again := false
		select {
		case <-b.again:
			again = true
		default:
		}
		first := known == nil
		if err == nil && (first || made && !b.has("does-not-watch") || again) && !(b.has("registers-once") && !first) {
			if b.has("moves") && !first {
				m.Name += "2"
			}
			if registerOnce(ctx, socket, m) == nil {
				known = now
			} else {
				b.registerAgain()
			}
		} else if again {
			b.registerAgain() // the agent is away
		}
		if b.has("takes-the-agents-place-late") && known != nil && b.calls.Load() > 40 {
			b.takePlace()
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func registerOnce(ctx context.Context, socket string, m *pb.RegisterDiscoveryHandlerRequest) error {
	conn, err := grpc.NewClient("unix:"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	_, err = pb.NewRegistrationClient(conn).RegisterDiscoveryHandler(ctx, m)
	return err
}

func (b *bare) registerAgain() {
	select {
	case b.again <- struct{}{}:
	default:
	}
}
