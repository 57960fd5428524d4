package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/akri-go/akri/internal/eventually"
	"github.com/akri-go/akri/internal/freeport"
	"github.com/akri-go/akri/internal/leaktest"
	"github.com/akri-go/akri/internal/testlog"
)

func TestCalled(t *testing.T) {
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad.yaml")
	if err := os.WriteFile(bad, []byte("modul: {}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args string
		code int
		says string
	}{
		{"--help", 0, "Exit codes:"},
		{"--version", 0, "edgecore "},
		{"--minconfig", 0, "websocket:"},
		{"--defaultconfig", 0, "certDir: /etc/kubeedge/certs"},
		{"run --frobnicate", 2, "frobnicate"},
		{"walk", 2, "walk"},
		{"run -o json", 2, "want edgecore status -o json"},
		{"--config /no/such/file", 2, "--minconfig"},
		{"status --config /no/such/file", 2, "keadm join makes this machine an edge node"},
		{"--minconfig --defaultconfig", 2, "not both"},
		{"status --minconfig", 2, "status prints no configuration"},
		{"run --config " + bad, 2, `unknown field "modul"`},
		{"status --config " + bad, 2, `unknown field "modul"`},
	} {
		var out, errs bytes.Buffer
		code := run(t.Context(), strings.Fields(c.args), func(string) string { return "" }, &out, &errs)
		if said := out.String() + errs.String(); code != c.code || !strings.Contains(said, c.says) {
			t.Errorf("edgecore %s: exit code %d, want %d with %q:\n%s", c.args, code, c.code, c.says, said)
		}
		if code != 0 && out.Len() > 0 {
			t.Errorf("edgecore %s: the standard output has %q", c.args, out.String())
		}
	}
}

// It starts without a cloudcore, with a script in place of the kubelet, and
// tells what is going on.
func TestStatus(t *testing.T) {
	leaktest.Check(t)
	dir := t.TempDir()
	kubelet := filepath.Join(dir, "kubelet")
	if err := os.WriteFile(kubelet, []byte("#!/bin/sh\ntrap 'exit 0' TERM\nwhile :; do sleep 0.05; done\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	var addresses []string
	for range 2 {
		addresses = append(addresses, freeport.Address(t))
	}
	file := filepath.Join(dir, "edgecore.yaml")
	text := fmt.Sprintf(`apiVersion: edgecore.config.akri.sh/v1alpha1
kind: EdgeCore
database: {dataSource: %[1]s/lib/edgecore.db}
statusSocket: %[1]s/s.sock
metrics: {server: %[4]q}
modules:
  dns: {enable: false}
  edgeHub:
    websocket: {server: "127.0.0.1:1"}
    certDir: %[1]s/none
  metaManager:
    metaServer: {server: %[3]q, podServer: "", certDir: %[1]s/local}
  edged:
    hostnameOverride: edge-1
    kubelet: %[2]s
    configDir: %[1]s/kubelet.d
    kubeProxy: {program: %[1]s/none, configDir: %[1]s/proxy.d}
`, dir, kubelet, addresses[0], addresses[1])
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	none := func(string) string { return "GOGC" }
	var out, errs bytes.Buffer
	if code := run(t.Context(), []string{"status", "--config", file}, none, &out, &errs); code != 1 || !strings.Contains(errs.String(), "edgecore does not run") {
		t.Errorf("before it runs: %d, %s%s", code, &out, &errs)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var log testlog.Buffer
	ended := make(chan int, 1)
	go func() { ended <- run(ctx, []string{"--config", file}, none, &log, &log) }()
	eventually.Succeeds(t, eventually.Patience, func(context.Context) error {
		var out, errs bytes.Buffer
		if code := run(t.Context(), []string{"status", "--config", file}, none, &out, &errs); code != 0 {
			return errors.New(errs.String())
		}
		for _, says := range []string{"node          edge-1", "this node has not joined", "last contact  never", "runs for", "kube-proxy    DOES NOT RUN: start kube-proxy", "Services do not work", "not known yet", "0 objects"} {
			if !strings.Contains(out.String(), says) {
				return fmt.Errorf("%q is not in\n%s\n%s", says, &out, log.String())
			}
		}
		return nil
	})
	out.Reset()
	if code := run(t.Context(), []string{"status", "-o", "json", "--config", file}, none, &out, &errs); code != 0 || !strings.Contains(out.String(), `"podsUnknown": true`) {
		t.Errorf("%d, %s", code, &out)
	}
	eventually.Succeeds(t, eventually.Patience, func(context.Context) error {
		resp, err := http.Get("http://" + addresses[1] + "/metrics")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		said, err := io.ReadAll(resp.Body)
		if err != nil || !strings.Contains(string(said), "akri_edge_link_connected 0\n") || !strings.Contains(string(said), "process_resident_memory_bytes") {
			return fmt.Errorf("metrics: %w\n%s", err, said)
		}
		return nil
	})
	http.DefaultClient.CloseIdleConnections()
	cancel()
	if code := <-ended; code != 0 {
		t.Errorf("it ended with %d: %s", code, log.String())
	}
}
