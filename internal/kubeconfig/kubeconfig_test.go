package kubeconfig

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const config = `{apiVersion: v1, kind: Config, current-context: a,
clusters: [{name: x, cluster: {server: "https://x.example:6443"}}, {name: z, cluster: {server: "https://z.example:6443"}}],
users: [{name: u, user: {token: t}}],
contexts: [{name: a, context: {cluster: x, user: u, namespace: lab}}, {name: b, context: {cluster: z, user: u}}]}`

func TestUser(t *testing.T) {
	file := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		variable, file, context string
		host, namespace, err    string
	}{
		{file, "", "", "https://x.example:6443", "lab", ""},
		{"/no/such/file", file, "b", "https://z.example:6443", "default", ""},
		{file, "", "c", "", "", "context was not found for specified context: c"},
		{file, "/no/such/file", "", "", "", "no such file"},
		{"/no/such/file", "", "", "", "", "export KUBECONFIG=$(akri dev kubeconfig --path)"},
		{"/no/such/file", "", "", "", "", "there is no kubeconfig where KUBECONFIG says, at /no/such/file: "},
	} {
		t.Setenv("KUBECONFIG", tt.variable)
		t.Setenv("KUBERNETES_SERVICE_HOST", "")
		cfg, namespace, err := User(tt.file, tt.context)
		switch {
		case tt.err != "":
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%+v: %v", tt, err)
			}
		case err != nil:
			t.Errorf("%+v: %v", tt, err)
		case cfg.Host != tt.host || namespace != tt.namespace:
			t.Errorf("%+v: %s, %s", tt, cfg.Host, namespace)
		}
	}
	t.Setenv("KUBECONFIG", "")
	if got, want := Missing("make one").Error(), "there is no kubeconfig: make one"; got != want {
		t.Errorf("without a variable: %q, want %q", got, want)
	}
}
