package main

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/akri-go/akri/internal/cloud"
)

func TestParse(t *testing.T) {
	file := filepath.Join(t.TempDir(), "config.yaml")
	write := func(text string) string {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return "--config=" + file
	}
	with := func(change func(*cloud.Config)) cloud.Config {
		c := cloud.Default()
		if change != nil {
			change(&c)
		}
		return c
	}
	for _, tt := range []struct {
		name, file string
		args       []string
		env        map[string]string
		want       cloud.Config
		err        string
	}{
		{name: "defaults", want: with(nil)},
		{name: "a file", file: "hub:\n  maxNodes: 7\ncontroller:\n  autonomy: false\n",
			want: with(func(c *cloud.Config) { c.Hub.MaxNodes, c.Controller.Autonomy = 7, false })},
		{name: "an empty file", file: "# nothing\n", want: with(nil)},
		{name: "environment", env: map[string]string{"POD_NAMESPACE": "x", "LOG_LEVEL": "warn", "KUBECONFIG": "k"},
			want: with(func(c *cloud.Config) {
				c.Kubernetes.Namespace, c.LogLevel, c.Kubernetes.Kubeconfig = "x", "warn", "k"
			})},
		{name: "flags come before the file", file: "logLevel: error\nkubernetes:\n  namespace: f\n  secret: s\n",
			args: []string{"--log-level=debug", "--namespace=a"},
			want: with(func(c *cloud.Config) {
				c.Kubernetes.Namespace, c.Kubernetes.Secret, c.LogLevel = "a", "s", "debug"
			})},
		{name: "an unknown key", file: "hub:\n  adress: x\n", err: "adress"},
		{name: "a wrong type", file: "hub:\n  maxNodes: many\n", err: "maxNodes"},
		{name: "a wrong address", file: "join:\n  address: here\n", err: "join.address"},
		{name: "a wrong time", file: "hub:\n  pingInterval: 1h\n", err: "hub.pingInterval"},
		{name: "a wrong quantity", file: "controller:\n  cache: lots\n", err: "controller.cache"},
		{name: "a wrong level", args: []string{"--log-level=loud"}, err: "loud"},
		{name: "no file", args: []string{"--config=/nonexistent/file"}, err: "/nonexistent/file"},
		{name: "unknown flag", args: []string{"--nonsense"}, err: "nonsense"},
		{name: "argument", args: []string{"run"}, err: "run"},
		{name: "both", args: []string{"--minconfig", "--defaultconfig"}, err: "not both"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.file != "" {
				tt.args = append(tt.args, write(tt.file))
			}
			got, err := parse(tt.args, func(k string) string { return tt.env[k] }, &bytes.Buffer{})
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Fatalf("error %v, want one about %q", err, tt.err)
				}
				return
			}
			if err != nil || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("have %+v, %v; want %+v", got, err, tt.want)
			}
		})
	}
}

// What is printed can be used as it is, and means the defaults.
func TestPrinted(t *testing.T) {
	for _, flag := range []string{"--minconfig", "--defaultconfig"} {
		var out, errs bytes.Buffer
		if code := run(t.Context(), []string{flag}, func(string) string { return "" }, &out, &errs); code != 0 ||
			errs.Len() > 0 {
			t.Fatalf("%s: exit code %d, %s", flag, code, &errs)
		}
		file := filepath.Join(t.TempDir(), "config.yaml")
		if err := os.WriteFile(file, out.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := cloud.Load(file)
		if want := cloud.Default(); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v; want %+v", flag, got, err, want)
		}
		if err := got.Check(); err != nil {
			t.Errorf("%s: %v", flag, err)
		}
	}
}

func TestRunFailsWithAReason(t *testing.T) {
	for _, tt := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"--help"}, 0, ""},
		{[]string{"--version"}, 0, ""},
		{[]string{"--nonsense"}, 2, "--help"},
		{[]string{"--log-level=loud"}, 2, "loud"},
		{[]string{"--config=/nonexistent/file"}, 2, "/nonexistent/file"},
		{[]string{"--kubeconfig=/nonexistent/file"}, 1, "/nonexistent/file"},
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
