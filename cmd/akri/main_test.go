package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/akri-go/akri/internal/cli"
	"github.com/akri-go/akri/internal/exitcode"
)

func TestEveryCommandExplainsItself(t *testing.T) {
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		if cmd.Short == "" {
			t.Errorf("%s has no short help", cmd.CommandPath())
		}
		if cmd.Runnable() && cmd.Args == nil {
			t.Errorf("%s takes any argument without a word", cmd.CommandPath())
		}
		if !strings.Contains(cmd.Long, "Exit codes:\n  0  ") {
			t.Errorf("%s does not say with which codes it ends", cmd.CommandPath())
		}
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	walk(newAkriCommand())
}

func TestDevWithoutCluster(t *testing.T) {
	for _, args := range [][]string{
		{"status"}, {"kubeconfig"}, {"kubectl", "--", "get", "pods"}, {"logs"}, {"plug"}, {"unplug"},
		{"exec", "akri-dev-1", "--", "true"},
	} {
		cmd := newAkriCommand()
		var out bytes.Buffer
		cmd.SetOut(&out)
		cmd.SetErr(&out)
		cmd.SetArgs(append([]string{"dev", "--dir", t.TempDir()}, args...))
		if err := cmd.Execute(); err == nil || !strings.Contains(err.Error(), "akri dev up") {
			t.Errorf("akri dev %s: %v, want an error that names the remedy", args[0], err)
		}
	}
}

// run runs akri and returns its exit code and all its output.
func run(args ...string) (int, string) {
	cmd := newAkriCommand()
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SetIn(strings.NewReader(""))
	cmd.SetArgs(args)
	code, say := cli.ExitCode(context.Background(), cmd.Execute())
	return code, out.String() + say
}

