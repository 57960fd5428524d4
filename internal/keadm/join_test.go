package keadm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/akri-go/akri/bounded"
	cloudjoin "github.com/akri-go/akri/internal/cloud/cloudhub/join"
	"github.com/akri-go/akri/internal/cloud/cloudhub/trust"
	"github.com/akri-go/akri/internal/cloud/cloudhub/trust/trusttest"
	"github.com/akri-go/akri/internal/edge/edgehub/join"
	"github.com/akri-go/akri/internal/edge/status"
	"github.com/akri-go/akri/internal/eventually"
	"github.com/akri-go/akri/internal/exitcode"
	"github.com/akri-go/akri/internal/keadm/preflight"
	"github.com/akri-go/akri/internal/version"
)

// machine is a machine that joins. cloudcore's join server is the real one;
// systemctl, which notes its arguments, and edgecore are scripts. The real ones are
// in TestSystemd.
type machine struct {
	dir     string
	keeper  *trust.Keeper
	options Options
	out     bytes.Buffer
}

func newMachine(t *testing.T, kubernetes string) *machine {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	memory := &trusttest.Memory{}
	m := &machine{dir: t.TempDir(), keeper: trust.New(memory, memory, quiet)}
	if err := m.keeper.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	server, err := cloudjoin.New(cloudjoin.Options{Keeper: m.keeper, Log: quiet, Kubernetes: func(context.Context) (string, error) { return kubernetes, nil }})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	l, err := bounded.Listen(ctx, "127.0.0.1:0", bounded.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	free, err := net.Listen("tcp", "127.0.0.1:0") // its port is only written down
	if err != nil {
		t.Fatal(err)
	}
	local := free.Addr().String()
	free.Close()
	token, _, err := m.keeper.CreateToken(t.Context(), "shop", 0)
	if err != nil {
		t.Fatal(err)
	}
	m.script(t, "edgecore", fmt.Sprintf("echo 'edgecore %s'", version.String()))
	m.systemctl(t, "exit 0")
	m.options = Options{
		System:    System{Programs: m.path("bin"), Units: m.path("units"), Systemctl: m.path("systemctl")},
		Cloudcore: l.Addr().String(), CertPort: l.Addr().(*net.TCPAddr).Port, Token: token, Node: "shop", Dir: m.path("etc", "kubeedge"),
		Kubelet: m.script(t, "kubelet", "echo Kubernetes v1.37.1"), Edgecore: m.path("edgecore"),
		RuntimeEndpoint: "unix://" + m.path("c.sock"), CgroupDriver: "systemd", Start: true,
		Set: []string{"statusSocket=" + m.path("s.sock"), "modules.metaManager.metaServer.server=" + local,
			"modules.edged.tailoredKubeletConfig={clusterDNS: [10.96.0.10]}"},
		// The machine that runs the tests is what it is.
		Ignore: []string{preflight.Root, preflight.Cgroups, preflight.Swap, preflight.Port, preflight.KubeletRuns, preflight.Runtime},
	}
	return m
}

func (m *machine) path(elem ...string) string {
	return filepath.Join(append([]string{m.dir}, elem...)...)
}

func (m *machine) script(t *testing.T, name, text string) string {
	t.Helper()
	if err := os.WriteFile(m.path(name), []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return m.path(name)
}

// systemctl makes a systemctl whose answers are those of a script; what it only
// asks it answers with no.
func (m *machine) systemctl(t *testing.T, script string) {
	t.Helper()
	m.script(t, "systemctl", fmt.Sprintf(`case "$1" in is-*) %s; exit 3;; esac
echo "$@" >>%s
%s`, `[ -e "$(dirname "$0")/active" ] && exit 0`, m.path("called"), script))
}

// called is what systemctl was told, and forgets it.
func (m *machine) called(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(m.path("called"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	_ = os.Remove(m.path("called"))
	return strings.Join(strings.Split(strings.TrimSpace(string(text)), "\n"), "; ")
}

// answers has an edgecore answer at its socket.
func (m *machine) answers(t *testing.T, connected bool) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- status.Serve(ctx, m.path("s.sock"), func() status.Report {
			return status.Report{Node: "shop", Link: status.Link{Connected: connected}}
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func (m *machine) join(ctx context.Context) error {
	m.out.Reset()
	return Join(ctx, m.options, &m.out)
}

// left lists the files that a join has left behind.
func (m *machine) left(t *testing.T) []string {
	t.Helper()
	var out []string
	for _, dir := range []string{"bin", "units", "etc"} {
		err := filepath.WalkDir(m.path(dir), func(path string, _ fs.DirEntry, err error) error {
			if err == nil {
				out = append(out, path)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func TestJoin(t *testing.T) {
	m := newMachine(t, "v1.37.0")
	m.answers(t, true)
	if err := m.join(t.Context()); err != nil {
		t.Fatalf("%v\n%s", err, &m.out)
	}
	if got, want := m.called(t), "daemon-reload; enable --now edgecore.service"; got != want {
		t.Errorf("systemctl was told %q, want %q", got, want)
	}
	if !strings.Contains(m.out.String(), "node shop is connected to the cluster") {
		t.Errorf("it says\n%s", &m.out)
	}
	c, _, err := Options{Dir: m.options.Dir, Node: "shop", Cloudcore: m.options.Cloudcore}.configuration("")
	if err != nil || c.StatusSocket != m.path("s.sock") || c.Modules.Edged.TailoredKubeletConfig["clusterDNS"] == nil ||
		c.Modules.Edged.TailoredKubeletConfig["cgroupDriver"] != "systemd" {
		t.Errorf("the configuration: %+v, %v", c.Modules.Edged, err)
	}
	if c, err := join.Load(m.options.Dir + "/certs"); err != nil || c.Node != "shop" {
		t.Errorf("the certificate: %+v, %v", c, err)
	}
	before := m.left(t)

	// Again: nothing is to be done, and no token is needed.
	m.script(t, "active", "")
	m.options.Token = ""
	if err := m.join(t.Context()); err != nil {
		t.Fatalf("again: %v\n%s", err, &m.out)
	}
	if got, want := m.called(t), "enable --now edgecore.service"; got != want {
		t.Errorf("again: systemctl was told %q, want %q", got, want)
	}
	if after := m.left(t); strings.Join(after, " ") != strings.Join(before, " ") {
		t.Errorf("again: %q\nbefore: %q", after, before)
	}

	// With another edgecore: it is replaced, and restarted.
	m.script(t, "edgecore", "echo edgecore of tomorrow")
	if err := m.join(t.Context()); err != nil {
		t.Fatalf("another edgecore: %v\n%s", err, &m.out)
	}
	if got, want := m.called(t), "daemon-reload; restart edgecore.service; enable --now edgecore.service"; got != want {
		t.Errorf("another edgecore: systemctl was told %q, want %q", got, want)
	}

	// Another one that cannot be started: the one before is back.
	m.script(t, "edgecore", "echo edgecore of yesterday")
	m.systemctl(t, `[ "$1" != enable ]`)
	if err := m.join(t.Context()); err == nil {
		t.Fatal("it does not fail")
	}
	if text, err := os.ReadFile(m.path("bin", "edgecore")); err != nil || !strings.Contains(string(text), "of tomorrow") {
		t.Errorf("after a failure edgecore is %s, %v", text, err)
	}
	if got := m.called(t); !strings.HasSuffix(got, "daemon-reload; restart edgecore.service") {
		t.Errorf("after a failure systemctl was told %q", got)
	}

	m.options.Node = "farm"
	if err := m.join(t.Context()); err == nil || !strings.Contains(err.Error(), "is of node shop") {
		t.Errorf("as another node: %v", err)
	}
}

// What fails leaves nothing behind.
func TestJoinFails(t *testing.T) {
	for _, c := range []struct {
		name       string
		kubernetes string
		change     func(*testing.T, *machine)
		code       int
		says       string
	}{
		{"no token", "", func(_ *testing.T, m *machine) { m.options.Token = "" }, exitcode.Usage, "give --token or --token-file"},
		{"another cloudcore's token", "", func(_ *testing.T, m *machine) { m.options.Token = strings.Repeat("0", 64) + ".a.b.c" }, 1, "is not the cloudcore that the token is of"},
		{"a token of another node", "", func(_ *testing.T, m *machine) { m.options.Node = "farm" }, 1, `is for node "shop"`},
		{"a kubelet that is newer", "v1.36.9", func(*testing.T, *machine) {}, 1, "[KubeletSkew] the kubelet is v1.37.1, which is newer"},
		{"nobody there", "", func(_ *testing.T, m *machine) { m.options.Cloudcore, m.options.CertPort = "127.0.0.1:1", 1 }, 1, "does a firewall pass both ports?"},
		{"systemd refuses", "", func(t *testing.T, m *machine) { m.systemctl(t, `[ "$1" != enable ] || { echo masked >&2; exit 1; }`) }, 1, "systemctl enable --now edgecore.service: exit status 1: masked"},
		{"a key that does not exist", "", func(_ *testing.T, m *machine) { m.options.Set = []string{"modules.edged.kublet=x"} }, exitcode.Usage, "kublet"},
		{"a setting without a value", "", func(_ *testing.T, m *machine) { m.options.Set = []string{"logLevel"} }, exitcode.Usage, "want key=value"},
	} {
		m := newMachine(t, c.kubernetes)
		m.answers(t, true)
		c.change(t, m)
		err := m.join(t.Context())
		if err == nil || exitcode.Of(err) != c.code || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, code %d; want code %d with %q", c.name, err, exitcode.Of(err), c.code, c.says)
		}
		if left := m.left(t); len(left) > 0 {
			t.Errorf("%s: it has left %q", c.name, left)
		}
	}
}

// Ctrl-C while it waits for edgecore takes everything back.
func TestJoinInterrupted(t *testing.T) {
	m := newMachine(t, "v1.37.1")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	m.systemctl(t, `[ "$1" != enable ] || echo started >`+m.path("started"))
	ended := make(chan error, 1)
	go func() { ended <- m.join(ctx) }()
	eventually.Succeeds(t, eventually.Patience, func(context.Context) error {
		_, err := os.Stat(m.path("started"))
		return err
	})
	cancel()
	err := <-ended
	if !errors.Is(err, context.Canceled) || exitcode.Of(err) != exitcode.Failed {
		t.Errorf("%v", err)
	}
	if got, want := m.called(t), "daemon-reload; enable --now edgecore.service; stop edgecore.service; disable edgecore.service; daemon-reload"; got != want {
		t.Errorf("systemctl was told %q, want %q", got, want)
	}
	if left := m.left(t); len(left) > 0 {
		t.Errorf("it has left %q", left)
	}
}

// Without systemd it says how to start edgecore, and with --start=false, too.
func TestJoinDoesNotStart(t *testing.T) {
	m := newMachine(t, "v1.37.1")
	m.options.Start = false
	if err := m.join(t.Context()); err != nil || !strings.Contains(m.out.String(), "systemctl enable --now edgecore") {
		t.Errorf("%v\n%s", err, &m.out)
	}
	if got := m.called(t); got != "daemon-reload" {
		t.Errorf("systemctl was told %q", got)
	}
	m = newMachine(t, "v1.37.1")
	m.options.Systemctl = ""
	if err := m.join(t.Context()); err != nil || !strings.Contains(m.out.String(), m.options.Edgecore+" --config "+m.options.Config()) {
		t.Errorf("%v\n%s", err, &m.out)
	}
	if _, err := os.Stat(m.path("units")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without systemd there is a unit: %v", err)
	}
}
