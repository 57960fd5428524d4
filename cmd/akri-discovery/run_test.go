package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCalledWrongly(t *testing.T) {
	for _, test := range []struct {
		args []string
		env  map[string]string
		want string // in the message
	}{
		{nil, nil, "say which handler"},
		{[]string{"zigbee"}, nil, `no handler "zigbee"; choose one of debugEcho, udev`},
		{[]string{"udev", "debugEcho"}, nil, `what is "debugEcho" for`},
		{[]string{"udev", "-nonsense"}, nil, "nonsense"},
		{[]string{"udev"}, map[string]string{"LOG_LEVEL": "loud"}, "loud"},
		{[]string{"debugEcho"}, map[string]string{"DEBUG_ECHO_INSTANCES_SHARED": "perhaps"}, "DEBUG_ECHO_INSTANCES_SHARED"},
	} {
		var out, errs strings.Builder
		code := run(context.Background(), test.args, func(name string) string { return test.env[name] }, &out, &errs)
		if code != 2 || !strings.Contains(errs.String(), test.want) || out.Len() > 0 {
			t.Errorf("%q: code %d, %q; want 2 and something with %q", test.args, code, errs.String(), test.want)
		}
	}
}

func TestHelp(t *testing.T) {
	var out, errs strings.Builder
	code := run(context.Background(), []string{"--help"}, func(string) string { return "" }, &out, &errs)
	if code != 0 || errs.Len() > 0 {
		t.Errorf("code %d, %q", code, errs.String())
	}
	for _, want := range []string{"debugEcho", "udev", "DISCOVERY_HANDLERS_DIRECTORY", "POD_IP", "LOG_LEVEL", "DEBUG_ECHO_INSTANCES_SHARED"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the help does not mention %s", want)
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
