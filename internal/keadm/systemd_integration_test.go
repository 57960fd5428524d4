//go:build integration

package keadm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
	"github.com/akri-go/akri/bounded"
	"github.com/akri-go/akri/internal/cloud/cloudhub"
	cloudjoin "github.com/akri-go/akri/internal/cloud/cloudhub/join"
	"github.com/akri-go/akri/internal/cloud/cloudhub/trust"
	"github.com/akri-go/akri/internal/cloud/cloudhub/trust/trusttest"
	"github.com/akri-go/akri/internal/eventually"
	"github.com/akri-go/akri/internal/freeport"
)

// sandbox is a systemd in namespaces of its own, with units of the test alone.
type sandbox struct {
	dir string
	pid int // of systemd
}

func newSandbox(t *testing.T) *sandbox {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("skipped: it needs root, for namespaces")
	}
	if _, err := os.Stat("/lib/systemd/systemd"); err != nil {
		t.Skip("skipped: systemd is not on this machine")
	}
	s := &sandbox{dir: t.TempDir()}
	cgroup := filepath.Join(unified(t), "akri-keadm-"+strconv.Itoa(os.Getpid()))
	if err := os.Mkdir(cgroup, 0o755); err != nil {
		t.Fatal(err)
	}
	script, err := filepath.Abs("testdata/systemd.sh")
	if err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	cmd := exec.Command("/bin/sh", script, s.dir, cgroup)
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	s.pid = cmd.Process.Pid
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // and with it all that it has started
		<-ended
		eventually.Succeeds(t, eventually.Patience, func(context.Context) error { return removeCgroups(cgroup) })
	})
	eventually.Succeeds(t, eventually.Patience, func(ctx context.Context) error {
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("systemd cannot run here: %v: %s", err, &said)
		default:
		}
		out, err := s.command(ctx, "systemctl", "is-active", "multi-user.target").CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
	return s
}

// unified is where the tree of cgroups of version 2 is mounted.
func unified(t *testing.T) string {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if f := strings.Fields(line); len(f) > 2 && f[2] == "cgroup2" {
			return f[1]
		}
	}
	t.Skip("skipped: this machine has no cgroups of version 2 mounted")
	return ""
}

// removeCgroups removes a cgroup and all below.
func removeCgroups(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		if e.IsDir() {
			err = errors.Join(err, removeCgroups(filepath.Join(dir, e.Name())))
		}
	}
	return errors.Join(err, unix.Rmdir(dir))
}

// command prepares a command that runs where systemd does.
func (s *sandbox) command(ctx context.Context, argv ...string) *exec.Cmd {
	args := append([]string{"-t", strconv.Itoa(s.pid), "-m", "-u", "-i", "-p", "-C", "--"}, argv...)
	cmd := exec.CommandContext(ctx, "nsenter", args...)
	cmd.Dir = "/"
	return cmd
}

func (s *sandbox) run(t *testing.T, argv ...string) string {
	t.Helper()
	out, err := s.command(t.Context(), argv...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", strings.Join(argv, " "), err, out)
	}
	return string(out)
}

// mainPID is edgecore's, in the sandbox.
func (s *sandbox) mainPID(t *testing.T) string {
	t.Helper()
	return strings.TrimSpace(s.run(t, "systemctl", "show", "--property=MainPID", "--value", unitName))
}

// silent is a cloudcore that says nothing to nodes.
type silent struct{}

func (silent) Open(context.Context, string, edgev1.Hello, func(context.Context, edgev1.Message) error) cloudhub.Session {
	return silent{}
}
func (silent) Receive(edgev1.Message) {}
func (silent) Close()                 {}

