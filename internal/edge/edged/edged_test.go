package edged

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	kubeletv1beta1 "k8s.io/kubelet/config/v1beta1"
	"sigs.k8s.io/yaml"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/akri-go/akri/internal/backoff"
	"github.com/akri-go/akri/internal/eventually"
	"github.com/akri-go/akri/internal/leaktest"
	"github.com/akri-go/akri/internal/testlog"
)

// The kubelet's own types read what is written.
func TestConfiguration(t *testing.T) {
	o := KubeletOptions{ClusterDNS: "169.254.30.10", Tailored: map[string]any{
		"containerRuntimeEndpoint": "unix:///run/other.sock",
		"authentication":           map[string]any{"webhook": map[string]any{"cacheTTL": "10s"}},
	}}
	data, err := o.configuration()
	if err != nil {
		t.Fatal(err)
	}
	var c kubeletv1beta1.KubeletConfiguration
	if err := yaml.UnmarshalStrict(data, &c); err != nil {
		t.Fatal(err)
	}
	if c.ContentType != "application/json" || c.ContainerRuntimeEndpoint != "unix:///run/other.sock" || len(c.ClusterDNS) != 1 || c.ClusterDNS[0] != "169.254.30.10" ||
		*c.Authentication.Anonymous.Enabled || !*c.Authentication.Webhook.Enabled || c.Authentication.Webhook.CacheTTL.Duration != 10*time.Second ||
		c.Authorization.Mode != kubeletv1beta1.KubeletAuthorizationModeWebhook {
		t.Errorf("%s", data)
	}
	o.Tailored["clusterDNS"] = []any{"10.0.0.10"}
	if data, err := o.configuration(); err != nil || strings.Contains(string(data), "169.254") {
		t.Errorf("clusterDNS cannot be set: %s, %v", data, err)
	}
	for _, bad := range []map[string]any{{"contentType": "application/vnd.kubernetes.protobuf"}, {"kind": "x"}} {
		if _, err := (KubeletOptions{Tailored: bad}).configuration(); err == nil {
			t.Errorf("%v is taken", bad)
		}
	}
}

func TestKubelet(t *testing.T) {
	dir := t.TempDir()
	access := Access{Server: "https://127.0.0.1:10550", CA: []byte("ca"), Credentials: "/x/kubelet.pem"}
	p := NewKubelet(KubeletOptions{Program: "/usr/bin/kubelet", Access: access, Dir: dir, Node: "edge-1", NodeIP: "10.0.0.7", Args: []string{"--v=2"}},
		slog.New(slog.DiscardHandler), io.Discard)
	if err := p.Write(); err != nil {
		t.Fatal(err)
	}
	kubeconfig(t, filepath.Join(dir, "kubelet.kubeconfig"), access)
	want := fmt.Sprintf("--config=%[1]s/kubelet.yaml --kubeconfig=%[1]s/kubelet.kubeconfig --hostname-override=edge-1 --node-ip=10.0.0.7 --v=2", dir)
	if got := strings.Join(p.args, " "); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}

