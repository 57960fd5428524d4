package opcuatest

import (
	"bufio"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// nodeVersion is that of the npm packages of node-opcua.
const nodeVersion = "2.186.4"

//go:embed peer.js
var peer []byte

// InstallNode installs node-opcua into the user's cache if it is not there, and
// returns the folder. The test is skipped where the registry, or Node itself,
// cannot be had.
func InstallNode(t testing.TB) string {
	t.Helper()
	npm, err := exec.LookPath("npm")
	if err != nil {
		t.Skipf("no npm on this machine (Debian: apt-get install nodejs npm): %v", err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(cache, "akri", "node-opcua-"+nodeVersion)
	if _, err := os.Stat(dir); err == nil {
		return dir
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	// Put there whole: another test may install it too.
	fresh, err := os.MkdirTemp(filepath.Dir(dir), "node-opcua-*.tmp")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(fresh)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, npm, "install", "--prefix", fresh, "--ignore-scripts", "--no-audit", "--no-fund",
		"node-opcua-server@"+nodeVersion, "node-opcua-server-discovery@"+nodeVersion)
	if out, err := cmd.CombinedOutput(); err != nil {
		text := string(out)
		for _, away := range []string{"ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ETIMEDOUT", "ENETUNREACH", "E403"} {
			if strings.Contains(text, away) {
				t.Skipf("the npm registry cannot be reached (%s)", away)
			}
		}
		t.Fatalf("npm install: %v\n%s", err, text)
	}
	if err := os.Rename(fresh, dir); err != nil {
		if _, there := os.Stat(dir); there != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// Node is a process that runs servers of node-opcua.
type Node struct {
	t       testing.TB
	input   io.WriteCloser
	answers *bufio.Scanner
	errors  *tail
}

// StartNode starts one with what [InstallNode] has installed, and ends it with
// the test.
func StartNode(t testing.TB, dir string) *Node {
	t.Helper()
	script := filepath.Join(t.TempDir(), "peer.js")
	if err := os.WriteFile(script, peer, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("node", script, t.TempDir())
	cmd.Env = append(os.Environ(), "NODE_PATH="+filepath.Join(dir, "node_modules"))
	n := &Node{t: t, errors: new(tail)}
	cmd.Stderr = n.errors
	output, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if n.input, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	n.answers = bufio.NewScanner(output)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		n.input.Close() // it ends with its input
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		select {
		case <-ended:
		case <-time.After(20 * time.Second):
			_ = cmd.Process.Kill()
			<-ended
		}
	})
	return n
}

// Discovery starts a discovery server.
func (n *Node) Discovery(name string, port int) {
	n.t.Helper()
	n.do(map[string]any{"do": "lds", "name": name, "port": port})
}

// Server starts a server with the application URI urn:test:NAME. It returns when
// the server has registered with the discovery server whose URL is given, if any.
func (n *Node) Server(name string, port int, discovery string) {
	n.t.Helper()
	n.do(map[string]any{"do": "server", "name": name, "port": port, "lds": discovery})
}

// Stop ends a server.
func (n *Node) Stop(name string) {
	n.t.Helper()
	n.do(map[string]any{"do": "stop", "name": name})
}

func (n *Node) do(command map[string]any) {
	n.t.Helper()
	b, err := json.Marshal(command)
	if err == nil {
		_, err = fmt.Fprintf(n.input, "%s\n", b)
	}
	if err != nil {
		n.t.Fatal(err)
	}
	var answer struct {
		Error string `json:"error"`
	}
	if !n.answers.Scan() {
		n.t.Fatalf("node-opcua has ended: %v\n%s", n.answers.Err(), n.errors)
	}
	if err := json.Unmarshal(n.answers.Bytes(), &answer); err != nil || answer.Error != "" {
		n.t.Fatalf("node-opcua: %v: %v %s\n%s", command, err, answer.Error, n.errors)
	}
}

// tail keeps the last of what is written.
type tail struct {
	mu   sync.Mutex
	text []byte
}

func (w *tail) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text = append(w.text, p...)
	w.text = w.text[max(0, len(w.text)-4096):]
	return len(p), nil
}

func (w *tail) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return string(w.text)
}
