package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/akri-go/akri/internal/controller"
	"github.com/akri-go/akri/internal/controller/node"
)

func TestParse(t *testing.T) {
	// with changes the defaults.
	with := func(change func(*settings)) settings {
		s := settings{
			level: "info", metricsPort: 8080, probeAddress: ":8081", leaderElection: true, webhookPort: 8443,
			nodeGrace: node.Grace{Node: time.Minute, Last: 5 * time.Minute}, resourceRetention: 6 * time.Minute,
			leaseDuration: 30 * time.Second,
		}
		if change != nil {
			change(&s)
		}
		return s
	}
	for _, tt := range []struct {
		name string
		args []string
		env  map[string]string
		want settings
		err  string
	}{
		{name: "defaults", want: with(nil)},
		{name: "environment", env: map[string]string{"METRICS_PORT": "9", "POD_NAMESPACE": "akri", "LOG_LEVEL": "warn", "KUBECONFIG": "k"},
			want: with(func(s *settings) { s.kubeconfig, s.namespace, s.level, s.metricsPort = "k", "akri", "warn", 9 })},
		{name: "upstream's log level", env: map[string]string{"RUST_LOG": "trace"}, want: with(func(s *settings) { s.level = "debug" })},
		{name: "upstream's log filter", env: map[string]string{"RUST_LOG": "controller=debug,kube=info"}, want: with(nil)},
		{name: "flags win", args: []string{"--metrics-port=0", "--leader-elect=false", "--health-probe-address=0"}, env: map[string]string{"METRICS_PORT": "9"},
			want: with(func(s *settings) { s.metricsPort, s.leaderElection, s.probeAddress = 0, false, "0" })},
		{name: "times", args: []string{"--node-lost-after=30s", "--resources-left-over-after=0"}, env: map[string]string{"LAST_NODE_LOST_AFTER": "1h", "NODE_LOST_AFTER": "2s"},
			want: with(func(s *settings) {
				s.nodeGrace, s.resourceRetention = node.Grace{Node: 30 * time.Second, Last: time.Hour}, 0
			})},
		{name: "Lease", args: []string{"--lease-duration=9s"}, env: map[string]string{"POD_NAME": "p", "POD_UID": "u"},
			want: with(func(s *settings) { s.leaseDuration, s.pod = 9*time.Second, controller.Pod{Name: "p", UID: "u"} })},
		{name: "a Lease too short to renew", env: map[string]string{"LEASE_DURATION": "5s"}, err: "--lease-duration 5s is too short"},
		{name: "bad time", env: map[string]string{"NODE_LOST_AFTER": "60"}, err: "NODE_LOST_AFTER"},
		{name: "negative time", args: []string{"--node-lost-after=-1s"}, err: "negative"},
		{name: "webhook", args: []string{"--webhook=hook", "--webhook-port=9443"}, env: map[string]string{"WEBHOOK_CA_BUNDLE": "cGVt"},
			want: with(func(s *settings) { s.webhook, s.webhookPort, s.webhookCA = "hook", 9443, "pem" })},
		{name: "bad bundle", args: []string{"--webhook-ca-bundle=-----BEGIN"}, err: "CA bundle"},
		{name: "bad webhook port", args: []string{"--webhook-port=0"}, err: "webhook port"},
		{name: "bad port", env: map[string]string{"METRICS_PORT": "x"}, err: "METRICS_PORT"},
		{name: "port out of range", args: []string{"--metrics-port=70000"}, err: "65535"},
		{name: "unknown flag", args: []string{"--nonsense"}, err: "nonsense"},
		{name: "argument", args: []string{"run"}, err: "run"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parse(tt.args, func(k string) string { return tt.env[k] }, &bytes.Buffer{})
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Fatalf("error %v, want one about %q", err, tt.err)
				}
				return
			}
			if err != nil || got != tt.want {
				t.Errorf("have %+v, %v; want %+v", got, err, tt.want)
			}
		})
	}
}

func TestRunFailsWithAReason(t *testing.T) {
	for _, tt := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"--help"}, 0, ""},
		{[]string{"--nonsense"}, 2, "--help"},
		{[]string{"--log-level=loud"}, 2, "loud"},
		{[]string{"--webhook-authorize-specs=perhaps"}, 2, "perhaps"},
		{[]string{"--kubeconfig=/nonexistent/file"}, 1, "/nonexistent/file"},
		{[]string{"crds", "--help"}, 0, ""},
		{[]string{"crds", "--release=akri"}, 2, "release"},
		{[]string{"crds", "--timeout=0s"}, 2, "more than 0"},
		{[]string{"crds", "--log-level=loud"}, 2, "loud"},
		{[]string{"crds", "--kubeconfig=/nonexistent/file"}, 1, "/nonexistent/file"},
		{[]string{"cleanup"}, 2, "--release and --namespace"},
		{[]string{"cleanup", "--release=akri"}, 2, "--release and --namespace"},
		{[]string{"cleanup", "--release=akri", "--namespace=x", "now"}, 2, "now"},
		{[]string{"cleanup", "--release=akri", "--namespace=x", "--kubeconfig=/nonexistent/file"}, 1, "/nonexistent/file"},
	} {
		var out, errs bytes.Buffer
		if code := run(t.Context(), tt.args, func(string) string { return "" }, &out, &errs); code != tt.code {
			t.Errorf("%v: exit code %d, want %d", tt.args, code, tt.code)
		}
		if tt.code == 0 && !strings.Contains(out.String(), "Exit codes:\n  0  it ") {
			t.Errorf("%v: the help does not tell the exit codes:\n%s", tt.args, out.String())
		}
		if !strings.Contains(errs.String(), tt.want) {
			t.Errorf("%v: %q does not tell about %q", tt.args, errs.String(), tt.want)
		}
	}
}
