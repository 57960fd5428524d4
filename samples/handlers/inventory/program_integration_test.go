//go:build integration

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"k8s.io/apimachinery/pkg/types"

	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/discovery/discoverytest"
	"github.com/akri-go/akri/discovery/trial"
	"github.com/akri-go/akri/internal/agent/registry"
	"github.com/akri-go/akri/internal/eventually"
	"github.com/akri-go/akri/internal/gobuild"
	"github.com/akri-go/akri/internal/peers"
)

// goProgram builds the Go program.
func goProgram(t *testing.T, folder string) trial.Program {
	t.Helper()
	return trial.Program{Args: []string{gobuild.Program(t, "github.com/akri-go/akri/samples/handlers/inventory"), "-lists", folder}}
}

// pythonProgram generates Python code from the .proto, as the page
// docs/write-a-handler.md says.
func pythonProgram(t *testing.T, folder string) trial.Program {
	t.Helper()
	libraries := peers.PyPI(t, "grpcio==1.85.1", "grpcio-tools==1.85.1", "PyYAML==6.0.3")
	generated := t.TempDir()
	protos := filepath.Join("..", "..", "..", "api", "discovery", "v0")
	generate := exec.Command("python3", "-m", "grpc_tools.protoc", "-I", protos, "--python_out="+generated, "--grpc_python_out="+generated, "discovery.proto")
	generate.Env = append(os.Environ(), "PYTHONPATH="+libraries)
	if out, err := generate.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return trial.Program{
		Args: []string{"python3", filepath.Join("python", "inventory.py"), folder},
		Env:  []string{"PYTHONPATH=" + libraries + ":" + generated, "PYTHONDONTWRITEBYTECODE=1"},
	}
}

func programs() map[string]func(*testing.T, string) trial.Program {
	return map[string]func(*testing.T, string) trial.Program{"Go": goProgram, "Python": pythonProgram}
}

// Both programs do all that the protocol asks for.
func TestPrograms(t *testing.T) {
	for language, program := range programs() {
		t.Run(language, func(t *testing.T) {
			folder := t.TempDir()
			write(t, folder, "workshop", both)
			write(t, folder, "cellar", "pump-1\n")
			p := program(t, folder)
			change := func(what, text string, ids ...string) trial.Change {
				return trial.Change{What: what, Make: func(context.Context) ([]string, error) { write(t, folder, "workshop", text); return ids, nil }}
			}
			local := false
			discoverytest.Check(t, trial.Subject{
				Program: &p,
				Name:    "inventory", Shared: &local,
				Request: discovery.Request{Details: "list: workshop"},
				Others:  []discovery.Request{{Details: "list: cellar"}, {Details: "list: attic"}},
				Bad:     []discovery.Request{{Details: "list: ["}, {Details: "list: ../../etc/passwd"}, {}},
				Nothing: &discovery.Request{Details: "list: attic"},
				Present: []string{"saw-1", "lathe-1"},
				Changes: []trial.Change{change("took one away", one, "saw-1"), change("put it back", both, "saw-1", "lathe-1")},
			})
		})
	}
}

// heard is what an agent was told.
type heard struct {
	mu   sync.Mutex
	last string
}

func (h *heard) say(text string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last = text
}

func (h *heard) Reported(r registry.Report) error {
	h.say(fmt.Sprintf("%d devices, refused %v", len(r.Devices), r.Refused))
	return nil
}
func (h *heard) Failed(f registry.Failure) { h.say(f.Err.Error()) }
func (h *heard) Lost(registry.Loss)        { h.say("lost") }

// The agent's own code takes what both programs report.
func TestWithTheAgent(t *testing.T) {
	for language, program := range programs() {
		t.Run(language, func(t *testing.T) {
			folder := t.TempDir()
			write(t, folder, "workshop", both)
			p := program(t, folder)
			dir, err := os.MkdirTemp("/tmp", "akri-")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { os.RemoveAll(dir) })
			h := &heard{}
			agent, err := registry.New(registry.Options{Dir: dir, Observer: h, SocketGID: os.Getgid()})
			if err != nil {
				t.Fatal(err)
			}
			ctx, stop := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- agent.Run(ctx) }()
			t.Cleanup(func() { stop(); <-ended })
			agent.Ask(registry.Request{
				Configuration: types.NamespacedName{Namespace: "default", Name: "workshop"}, Handler: "inventory",
				Request: discovery.Request{Details: "list: workshop"},
			})
			cmd := exec.Command(p.Args[0], p.Args[1:]...)
			cmd.Env = append(append(os.Environ(), p.Env...), "DISCOVERY_HANDLERS_DIRECTORY="+dir)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
			says := func(want string) {
				t.Helper()
				eventually.Succeeds(t, eventually.Patience, func(context.Context) error {
					h.mu.Lock()
					defer h.mu.Unlock()
					if !strings.HasPrefix(h.last, want) {
						return fmt.Errorf("the agent was told %q, want %q", h.last, want)
					}
					return nil
				})
			}
			says("2 devices, refused <nil>")
			write(t, folder, "workshop", one)
			says("1 devices, refused <nil>")
		})
	}
}