// Wrong calls end with 2, at once and with an explanation.
func TestCalledWrongly(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "types.yaml"), []byte("types: [ipp]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	chart := filepath.Join("..", "..", "charts", "akri")
	for _, c := range []struct {
		args string // "''" stands for an empty one, DIR for a folder without a cluster, NOWHERE for what cannot be one
		code int
		says string
	}{
		{"", 0, "Available Commands"},
		{"dev", 0, "Available Commands"},
		{"dav", 2, "did you mean dev?"},
		{"dev pulg", 2, "did you mean plug?"},
		{"dev frobnicate", 2, "akri dev --help lists them"},
		{"discover udv", 2, `there is no handler "udv": choose udev, debugEcho, onvif, opcua, modbus, mqtt or mdns`},
		{"dev plug zram0", 2, `"zram0"`},
		{"dev --dir DIR plug -n 0", 2, "--count is 0"},
		{"dev --dir DIR plug -n -1", 2, "--count is -1, which is negative"},
		{"dev --dir DIR unplug --all zram0", 2, "not both"},
		{"dev --dir DIR unplug ''", 2, "name is empty"},
		{"dev --dir DIR logs -n -1", 2, "--lines is -1"},
		{"dev --dir '' status", 2, "--dir is empty"},
		{"dev --dir NOWHERE up --nodes -1", 2, "--nodes is -1, which is negative"},
		{"dev --dir NOWHERE up --nodes 99", 2, "--nodes is 99: at most 32"},
		{"dev --dir NOWHERE up --kubernetes 1.12", 2, "choose among 1.37.1, "},
		{"dev --dir NOWHERE up --wait -5s", 2, "--wait is -5s, which is negative"},
		{"dev --dir NOWHERE up --chart ''", 2, "--chart is empty"},
		{"dev --dir NOWHERE up --set a=b", 2, "there is no --chart"},
		{"dev --dir NOWHERE up --chart DIR", 1, "Chart.yaml"},
		{"dev --dir NOWHERE up --images DIR", 1, "make images"},
		{"dev --dir NOWHERE up --chart CHART --set agent.enabeld=true", 1, "enabeld"},
		{"dev --dir NOWHERE up --chart CHART --set custom.discovery.enabled=true", 1, "custom.discovery.image.repository"},
		{"dev --dir NOWHERE up --chart CHART --set x", 2, "--set"},
		{"dev --dir NOWHERE up --chart CHART --namespace A", 1, `namespace "A"`},
		{"dev --dir NOWHERE up --chart CHART --release A_B", 1, `release "A_B"`},
		{"dev up --nodes two", 2, "--nodes"},
		{"dev --dir NOWHERE link a --rate fast", 2, `--rate is "fast"`},
		{"dashboard --listen :8080", 2, "can be reached by others"},
		{"dev up --node-monitor-grace-period 1s", 2, "at least 4s"},
		{"dev --dir DIR kubectl", 2, "give kubectl's arguments"},
		{"dev --dir DIR kubectl --", 2, "nothing follows"},
		{"dev kubectl --dir", 2, "nothing follows --dir"},
		{"dev exec", 2, "give a node and a program"},
		{"dev exec akri-dev-1 --", 2, "give a node and a program"},
		{"dev kubectl --help", 0, "kubectl get pods -A"},
		{"dev --dir DIR status", 1, "akri dev up"},
		{"discover udev", 2, "give --rule or "},
		{"discover opcua", 2, "give --url or --details: see akri discover opcua --help"},
		{"discover modbus", 2, "give --server or --details: see akri discover modbus --help"},
		{"discover mqtt", 2, "give --broker or --details: see akri discover mqtt --help"},
		{"discover mdns", 2, "give --type or --details: see akri discover mdns --help"},
		{"discover mdns --type ipp", 2, `"ipp" is no service type: want one such as _ipp._tcp`},
		{"discover udev --rule KERNL==\"null\"", 2, `unknown field "KERNL"`},
		{"discover opcua --url http://plc", 2, "does not begin with opc.tcp://"},
		{"discover modbus --server 10.0.0.0/8", 2, "at most 256 are allowed"},
		{"discover mqtt --broker plc", 2, "does not begin with mqtt://"},
		{"discover onvif --address plc", 2, `"plc" is not an IP address`},
		{"discover mdns --details DIR/types.yaml", 1, `"ipp" is no service type`},
		{"discover onvif --details DIR --address 10.0.0.1", 2, "--address and --details cannot be used together: see"},
		{"discover onvif --timeout 5s", 2, `--timeout is "5s": want a whole number: see`},
		{"discover udev", 2, "see akri discover udev --help"},
		{"discover udev KERNEL", 2, `does not take the argument "KERNEL": see akri discover udev --help`},
		{"discover udev -r KERNEL==\"null\" -o xml", 2, "choose table, json or yaml"},
		{"discover --from DIR", 2, "say what to look for"},
		{"discover udev --rule ''", 2, "--rule is empty"},
		{"discover udev --frobnicate", 2, "--frobnicate"},
		{"check", 2, "give --filename: see akri check --help"},
		{"check a.yaml", 2, `does not take the argument "a.yaml": a file is given with -f: see akri check --help`},
		{"check -f DIR", 1, "is a directory"},
		{"check -f ''", 2, "--filename is empty"},
		{"check -f /no/such/file", 1, "no such file"},
		{"handler tset", 2, "did you mean test?"},
		{"handler test ls", 2, "write -- before the handler's command"},
		{"handler test --", 2, "nothing follows --"},
		{"handler test --property x -- ls", 2, "want name=value"},
		{"handler test --timeout -1s -- ls", 2, "--timeout is -1s, which is negative"},
		{"handler test --timeout 0 -- ls", 2, "--timeout is 0"},
		{"handler test --socket DIR/a.sock -- ls", 2, "leave it out, or the command"},
		{"handler test --socket DIR/a.sock --directory DIR", 2, "cannot be used together"},
		{"handler test --details @/no/such/file -- ls", 1, "no such file"},
		{"handler test -o xml -- ls", 2, "choose table, json or yaml"},
		{"explain pod", 2, "give the name of a pod, as in: akri explain pod logger"},
		{"explain pod ''", 2, "give the name of a pod"},
		{"explain pod a b", 2, `does not take the argument "b": see akri explain pod --help`},
		{"explain frobnicate", 2, `does not take the argument "frobnicate": see akri explain --help`},
		{"explain -o xml", 2, "choose text, json or yaml"},
		{"explain node n1 -n ''", 2, "--namespace is empty"},
		{"explain --kubeconfig /no/such/file", 1, "read the kubeconfig"},
		{"explain --help", 0, "3  something is wrong, and the output says what"},
		{"version now", 2, "now"},
		{"version", 0, "akri "},
		{"--version", 0, "akri version "},
	} {
		var args []string
		for _, a := range strings.Fields(c.args) {
			args = append(args, strings.NewReplacer("''", "", "NOWHERE", "/dev/null/cluster", "DIR", dir, "CHART", chart).Replace(a))
		}
		if code, said := run(args...); code != c.code || !strings.Contains(said, c.says) {
			t.Errorf("akri %s: exit code %d, want %d with %q:\n%s", c.args, code, c.code, c.says, said)
		}
	}
}

