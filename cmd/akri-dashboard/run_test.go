package main

import (
	"bytes"
	"os"
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
		{name: "defaults", want: settings{address: "127.0.0.1:8080", probeAddress: ":8081", level: "info"}},
		{name: "environment", env: map[string]string{"LISTEN": ":80", "TOKEN_FILE": "t", "HEALTH_PROBE_ADDRESS": "0", "LOG_LEVEL": "warn", "KUBECONFIG": "k", "NAMESPACE": "n"},
			want: settings{kubeconfig: "k", namespace: "n", address: ":80", tokenFile: "t", probeAddress: "0", level: "warn"}},
		{name: "flags win", args: []string{"--listen=[::1]:9", "--token-file=f"}, env: map[string]string{"LISTEN": ":80"},
			want: settings{address: "[::1]:9", tokenFile: "f", probeAddress: ":8081", level: "info"}},
		{name: "unknown flag", args: []string{"--nonsense"}, err: "nonsense"},
		{name: "argument", args: []string{"run"}, err: "run"},
	} {
		got, err := parse(tt.args, func(k string) string { return tt.env[k] }, &bytes.Buffer{})
		if tt.err != "" {
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%s: error %v, want one about %q", tt.name, err, tt.err)
			}
		} else if err != nil || got != tt.want {
			t.Errorf("%s: have %+v, %v; want %+v", tt.name, got, err, tt.want)
		}
	}
}

const config = `{apiVersion: v1, kind: Config, current-context: a, clusters: [{name: x, cluster: {server: "https://127.0.0.1:1"}}],
users: [{name: u, user: {token: t}}], contexts: [{name: a, context: {cluster: x, user: u}}]}`

func TestRunFailsWithAReason(t *testing.T) {
	file := t.TempDir() + "/kubeconfig"
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"--help"}, 0, ""},
		{[]string{"--version"}, 0, ""},
		{[]string{"--nonsense"}, 2, "--help"},
		{[]string{"--log-level=loud"}, 2, "loud"},
		{[]string{"--kubeconfig=/nonexistent/file"}, 1, "/nonexistent/file"},
		{[]string{"--kubeconfig=/nonexistent/file", "--listen=:0"}, 2, "can be reached by others"},
		{[]string{"--kubeconfig=" + file, "--listen=:0", "--token-file=" + file + ".none"}, 1, "read the token"},
		{[]string{"--kubeconfig=" + file, "--listen=127.0.0.1:99999"}, 1, "listen"},
	} {
		var out, errs bytes.Buffer
		if code := run(t.Context(), tt.args, func(string) string { return "" }, &out, &errs); code != tt.code {
			t.Errorf("%v: exit code %d, want %d", tt.args, code, tt.code)
		}
		if tt.args[0] == "--help" && !strings.Contains(out.String(), "Exit codes:\n  0  it ") {
			t.Errorf("the help does not tell the exit codes:\n%s", out.String())
		}
		if !strings.Contains(errs.String(), tt.want) {
			t.Errorf("%v: %q does not tell about %q", tt.args, errs.String(), tt.want)
		}
	}
}
