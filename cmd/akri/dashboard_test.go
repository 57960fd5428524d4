package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/akri-go/akri/internal/eventually"
	"github.com/akri-go/akri/internal/testlog"
)

// It serves the page until it is interrupted, also while the cluster is away; and
// only on the loopback.
func TestDashboardCommand(t *testing.T) {
	file := filepath.Join(t.TempDir(), "kubeconfig")
	config := `{apiVersion: v1, kind: Config, current-context: a, clusters: [{name: x, cluster: {server: "http://127.0.0.1:1"}}],
users: [{name: u, user: {token: t}}], contexts: [{name: a, context: {cluster: x, user: u}}]}`
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var out testlog.Buffer
	cmd := newDashboardCommand()
	cmd.SetOut(&out)
	cmd.SetErr(&bytes.Buffer{})
	cmd.SetArgs([]string{"--kubeconfig", file, "--listen", "127.0.0.1:0"})
	done := make(chan error, 1)
	go func() { done <- cmd.ExecuteContext(ctx) }()
	eventually.Succeeds(t, eventually.Patience, func(context.Context) error {
		m := regexp.MustCompile(`dashboard: (http://127\.0\.0\.1:\d+) `).FindStringSubmatch(out.String())
		if m == nil {
			return fmt.Errorf("it says %q", out.String())
		}
		resp, err := http.Get(m[1] + "/")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				err = fmt.Errorf("%s: %s", m[1], resp.Status)
			}
		}
		return err
	})
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}

	cmd = newDashboardCommand()
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	cmd.SetArgs([]string{"--kubeconfig", file, "--listen", ":0"})
	if err := cmd.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), "can be reached by others") {
		t.Errorf("on all addresses: %v", err)
	}
}
