package main

import (
	"bytes"
	"io"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/akri-go/akri/discovery/hostpath"
	"github.com/akri-go/akri/internal/agent"
	agentmetrics "github.com/akri-go/akri/internal/agent/metrics"
	"github.com/akri-go/akri/internal/handlers/setup"
)

func TestCalled(t *testing.T) {
	for _, c := range []struct {
		args string
		env  map[string]string
		code int
		says string
	}{
		{"--help", nil, 0, "Exit codes:"},
		{"--help", nil, 0, "udev, debugEcho, onvif, opcua, modbus, mqtt and mdns"},
		{"--version", nil, 0, "akri-agent "},
		{"--frobnicate", nil, 2, "frobnicate"},
		{"--node-name n more", nil, 2, "more"},
		{"", nil, 2, "AGENT_NODE_NAME"},
		{"--node-name n --metrics-port -1", nil, 2, "metrics port"},
		{"--node-name n --log-level loud", nil, 2, "loud"},
		{"--node-name n --builtin zigbee", nil, 2, "want udev, debugEcho, onvif, opcua, modbus, mqtt or mdns"},
		{"--node-name n --builtin udev", map[string]string{"UDEV_ALLOW_NODE_DEVICES": "sda"}, 2, "not the path of a device node"},
		{"--node-name n --builtin debugEcho", map[string]string{"DEBUG_ECHO_INSTANCES_SHARED": "perhaps"}, 2, "neither true nor false"},
		{"--node-name n", map[string]string{"ENABLE_DEBUG_ECHO": "1", "DEBUG_ECHO_INSTANCES_SHARED": "perhaps"}, 2, "neither true nor false"},
		{"--node-name n --builtin debugEcho --kubeconfig /no/such", map[string]string{"DEBUG_ECHO_INSTANCES_SHARED": "1"}, 1, "/no/such"},
		{"--node-name n --handlers-memory 1", nil, 2, "1Mi to 16Gi"},
		{"--node-name n --slots-freed-after 500ms", nil, 2, "at least 1s"},
		{"--node-name n", map[string]string{"AKRI_SLOTS_FREED_AFTER": "20"}, 2, "at least 1s"},
		{"--node-name n", map[string]string{"AKRI_HANDLER_UIDS": "udev"}, 2, "<handler name>=<uid>"},
	} {
		var out, errs bytes.Buffer
		code := run(t.Context(), strings.Fields(c.args), func(name string) string { return c.env[name] }, &out, &errs)
		if said := out.String() + errs.String(); code != c.code || !strings.Contains(said, c.says) {
			t.Errorf("akri-agent %s: exit code %d, want %d with %q:\n%s", c.args, code, c.code, c.says, said)
		}
		if code != 0 && out.Len() > 0 {
			t.Errorf("akri-agent %s: the standard output has %q", c.args, out.String())
		}
	}
}

func TestParse(t *testing.T) {
	env := map[string]string{"AGENT_NODE_NAME": "n", "METRICS_PORT": "0", "AKRI_BUILTIN_HANDLERS": "udev", "ENABLE_DEBUG_ECHO": "1",
		"AKRI_ALLOWED_MOUNTS": "/a, /b", "POD_NAME": "p", "AKRI_STATE_DIR": "/state", "AKRI_SLOTS_FREED_AFTER": "2s"}
	args := []string{"--allowed-host-paths=/dev,/srv", "--handlers-memory=2Mi", "--socket-gid=7", "--property-namespaces=*", "--handler-uids=x=1"}
	s, err := parse(args, func(name string) string { return env[name] }, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	want := settings{level: "info", builtin: []string{"udev", "debugEcho"}, Options: agent.Options{
		Node: "n", HandlersDir: "/var/lib/akri", StateDir: "/state", SocketGID: 7, HandlerUIDs: map[string][]int{"x": {1}},
		HostPaths:           hostpath.Options{Root: "/", Devices: []string{"/dev", "/srv"}, Mounts: []string{"/a", "/b"}},
		HandlersMemoryBytes: 2 << 20, DevicePluginDir: "/var/lib/kubelet/device-plugins",
		PodResourcesSocket: "/var/lib/kubelet/pod-resources/kubelet.sock", PodName: "p", SlotsFreedAfter: 2 * time.Second, PropertyNamespaces: []string{"*"},
	}}
	if !reflect.DeepEqual(s, want) {
		t.Errorf("have %+v\nwant %+v", s, want)
	}
	if s, err := parse([]string{"--node-name=n"}, func(string) string { return "" }, io.Discard); err != nil || s.MetricsAddress != ":8080" || s.SocketGID != -1 || s.SlotsFreedAfter != 20*time.Second {
		t.Errorf("%+v, %v", s, err)
	}
}

// Each built-in handler is made once.
func TestBuiltin(t *testing.T) {
	r := agentmetrics.NewRegistry()
	p := setup.Program{Log: slog.New(slog.DiscardHandler), Histogram: agentmetrics.Histogram(r), Counter: agentmetrics.Counter(r)}
	made, err := builtin([]string{"debugEcho", "udev", "debugEcho", "udev"}, func(string) string { return "" }, p)
	if err != nil || len(made) != 2 || made[0].Name() != "debugEcho" || made[1].Name() != "udev" {
		t.Errorf("%v, %v", made, err)
	}
}

func TestBindings(t *testing.T) {
	got, err := bindings(list("udev=65532, a=b=0,udev=0,nobody="))
	want := map[string][]int{"udev": {65532, 0}, "a=b": {0}, "nobody": nil}
	if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); err != nil || d != "" {
		t.Errorf("%v\n%s", err, d)
	}
	for _, bad := range []string{"udev", "=1", "udev=-1", "udev=root", "udev=4294967296"} {
		if _, err := bindings([]string{bad}); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}
