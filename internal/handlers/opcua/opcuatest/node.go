package opcuatest

import (
	"bufio"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/akri-go/akri/internal/peers"
)

// nodeVersion is that of the npm packages of node-opcua.
const nodeVersion = "2.186.4"

//go:embed peer.js
var peer []byte

// InstallNode returns a folder with node-opcua, as [peers.NPM] does.
func InstallNode(t testing.TB) string {
	t.Helper()
	return peers.NPM(t, "node-opcua-server@"+nodeVersion, "node-opcua-server-discovery@"+nodeVersion)
}

// Node is a process that runs servers of node-opcua.
type Node struct {
	t       testing.TB
	input   io.WriteCloser
	answers *bufio.Scanner
	errors  *tail
}

// StartNode starts one with what [InstallNode] has installed, and ends it with
// the test. A command that starts programs elsewhere, such as "ip netns exec x",
// may go before it.
func StartNode(t testing.TB, dir string, by ...string) *Node {
	t.Helper()
	script := filepath.Join(t.TempDir(), "peer.js")
	if err := os.WriteFile(script, peer, 0o600); err != nil {
		t.Fatal(err)
	}
	argv := append(by[:len(by):len(by)], "node", script, t.TempDir())
	cmd := exec.Command(argv[0], argv[1:]...)
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

// Server starts a server with the application URI urn:test:NAME at an address of the
// machine that the node runs on, "" for all. It returns when the server has registered
// with the discovery server whose URL is given, if any.
func (n *Node) Server(name, host string, port int, discovery string) {
	n.t.Helper()
	n.do(map[string]any{"do": "server", "name": name, "host": host, "port": port, "lds": discovery})
}

// Thermometer starts a server with the node ns=1;s=Thermometer_Temperature, whose
// value is 75 at first, and with one security policy, or None, like Server.
func (n *Node) Thermometer(name, host string, port int, policy string) {
	n.t.Helper()
	n.do(map[string]any{"do": "thermometer", "name": name, "host": host, "port": port, "policy": policy})
}

// Set sets the value of a thermometer.
func (n *Node) Set(name string, value float64) {
	n.t.Helper()
	n.do(map[string]any{"do": "set", "name": name, "value": value})
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
