package mqtttest

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/akri-go/akri/internal/eventually"
	"github.com/akri-go/akri/internal/peers"
)

// UnpackMosquitto returns a folder with Debian's mosquitto and its clients, as
// [peers.Unpack] does. So no service of the machine's is started.
func UnpackMosquitto(t testing.TB) string {
	t.Helper()
	return peers.Unpack(t, "mosquitto", "mosquitto-clients", "libmosquitto1", "libcjson1", "libdlt2", "libwrap0")
}

// Mosquitto is a process of mosquitto.
type Mosquitto struct {
	t       testing.TB
	dir     string // of the packages
	config  string
	address string
	process *exec.Cmd
	said    *os.File // what it has said; with a pipe a goroutine would read it
	// clients are arguments of mosquitto's clients.
	clients []string
}

// StartMosquitto starts one that is configured by the lines, with a listener for
// everybody at the address, and ends it with the test.
func StartMosquitto(t testing.TB, dir, address, config string) *Mosquitto {
	t.Helper()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	m := &Mosquitto{t: t, dir: dir, config: filepath.Join(t.TempDir(), "mosquitto.conf"), address: address,
		clients: []string{"-h", host, "-p", port}}
	config = fmt.Sprintf("user root\nper_listener_settings true\nlistener %s %s\nallow_anonymous true\n%s\n",
		port, host, config)
	if err := os.WriteFile(m.config, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	if m.said, err = os.Create(filepath.Join(t.TempDir(), "said")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Stop(); m.said.Close() })
	m.Start()
	return m
}

// Start starts it again after it was stopped. What it had retained is gone.
func (m *Mosquitto) Start() {
	m.t.Helper()
	m.process = m.command("usr/sbin/mosquitto", "-c", m.config)
	m.process.Stdout, m.process.Stderr = m.said, m.said
	if err := m.process.Start(); err != nil {
		m.t.Fatal(err)
	}
	eventually.Succeeds(m.t, 20*time.Second, func(context.Context) error {
		conn, err := net.Dial("tcp", m.address)
		if err != nil {
			return err
		}
		return conn.Close()
	})
}

// Stop ends it.
func (m *Mosquitto) Stop() {
	if m.process == nil {
		return
	}
	_ = m.process.Process.Signal(syscall.SIGTERM)
	_ = m.process.Wait()
	m.process = nil
	if m.t.Failed() {
		said, _ := os.ReadFile(m.said.Name()) // only for a person
		m.t.Logf("mosquitto said:\n%s", said)
	}
}

// Retain publishes a message that is retained; one without a payload takes it away.
func (m *Mosquitto) Retain(topic, payload string) {
	m.t.Helper()
	m.publish(topic, payload, "-r")
}

// Publish publishes a message.
func (m *Mosquitto) Publish(topic, payload string) {
	m.t.Helper()
	m.publish(topic, payload)
}

func (m *Mosquitto) publish(topic, payload string, more ...string) {
	m.t.Helper()
	args := append([]string{"-t", topic}, more...)
	if payload == "" {
		args = append(args, "-n")
	} else {
		args = append(args, "-m", payload)
	}
	out, err := m.command("usr/bin/mosquitto_pub", append(args, m.clients...)...).CombinedOutput()
	if err != nil {
		m.t.Fatalf("mosquitto_pub: %v: %s", err, out)
	}
}

// Device connects a client with a last will, which is retained. It returns how to
// end it without a word.
func (m *Mosquitto) Device(topic, will string) (kill func()) {
	m.t.Helper()
	args := []string{"-t", "nothing", "--will-topic", topic, "--will-payload", will, "--will-retain"}
	args = append(args, m.clients...)
	cmd := m.command("usr/bin/mosquitto_sub", args...)
	if err := cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	ended := false
	kill = func() {
		if !ended {
			ended = true
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	}
	m.t.Cleanup(kill)
	return kill
}

// Passwords writes a file with a user's password, and returns its name.
func Passwords(t testing.TB, dir, user, password string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "passwords")
	m := &Mosquitto{t: t, dir: dir}
	if out, err := m.command("usr/bin/mosquitto_passwd", "-c", "-b", file, user, password).CombinedOutput(); err != nil {
		t.Fatalf("mosquitto_passwd: %v: %s", err, out)
	}
	return file
}

// command returns a command of the packages.
func (m *Mosquitto) command(program string, args ...string) *exec.Cmd {
	libraries, _ := filepath.Glob(filepath.Join(m.dir, "usr/lib/*-linux-gnu")) // the pattern is good
	cmd := exec.Command(filepath.Join(m.dir, program), args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.Env = os.Environ()
	for _, folder := range libraries {
		cmd.Env = append(cmd.Env, "LD_LIBRARY_PATH="+folder)
	}
	return cmd
}
