package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/akri-go/akri/internal/agent/registry"
	"github.com/akri-go/akri/internal/eventually"
	"github.com/akri-go/akri/internal/freeport"
	"github.com/akri-go/akri/internal/handlers/all"
)

func TestCalledWrongly(t *testing.T) {
	for _, test := range []struct {
		args []string
		env  map[string]string
		want string // in the message
	}{
		{nil, nil, "name the handler"},
		{[]string{"zigbee"}, nil, `no handler "zigbee"; choose udev, debugEcho, onvif, opcua, modbus, mqtt or mdns`},
		{[]string{"udev", "zigbee"}, nil, `no handler "zigbee"`},
		{[]string{"udev", "debugEcho", "udev"}, nil, "handler udev is named twice"},
		{[]string{"udev", "-shared", "debugEcho"}, nil, "udev: flag provided but not defined: -shared"},
		{[]string{"onvif", "udev"}, map[string]string{"UDEV_ALLOW_NODE_DEVICES": "sda"}, "udev: "},
		{[]string{"udev", "debugEcho"}, map[string]string{"POD_IP": "192.0.2.1"}, "run a process for each"},
		{[]string{"udev", "-nonsense"}, nil, "nonsense"},
		{[]string{"udev", "-shared"}, nil, "-shared"},
		{[]string{"-shared", "debugEcho"}, nil, "flags of a handler follow its name"},
		{[]string{"udev"}, map[string]string{"LOG_LEVEL": "loud"}, "loud"},
		{[]string{"debugEcho"}, map[string]string{"DEBUG_ECHO_INSTANCES_SHARED": "perhaps"}, "DEBUG_ECHO_INSTANCES_SHARED"},
		{[]string{"udev"}, map[string]string{"METRICS_PORT": "many"}, "METRICS_PORT"},
		{[]string{"udev", "-allow-node-devices", "/dev/sda,sdb"}, nil, `"sdb" is not the path of a device node`},
		{[]string{"udev"}, map[string]string{"UDEV_ALLOW_NODE_DEVICES": "/dev/["}, "[ without ]"},
		{[]string{"udev", "-metrics-port", "70000"}, nil, "metrics port 70000"},
	} {
		var out, errs strings.Builder
		code := run(context.Background(), test.args, func(name string) string { return test.env[name] }, &out, &errs)
		if code != 2 || !strings.Contains(errs.String(), test.want) || out.Len() > 0 {
			t.Errorf("%q: code %d, %q; want 2 and something with %q", test.args, code, errs.String(), test.want)
		}
	}
}

func TestHelp(t *testing.T) {
	for args, wants := range map[string][]string{
		"--help": {"Exit codes:\n  0  it was told to end", "  udev       devices that the kernel knows", "debugEcho", "DISCOVERY_HANDLERS_DIRECTORY", "POD_IP", "LOG_LEVEL", "METRICS_PORT"},
		"udev -h": {"akri-discovery udev finds devices that the kernel knows", "/run/udev", "UDEV_NODE_MOUNTS", "UDEV_ALLOW_NODE_DEVICES",
			"METRICS_PORT", "[flags] udev [flags]", "Exit codes:"},
		"-port 7 debugEcho --help":              {"DEBUG_ECHO_INSTANCES_SHARED", "-directory", "OFFLINE", "(default 10000)"},
		"udev -metrics-port 7 debugEcho --help": {"akri-discovery debugEcho finds", "DEBUG_ECHO_INSTANCES_SHARED"},
	} {
		var out, errs strings.Builder
		code := run(context.Background(), strings.Fields(args), func(string) string { return "" }, &out, &errs)
		if code != 0 || errs.Len() > 0 {
			t.Errorf("%s: code %d, %q", args, code, errs.String())
		}
		for _, want := range wants {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%s: no %q in\n%s", args, want, out.String())
			}
		}
	}
}

// Flags of a handler are not called like those of the program.
func TestHelpOfEachHandler(t *testing.T) {
	for _, kind := range all.Kinds() {
		var out, errs strings.Builder
		code := run(t.Context(), []string{kind.Name, "--help"}, func(string) string { return "" }, &out, &errs)
		if code != 0 || !strings.Contains(out.String(), kind.About) {
			t.Errorf("%s: code %d, %q\n%s", kind.Name, code, errs.String(), out.String())
		}
	}
}

func TestRunsUntilStopped(t *testing.T) {
	dir, err := os.MkdirTemp("", "akri")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	ctx, cancel := context.WithCancel(t.Context())
	var out, errs strings.Builder
	done := make(chan int)
	go func() {
		done <- run(ctx, []string{"debugEcho", "-directory", dir, "-log-level", "error"}, func(string) string { return "" }, &out, &errs)
	}()
	cancel()
	if code := <-done; code != 0 {
		t.Errorf("code %d, %q", code, errs.String())
	}
	if code := run(t.Context(), []string{"debugEcho", "-directory", filepath.Join(dir, "missing")}, func(string) string { return "" }, &out, &errs); code != 1 {
		t.Errorf("with a missing directory: code %d", code)
	}
}

// It is ready once an agent has accepted the handler.
func TestProbes(t *testing.T) {
	dir, err := os.MkdirTemp("", "akri")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	port := freeport.Port(t)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() {
		args := []string{"udev", "-directory", dir, "-metrics-port", strconv.Itoa(port)}
		if code := run(ctx, args, func(string) string { return "" }, io.Discard, io.Discard); code != 0 {
			t.Errorf("it ended with code %d", code)
		}
	})
	get := func(path string) (int, string) {
		resp, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d%s", port, path))
		if err != nil {
			return 0, err.Error()
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			return 0, err.Error()
		}
		return resp.StatusCode, string(body)
	}
	until := func(path string, want int) {
		t.Helper()
		deadline := time.After(eventually.Patience)
		for {
			code, body := get(path)
			if code == want {
				return
			}
			select {
			case <-deadline:
				t.Fatalf("%s: %d %s, want %d", path, code, body, want)
			case <-time.After(10 * time.Millisecond):
			}
		}
	}
	until("/healthz", http.StatusOK)
	until("/readyz", http.StatusServiceUnavailable)
	agent, err := registry.New(registry.Options{Dir: dir, Observer: nobody{}, SocketGID: os.Getgid()})
	if err != nil {
		t.Fatal(err)
	}
	wg.Go(func() {
		if err := agent.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	until("/readyz", http.StatusOK)
	if _, body := get("/metrics"); !strings.Contains(body, "akri_udev_report_seconds_count 0") || !strings.Contains(body, "process_resident_memory_bytes") {
		t.Errorf("the metrics are %s", body)
	}
}

// nobody is an observer that does nothing.
type nobody struct{}

func (nobody) Reported(registry.Report) error { return nil }
func (nobody) Failed(registry.Failure)        {}
func (nobody) Lost(registry.Loss)             {}