// kubeconfig checks what a program is told of the local API.
func kubeconfig(t *testing.T, file string, want Access) {
	t.Helper()
	c, err := clientcmd.LoadFromFile(file)
	if err != nil {
		t.Fatal(err)
	}
	in := c.Contexts[c.CurrentContext]
	cluster, user := c.Clusters[in.Cluster], c.AuthInfos[in.AuthInfo]
	if cluster.Server != want.Server || string(cluster.CertificateAuthorityData) != string(want.CA) ||
		user.ClientCertificate != want.Credentials || user.ClientKey != want.Credentials {
		t.Errorf("%+v %+v", cluster, user)
	}
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

func TestProxy(t *testing.T) {
	dir := t.TempDir()
	access := Access{Server: "https://127.0.0.1:10550", CA: []byte("ca"), Credentials: "/x/kube-proxy.pem"}
	o := ProxyOptions{Program: "/usr/bin/kube-proxy", Access: access, Dir: dir, Node: "edge-1", Args: []string{"--v=2"},
		Tailored: map[string]any{"mode": "nftables", "conntrack": map[string]any{"maxPerCore": 0}}}
	p := NewProxy(o, slog.New(slog.DiscardHandler), io.Discard)
	if err := p.Write(); err != nil {
		t.Fatal(err)
	}
	kubeconfig(t, filepath.Join(dir, "kube-proxy.kubeconfig"), access)
	if got := strings.Join(p.args, " "); got != "--config="+dir+"/kube-proxy.yaml --v=2" {
		t.Error(got)
	}
	text, err := os.ReadFile(filepath.Join(dir, "kube-proxy.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var c struct {
		Kind, Mode, HostnameOverride string
		ClientConnection             struct{ Kubeconfig, ContentType string }
		Conntrack                    struct{ MaxPerCore *int }
	}
	if err := yaml.Unmarshal(text, &c); err != nil {
		t.Fatal(err)
	}
	if c.Kind != "KubeProxyConfiguration" || c.Mode != "nftables" || c.HostnameOverride != "edge-1" || c.Conntrack.MaxPerCore == nil ||
		c.ClientConnection.Kubeconfig != filepath.Join(dir, "kube-proxy.kubeconfig") || c.ClientConnection.ContentType != jsonType {
		t.Errorf("%s", text)
	}
	for _, name := range []string{"kind", "clientConnection", "hostnameOverride"} {
		o.Tailored = map[string]any{name: "x"}
		if err := NewProxy(o, slog.New(slog.DiscardHandler), io.Discard).Write(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s can be set: %v", name, err)
		}
	}
}

// fake is a script in place of the kubelet: only that it runs is tested.
func fake(t *testing.T, script string) (*Program, *testlog.Buffer) {
	t.Helper()
	leaktest.Check(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "kubelet")
	if err := os.WriteFile(file, []byte("#!/bin/sh\n"+script), 0o700); err != nil {
		t.Fatal(err)
	}
	var log testlog.Buffer
	e := NewKubelet(KubeletOptions{Program: file, Dir: dir, Node: "n"}, slog.New(slog.NewTextHandler(&log, nil)), &log)
	e.retry = backoff.Backoff{First: time.Millisecond, Max: time.Millisecond}
	return e, &log
}

func run(t *testing.T, e *Program) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func TestRestarts(t *testing.T) {
	e, log := fake(t, "echo I was called with $1; exit 3")
	stop := run(t, e)
	eventually.Succeeds(t, eventually.Patience, func(context.Context) error {
		if s := e.State(); s.Restarts < 3 || s.LastExit != "exit status 3" {
			return fmt.Errorf("%+v", s)
		}
		return nil
	})
	stop()
	if !strings.Contains(log.String(), "I was called with --config=") {
		t.Error(log)
	}
}

// What is restarted ends as when it is stopped, and is there again.
func TestRestart(t *testing.T) {
	e, log := fake(t, "trap 'exit 0' TERM; while :; do sleep 0.05; done")
	e.Restart(errors.New("too early")) // nothing runs
	stop := run(t, e)
	runs := func(not int) (pid int) {
		t.Helper()
		eventually.Succeeds(t, eventually.Patience, func(context.Context) error {
			if pid = e.State().PID; pid == 0 || pid == not {
				return fmt.Errorf("process %d", pid)
			}
			return nil
		})
		return pid
	}
	before := runs(0)
	why := errors.New("its Node is gone")
	e.Restart(why)
	e.Restart(errors.New("once more"))
	runs(before)
	if s := e.State(); s.Restarts != 1 || s.LastExit != why.Error() {
		t.Errorf("%+v", s)
	}
	stop()
	if !strings.Contains(log.String(), why.Error()) {
		t.Error(log)
	}
}

func TestStops(t *testing.T) {
	e, _ := fake(t, "trap 'exit 0' TERM; while :; do sleep 0.05; done")
	stop := run(t, e)
	var pid int
	eventually.Succeeds(t, eventually.Patience, func(context.Context) error {
		if pid = e.State().PID; pid == 0 {
			return errors.New("it does not run")
		}
		return nil
	})
	stop()
	if _, err := os.Stat("/proc/" + strconv.Itoa(pid)); err == nil {
		t.Error("it still runs")
	}
}

// A program that is missing is looked for again, which is said once.
func TestMissing(t *testing.T) {
	e, log := fake(t, "exit 0")
	there := e.path
	e.path = filepath.Join(filepath.Dir(there), "missing")
	stop := run(t, e)
	eventually.Succeeds(t, eventually.Patience, func(context.Context) error {
		if s := e.State(); s.Restarts < 3 || !strings.Contains(s.LastExit, e.path) || !strings.Contains(s.LastExit, e.remedy) {
			return fmt.Errorf("%+v", s)
		}
		return nil
	})
	if n := strings.Count(log.String(), e.remedy); n != 1 {
		t.Errorf("said %d times: %s", n, log)
	}
	if err := os.Rename(there, e.path); err != nil {
		t.Fatal(err)
	}
	eventually.Succeeds(t, eventually.Patience, func(context.Context) error {
		if s := e.State(); s.LastExit != "exit status 0" {
			return fmt.Errorf("%+v", s)
		}
		return nil
	})
	stop()
}
