package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestCalled(t *testing.T) {
	for _, c := range []struct {
		args string
		env  map[string]string
		code int
		says string
	}{
		{"--help", nil, 0, "Exit code"},
		{"--version", nil, 0, "akri-agent "},
		{"--frobnicate", nil, 2, "frobnicate"},
		{"--node-name n more", nil, 2, "more"},
		{"", nil, 2, "AGENT_NODE_NAME"},
		{"--node-name n --metrics-port -1", nil, 2, "metrics port"},
		{"--node-name n --log-level loud", nil, 2, "loud"},
		{"--node-name n --builtin onvif", nil, 2, "onvif"},
		{"--node-name n --builtin debugEcho", map[string]string{"DEBUG_ECHO_INSTANCES_SHARED": "perhaps"}, 2, "neither true nor false"},
		{"--node-name n --builtin debugEcho --kubeconfig /no/such", map[string]string{"DEBUG_ECHO_INSTANCES_SHARED": "1"}, 1, "/no/such"},
	} {
		var said bytes.Buffer
		err := run(t.Context(), strings.Fields(c.args), func(name string) string { return c.env[name] }, &said)
		if err != nil {
			said.WriteString(err.Error())
		}
		if code := exitCode(err); code != c.code || !strings.Contains(said.String(), c.says) {
			t.Errorf("akri-agent %s: exit code %d, want %d with %q:\n%s", c.args, code, c.code, c.says, said.String())
		}
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
