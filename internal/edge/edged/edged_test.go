package edged

import (
	"context"
	"errors"
	"fmt"
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
	o := Options{Tailored: map[string]any{
		"clusterDNS":               []any{"10.0.0.10"},
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
	if c.ContentType != "application/json" || c.ContainerRuntimeEndpoint != "unix:///run/other.sock" || len(c.ClusterDNS) != 1 ||
		*c.Authentication.Anonymous.Enabled || !*c.Authentication.Webhook.Enabled || c.Authentication.Webhook.CacheTTL.Duration != 10*time.Second ||
		c.Authorization.Mode != kubeletv1beta1.KubeletAuthorizationModeWebhook {
		t.Errorf("%s", data)
	}
	for _, bad := range []map[string]any{{"contentType": "application/vnd.kubernetes.protobuf"}, {"kind": "x"}} {
		if _, err := (Options{Tailored: bad}).configuration(); err == nil {
			t.Errorf("%v is taken", bad)
		}
	}
}

func TestKubeconfig(t *testing.T) {
	o := Options{Server: "https://127.0.0.1:10550", CA: []byte("ca"), Credentials: "/x/kubelet.pem", Dir: t.TempDir(), Node: "edge-1", NodeIP: "10.0.0.7", Args: []string{"--v=2"}}
	if err := o.Write(); err != nil {
		t.Fatal(err)
	}
	c, err := clientcmd.LoadFromFile(o.kubeconfigFile())
	if err != nil {
		t.Fatal(err)
	}
	cluster, user := c.Clusters["edgecore"], c.AuthInfos["kubelet"]
	if cluster.Server != o.Server || string(cluster.CertificateAuthorityData) != "ca" || user.ClientCertificate != o.Credentials || user.ClientKey != o.Credentials || c.Contexts[c.CurrentContext].AuthInfo != "kubelet" {
		t.Errorf("%+v %+v", cluster, user)
	}
	want := fmt.Sprintf("--config=%s --kubeconfig=%s --hostname-override=edge-1 --node-ip=10.0.0.7 --v=2", o.configFile(), o.kubeconfigFile())
	if got := strings.Join(o.arguments(), " "); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}

// fake is a script in place of the kubelet: only that it runs is tested.
func fake(t *testing.T, script string) (*Edged, *testlog.Buffer) {
	t.Helper()
	leaktest.Check(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "kubelet")
	if err := os.WriteFile(file, []byte("#!/bin/sh\n"+script), 0o700); err != nil {
		t.Fatal(err)
	}
	var log testlog.Buffer
	e := New(Options{Kubelet: file, Dir: dir, Node: "n"}, slog.New(slog.NewTextHandler(&log, nil)), &log)
	e.retry = backoff.Backoff{First: time.Millisecond, Max: time.Millisecond}
	return e, &log
}

func run(t *testing.T, e *Edged) (stop func()) {
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
	eventually.Succeeds(t, 20*time.Second, func(context.Context) error {
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

func TestStops(t *testing.T) {
	e, _ := fake(t, "trap 'exit 0' TERM; while :; do sleep 0.05; done")
	stop := run(t, e)
	var pid int
	eventually.Succeeds(t, 20*time.Second, func(context.Context) error {
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

func TestCannotStart(t *testing.T) {
	e, _ := fake(t, "")
	e.Kubelet = "/no/such/kubelet"
	stop := run(t, e)
	eventually.Succeeds(t, 20*time.Second, func(context.Context) error {
		if s := e.State(); s.Restarts == 0 || !strings.Contains(s.LastExit, "/no/such/kubelet") {
			return fmt.Errorf("%+v", s)
		}
		return nil
	})
	stop()
}
