package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		name string
		args []string
		env  map[string]string
		want settings
		err  string
	}{
		{name: "defaults", want: settings{level: "info", metricsPort: 8080, probeAddress: ":8081", leaderElection: true, webhookPort: 8443}},
		{name: "environment", env: map[string]string{"METRICS_PORT": "9", "POD_NAMESPACE": "akri", "LOG_LEVEL": "warn", "KUBECONFIG": "k"},
			want: settings{kubeconfig: "k", namespace: "akri", level: "warn", metricsPort: 9, probeAddress: ":8081", leaderElection: true, webhookPort: 8443}},
		{name: "upstream's log level", env: map[string]string{"RUST_LOG": "trace"},
			want: settings{level: "debug", metricsPort: 8080, probeAddress: ":8081", leaderElection: true, webhookPort: 8443}},
		{name: "upstream's log filter", env: map[string]string{"RUST_LOG": "controller=debug,kube=info"},
			want: settings{level: "info", metricsPort: 8080, probeAddress: ":8081", leaderElection: true, webhookPort: 8443}},
		{name: "flags win", args: []string{"--metrics-port=0", "--leader-elect=false", "--health-probe-address=0"}, env: map[string]string{"METRICS_PORT": "9"},
			want: settings{level: "info", probeAddress: "0", webhookPort: 8443}},
		{name: "webhook", args: []string{"--webhook=hook", "--webhook-port=9443"}, env: map[string]string{"WEBHOOK_CA_BUNDLE": "cGVt"},
			want: settings{level: "info", metricsPort: 8080, probeAddress: ":8081", leaderElection: true, webhook: "hook", webhookPort: 9443, webhookCA: "pem"}},
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
		{[]string{"--kubeconfig=/nonexistent/file"}, 1, "/nonexistent/file"},
	} {
		var out, errs bytes.Buffer
		if code := run(t.Context(), tt.args, func(string) string { return "" }, &out, &errs); code != tt.code {
			t.Errorf("%v: exit code %d, want %d", tt.args, code, tt.code)
		}
		if !strings.Contains(errs.String(), tt.want) {
			t.Errorf("%v: %q does not tell about %q", tt.args, errs.String(), tt.want)
		}
	}
}
