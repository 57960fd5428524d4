package debugecho

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/discovery/discoverytest"
	"github.com/akri-go/akri/internal/handlers/setup"
)

func TestConformance(t *testing.T) {
	discoverytest.Run(t, func(t *testing.T) discoverytest.Fixture {
		file := filepath.Join(t.TempDir(), "availability")
		write := func(text string) {
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return discoverytest.Fixture{
			Handler: New(Options{AvailabilityFile: file}),
			Request: discovery.Request{Details: "descriptions: [one, two, one]"},
			Present: []string{"one", "two"},
			Unplug:  func() []string { write("OFFLINE\n"); return nil },
			Plug:    func() []string { write("ONLINE\n"); return []string{"one", "two"} },
			Invalid: discovery.Request{Details: "descriptions: 7"},
			AlsoInvalid: []discovery.Request{
				{}, {Details: "{}"}, {Details: "descriptions:"}, {Details: "- a"},
				{Details: "descriptions: [a]\nother: 1"}, {Details: "descriptions: [a]\ndescriptions: [b]"},
				{Details: "descriptions: ['']"}, {Details: `descriptions: ["a\nb"]`},
				{Details: "descriptions: [" + strings.Repeat("x", 1025) + "]"},
				{Details: strings.Repeat("#", 1<<20+1)},
			},
			Nothing: &discovery.Request{Details: "descriptions: []"},
		}
	})
}

func TestDevices(t *testing.T) {
	for _, details := range []string{
		"descriptions:\n- \"foo\"\n",
		`{"descriptions": ["foo"]}`,
	} {
		devices, err := parse(details)
		if err != nil {
			t.Errorf("%q: %v", details, err)
			continue
		}
		want := []discovery.Device{{ID: "foo", Properties: map[string]string{"DEBUG_ECHO_DESCRIPTION": "foo"}}}
		if !discovery.Same(devices, want) {
			t.Errorf("%q: got %+v, want %+v", details, devices, want)
		}
	}
}

// A file that cannot be read must not look like devices that are away.
func TestAvailabilityThatIsNoFile(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{pipe, t.TempDir(), filepath.Join(t.TempDir(), "missing", "file")} {
		h := New(Options{AvailabilityFile: path})
		err := h.Discover(context.Background(), discovery.Request{Details: "descriptions: [a]"}, func([]discovery.Device) error {
			return fmt.Errorf("something was reported")
		})
		if err == nil || discovery.IsInvalid(err) || strings.Contains(err.Error(), "reported") {
			t.Errorf("%s: got error %v, want one about the file", path, err)
		}
	}
}

// The variable means the same in every program, and a flag wins over it.
func TestSetup(t *testing.T) {
	for _, c := range []struct{ env, flag, want string }{
		{"", "", "false"}, {"1", "", "true"}, {"true", "", "true"}, {"TRUE", "", "true"}, {"0", "", "false"}, {"false", "", "false"},
		{"", "-shared", "true"}, {"true", "-shared=false", "false"},
		{"yes", "", `DEBUG_ECHO_INSTANCES_SHARED: "yes" is neither true nor false`},
	} {
		flags := flag.NewFlagSet("", flag.ContinueOnError)
		start := Setup(flags, func(name string) string { return map[string]string{sharedVariable: c.env}[name] })
		if err := flags.Parse(strings.Fields(c.flag)); err != nil {
			t.Fatal(err)
		}
		h, err := start(setup.Program{})
		got := ""
		if err != nil {
			got = err.Error()
		} else {
			got = fmt.Sprint(h.Shared())
		}
		if got != c.want {
			t.Errorf("%q, %q: %s, want %s", c.env, c.flag, got, c.want)
		}
	}
}