func TestKubectlArgs(t *testing.T) {
	for in, want := range map[string]string{
		"get pods -A":              "get pods -A in /d",
		"-- get pods -A":           "get pods -A in /d",
		"--dir /x -- get pods":     "get pods in /x",
		"--dir=/x get -- --dir /y": "get -- --dir /y in /x",
		"logs --dir /x":            "logs --dir /x in /d",
		"-n default get pods":      "-n default get pods in /d",
		"exec pod -- ls --help":    "exec pod -- ls --help in /d",
		"-- --help":                "--help in /d",
	} {
		args, dir, help, err := kubectlArgs(strings.Fields(in), "/d")
		if got := strings.Join(args, " ") + " in " + dir; got != want || help || err != nil {
			t.Errorf("%q: %q, %v, %v, want %q", in, got, help, err, want)
		}
	}
}

func TestEnded(t *testing.T) {
	for script, want := range map[string]int{"exit 0": 0, "exit 7": 7, "kill -9 $$": 137} {
		if code, say := cli.ExitCode(t.Context(), ended(exec.Command("sh", "-c", script).Run())); code != want || say != "" {
			t.Errorf("%s: exit code %d, %q, want %d", script, code, say, want)
		}
	}
	if code, say := cli.ExitCode(t.Context(), ended(exec.Command("/no/such/program").Run())); code != 1 || say == "" {
		t.Errorf("no program: exit code %d, %q", code, say)
	}
}

// Ctrl-C is not a failure.
func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct {
		err  error
		want int
		says string
	}{
		{nil, 0, ""}, {ctx.Err(), 130, "interrupted"}, {exitcode.Usagef("x"), 2, "x"}, {cli.ExitError(7), 7, ""},
		{fmt.Errorf("wait: %w", ctx.Err()), 130, "wait: interrupted"},
		{errors.New("it could not be taken back"), 130, "it could not be taken back"},
	} {
		if code, say := cli.ExitCode(ctx, c.err); code != c.want || say != c.says {
			t.Errorf("%v: exit code %d, want %d; it says %q, want %q", c.err, code, c.want, say, c.says)
		}
	}
	if code, say := cli.ExitCode(t.Context(), context.Canceled); code != exitcode.Failed || say != "context canceled" {
		t.Errorf("a failure that nobody has interrupted: exit code %d, %q", code, say)
	}
}

// Completion offers what exists, and files only where a file is expected.
func TestCompletion(t *testing.T) {
	file := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(file, []byte(manifest), 0o600); err != nil {
		t.Fatal(err)
	}
	for args, want := range map[string]string{
		"dev pl":                                  "plug\t",
		"discover ":                               "udev\t",
		"discover -f " + file + " e":              "echo\n",
		"discover udev --output ":                 "table\njson\nyaml\n:4",
		"discover udev --permissions ":            "r\nw\nm\n",
		"dev demo --with ":                        "webcam\nzram\n:4",
		"dev --dir /no/such unplug ":              ":4",
		"dev status ":                             ":4",
		"check -f ":                               "yaml\nyml\njson\n:8",
		"handler t":                               "test\t",
		"handler test --output ":                  "table\njson\nyaml\n:4",
		"dev up --chart ":                         ":16",
		"explain ":                                "device\t",
		"explain --output ":                       "text\njson\nyaml\n:4",
		"explain pod --kubeconfig /no/such/file ": ":4",
	} {
		fields := append([]string{"__complete"}, strings.Split(args, " ")...)
		if code, said := run(fields...); code != 0 || !strings.Contains(said, want) {
			t.Errorf("%q: %d, %q, want %q", args, code, said, want)
		}
	}
}

func TestLastLines(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(path, []byte("a\nb\nc\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for n, want := range map[int]string{2: "b\nc\n", 9: "a\nb\nc\n", 0: "\n", -1: "\n"} {
		if got, err := lastLines(path, n); err != nil || got != want {
			t.Errorf("%d lines: %q, %v, want %q", n, got, err, want)
		}
	}
}