// cloudcore is a real hub and join server; it returns their ports.
func cloudcore(t *testing.T, keeper *trust.Keeper) (hub, join int) {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	h, err := cloudhub.New(cloudhub.Options{Authority: keeper, Controller: silent{}, Version: "test", Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	j, err := cloudjoin.New(cloudjoin.Options{Keeper: keeper, Log: quiet, Kubernetes: func(context.Context) (string, error) { return "v1.37.1", nil }})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	links, err := h.Listen(ctx, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	certificates, err := bounded.Listen(ctx, "127.0.0.1:0", bounded.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 2)
	go func() { done <- h.Serve(ctx, links) }()
	go func() { done <- j.Serve(ctx, certificates) }()
	t.Cleanup(func() {
		cancel()
		for range 2 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	})
	return links.Addr().(*net.TCPAddr).Port, certificates.Addr().(*net.TCPAddr).Port
}

// TestSystemd joins a machine whose systemd is a real one, with the real keadm and
// edgecore; the kubelet is a script, which mounts something as a kubelet does.
func TestSystemd(t *testing.T) {
	s := newSandbox(t)
	for _, program := range []string{"keadm", "edgecore"} {
		cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-buildvcs=false", "-tags", "grpcnotrace", "-ldflags", "-s -w", "-o", s.dir+"/", "../../cmd/"+program)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0") // as they are released
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("build %s: %v: %s", program, err, out)
		}
	}
	kubelet := filepath.Join(s.dir, "kubelet")
	script := `#!/bin/sh
[ "$1" != --version ] || { echo Kubernetes v1.37.1; exit; }
mountpoint -q /mnt/volume || { mkdir -p /mnt/volume && mount -t tmpfs volume /mnt/volume; }
echo $$ >/mnt/kubelet
exec sleep 1000000
`
	if err := os.WriteFile(kubelet, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	memory := &trusttest.Memory{}
	keeper := trust.New(memory, memory, slog.New(slog.DiscardHandler))
	if err := keeper.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	hub, join := cloudcore(t, keeper)
	token, _, err := keeper.CreateToken(t.Context(), "shop", 0)
	if err != nil {
		t.Fatal(err)
	}
	local := freeport.Address(t)
	etc := filepath.Join(s.dir, "etc")
	args := []string{filepath.Join(s.dir, "keadm"), "join", "-i", "shop", "-e", fmt.Sprintf("127.0.0.1:%d", hub), "--certport", fmt.Sprint(join),
		"--dir", etc, "--kubelet", kubelet, "--kube-proxy", "none", "--ignore-preflight-errors", "ContainerRuntime,Swap,Port,Cgroups"}
	// The network is the machine's: it gets no address.
	said := s.run(t, append(args, "--token", token, "--set", "database.dataSource="+s.dir+"/lib/edgecore.db", "--set", "modules.metaManager.metaServer.server="+local,
		"--set", `modules.metaManager.metaServer.podServer=""`, "--set", "modules.dns.enable=false")...)
	t.Log(said)
	if !strings.Contains(said, "node shop is connected to the cluster") {
		t.Errorf("it does not say that the node is connected")
	}
	if got := strings.TrimSpace(s.run(t, "systemctl", "is-enabled", unitName)); got != "enabled" {
		t.Errorf("the unit is %s", got)
	}
	first := s.mainPID(t)
	var mounted string
	eventually.Succeeds(t, eventually.Patience, func(ctx context.Context) error {
		out, err := s.command(ctx, "cat", "/mnt/kubelet", "/proc/1/mounts").CombinedOutput()
		mounted = string(out)
		return err
	})
	if !strings.Contains(mounted, " /mnt/volume tmpfs") {
		t.Errorf("what the kubelet mounts nobody else sees:\n%s", mounted)
	}
	before, _, _ := strings.Cut(mounted, "\n")

	// A crash: it is back, with another kubelet, and no kubelet is left over.
	s.run(t, "kill", "-KILL", first)
	eventually.Succeeds(t, eventually.Patience, func(ctx context.Context) error {
		out, err := s.command(ctx, "cat", "/mnt/kubelet").CombinedOutput()
		now := s.mainPID(t)
		if err != nil || now == "0" || now == first || strings.TrimSpace(string(out)) == before {
			return fmt.Errorf("edgecore %s, before %s; kubelet %s, before %s", now, first, out, before)
		}
		return nil
	})
	if _, err := s.command(t.Context(), "test", "-e", "/proc/"+before).CombinedOutput(); err == nil {
		t.Errorf("the kubelet of the edgecore that was killed is left over")
	}

	// Repeated without a token it changes nothing, and restarts nothing.
	running := s.mainPID(t)
	t.Log(s.run(t, args...))
	if now := s.mainPID(t); now != running {
		t.Errorf("joined again, edgecore is process %s, before %s", now, running)
	}

	// Where another kubelet runs, nothing of that is removed.
	other := filepath.Join(s.dir, "other", "kubelet")
	s.run(t, "/bin/sh", "-c", fmt.Sprintf(`mkdir -p "$(dirname %[1]s)" && cp "$(command -v sleep)" %[1]s`, other))
	foreign := s.command(t.Context(), "/bin/sh", "-c", "echo $$ >/mnt/other && exec "+other+" 1000000")
	if err := foreign.Start(); err != nil {
		t.Fatal(err)
	}
	eventually.Succeeds(t, eventually.Patience, func(ctx context.Context) error {
		return s.command(ctx, "/bin/sh", "-c", "grep -qx kubelet /proc/$(cat /mnt/other)/comm").Run()
	})
	refused, err := s.command(t.Context(), filepath.Join(s.dir, "keadm"), "reset", "--force", "--dir", etc).CombinedOutput()
	if err == nil || !strings.Contains(string(refused), "nothing is removed: a kubelet runs here") {
		t.Errorf("where another kubelet runs, a reset says %s, %v", refused, err)
	}
	if _, err := os.Stat(filepath.Join(etc, "certs")); err != nil {
		t.Errorf("where another kubelet runs, a reset removes the certificates: %v", err)
	}
	s.run(t, "/bin/sh", "-c", "kill -KILL $(cat /mnt/other)")
	_ = foreign.Wait() // it was killed

	t.Log(s.run(t, "/bin/sh", "-c", fmt.Sprintf("%s/keadm reset --force --dir %s || true", s.dir, etc)))
	if out, err := s.command(t.Context(), "systemctl", "cat", unitName).CombinedOutput(); err == nil {
		t.Errorf("after the reset there is a unit: %s", out)
	}
	if all := s.run(t, "/bin/sh", "-c", "cat /proc/[0-9]*/comm"); strings.Contains(all, "edgecore") {
		t.Errorf("after the reset edgecore runs: %s", all)
	}
	if _, err := os.Stat(filepath.Join(etc, "certs")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after the reset there are certificates: %v", err)
	}
}
