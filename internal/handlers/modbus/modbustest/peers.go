package modbustest

import (
	"bufio"
	_ "embed"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/akri-go/akri/internal/peers"
)

//go:embed peer.py
var pymodbusPeer []byte

//go:embed peer.js
var serialPeer []byte

// InstallPymodbus returns a folder with Debian's pymodbus, as [peers.Unpack] does.
func InstallPymodbus(t testing.TB) string {
	t.Helper()
	return peers.Unpack(t, "python3-pymodbus", "python3-serial", "python3-serial-asyncio")
}

// InstallSerial returns a folder with npm's modbus-serial, as [peers.NPM] does.
func InstallSerial(t testing.TB) string {
	t.Helper()
	return peers.NPM(t, "modbus-serial@8.0.25")
}

// Peer says what a real server is.
type Peer struct {
	Host string `json:"host"`
	Port int    `json:"port"`
	// Units are the ids of its units. One of modbus-serial has one, or all if that is
	// 255.
	Units []int `json:"units"`
	// Objects are what Read Device Identification gives, of each unit.
	Objects map[int]string `json:"objects"`
}

// Pymodbus starts a server of pymodbus, which [InstallPymodbus] has installed. It
// returns when the server listens. Stop ends it; the test does too.
func (p Peer) Pymodbus(t testing.TB, dir string) (stop func()) {
	t.Helper()
	packages := filepath.Join(dir, "usr/lib/python3/dist-packages")
	return p.start(t, "python3", "peer.py", pymodbusPeer, "PYTHONPATH="+packages)
}

// Serial starts a server of modbus-serial, as Pymodbus does.
func (p Peer) Serial(t testing.TB, dir string) (stop func()) {
	t.Helper()
	return p.start(t, "node", "peer.js", serialPeer, "NODE_PATH="+filepath.Join(dir, "node_modules"))
}

func (p Peer) start(t testing.TB, program, name string, script []byte, env string) (stop func()) {
	t.Helper()
	if p.Objects == nil {
		p.Objects = map[int]string{}
	}
	argument, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, script, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, file, string(argument))
	cmd.Env = append(os.Environ(), env)
	var said strings.Builder // read after the end
	cmd.Stderr = &said
	output, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	input, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop = sync.OnceFunc(func() {
		input.Close() // it ends with its input
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		select {
		case <-ended:
		case <-time.After(20 * time.Second):
			_ = cmd.Process.Kill()
			<-ended
		}
	})
	t.Cleanup(stop)
	if lines := bufio.NewScanner(output); !lines.Scan() || lines.Text() != "ready" {
		stop()
		t.Fatalf("%s has ended: %s", program, said.String())
	}
	return stop
}
