package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/akri-go/akri/internal/cli"
	"github.com/akri-go/akri/internal/exitcode"
)

// run runs keadm and returns its exit code and all its output.
func run(t *testing.T, input string, args ...string) (int, string) {
	t.Helper()
	var out bytes.Buffer
	cmd := newCommand()
	cmd.SetArgs(args)
	cmd.SetIn(strings.NewReader(input))
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	code, say := cli.ExitCode(t.Context(), cmd.ExecuteContext(t.Context()))
	return code, out.String() + say
}

// TestCalls calls keadm as people do who have not read everything.
func TestCalls(t *testing.T) {
	dir := t.TempDir()
	token := filepath.Join(dir, "token")
	if err := os.WriteFile(token, []byte("two words\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args string // "''" stands for an empty one, DIR for a folder
		code int
		says string
	}{
		{"", 0, "keadm gettoken --edgenode-name"},
		{"jion", 2, "did you mean join?"},
		{"frobnicate", 2, "keadm --help lists them"},
		{"version", 0, "keadm "},
		{"--version", 0, "keadm version "},
		{"join --help", 0, "Exit codes:"},
		{"join", 2, "give --cloudcore-ipport: see keadm join --help"},
		{"join --cloudcore-ipport 127.0.0.1:1 shop", 2, `does not take the argument "shop"`},
		{"join --cloudcore-ipport 127.0.0.1:1 -i a --dir DIR", 2, "give --token or --token-file"},
		{"join --cloudcore-ipport 127.0.0.1:1 -i a --token ''", 2, "--token is empty"},
		{"join --cloudcore-ipport 127.0.0.1:1 -i a --token x --token-file y", 2, "--token and --token-file cannot be used together"},
		{"join --cloudcore-ipport 127.0.0.1:1 -i a --token-file DIR/none", 1, "no such file"},
		{"join --cloudcore-ipport 127.0.0.1:1 -i a --token-file DIR/token", 2, "has no token in it"},
		{"join --cloudcore-ipport 127.0.0.1:1 -i a --token-file -", 2, "has no token in it"},
		{"join --cloudcore-ipport c --token x", 2, "want host:port"},
		{"join --cloudcore c", 2, "unknown flag"},
		{"join --cloudcore-ipport 127.0.0.1:1 --token x --certport x", 2, `--certport is "x": want a whole number`},
		{"join --cloudcore-ipport 127.0.0.1:1 --token x --ignore-preflight-errors Swop", 2, `there is no check "Swop"`},
		{"join --cloudcore-ipport 127.0.0.1:1 --token x -i A_B --dir DIR", 2, "--edgenode-name: "},
		{"join --cloudcore-ipport 127.0.0.1:99999 --token x -i a --dir DIR", 2, "want host:port"},
		{"join --cloudcore-ipport 127.0.0.1:1 --certport 99999 --token x -i a --dir DIR", 2, "want https://host:port"},
		{"join --cloudcore-ipport 127.0.0.1:1 --token x -i a --dir DIR --node-ip x", 2, "is no IP address"},
		{"join --cloudcore-ipport 127.0.0.1:1 --token x -i a --dir DIR --kubelet kubelet", 2, "want an absolute path"},
		{"join --cloudcore-ipport 127.0.0.1:1 --token x -i a --dir DIR --cgroupdriver systmd", 2, "want systemd or cgroupfs"},
		{"join --cloudcore-ipport 127.0.0.1:1 --token x -i a --dir DIR --set a", 2, "want key=value"},
		{"join --cloudcore-ipport 127.0.0.1:1 --token x -i a --dir DIR --kubelet DIR/none", 1, "install it in the version of the cluster"},
		{"join --cloudcore-ipport 127.0.0.1:1 --token x -i a --dir DIR -p unix://DIR/none", 1, "start containerd"},
		{"gettoken --kube-config DIR/none", 1, "find the cluster"},
		{"gettoken --print-join-command --kube-config DIR/none", 1, "find the cluster"},
		{"gettoken --ttl -1h", 2, "--ttl is -1h0m0s, which is negative"},
		{"gettoken --ttl 1000h --kube-config DIR/none", 2, "--ttl: a token can be good for 1m to"},
		{"gettoken -i A_B --kube-config DIR/none", 2, "is not a node's name"},
		{"gettoken lits", 2, `does not take the argument "lits"`},
		{"gettoken revoke", 2, "give ID: see keadm gettoken revoke --help"},
		{"init --kube-config DIR/none", 1, "find the cluster"},
		{"init --set x", 2, "--set"},
		{"reset a b", 2, `does not take the argument "b"`},
		{"reset a --force", 2, "--force is not: see keadm reset --help"},
		{"reset --namespace x", 2, "--namespace is not"},
		{"reset A_B --kube-config DIR/none", 2, "is not a node's name"},
		{"reset edge --force", 2, "--force is not"}, // KubeEdge's
		{"reset a --kube-config DIR/none", 1, "find the cluster"},
		{"reset --dir DIR", 2, "answer y, or give --force"},
	} {
		var args []string
		for _, a := range strings.Fields(c.args) {
			args = append(args, strings.NewReplacer("''", "", "DIR", dir).Replace(a))
		}
		if code, said := run(t, "", args...); code != c.code || !strings.Contains(said, c.says) {
			t.Errorf("keadm %s: code %d, want %d with %q:\n%s", c.args, code, c.code, c.says, said)
		}
	}
}

func TestEveryCommandExplainsItself(t *testing.T) {
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		if cmd.Short == "" || cmd.Runnable() && cmd.Args == nil || !strings.Contains(cmd.Long, "Exit codes:\n  0  ") {
			t.Errorf("%s does not explain itself: %q", cmd.CommandPath(), cmd.Long)
		}
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	walk(newCommand())
}

func TestConfirm(t *testing.T) {
	for answer, code := range map[string]int{"y\n": 0, "Yes\n": 0, "n\n": 1, "\n": 1, "": 2, "yes": 0, "never\n": 1} {
		var out bytes.Buffer
		err := confirm(t.Context(), strings.NewReader(answer), &out, "This does something.")
		if exitcode.Of(err) != code || !strings.Contains(out.String(), "This does something.") {
			t.Errorf("%q: %v, want code %d: %s", answer, err, code, &out)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := confirm(ctx, strings.NewReader("y\n"), &bytes.Buffer{}, ""); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
}

func TestReadToken(t *testing.T) {
	if got, err := readToken(strings.NewReader("a.b.c.d\n"), "-"); err != nil || got != "a.b.c.d" {
		t.Errorf("%q, %v", got, err)
	}
	for _, bad := range []string{"", "\n", "a b", strings.Repeat("a", maxTokenBytes+1)} {
		if got, err := readToken(strings.NewReader(bad), "-"); exitcode.Of(err) != exitcode.Usage {
			t.Errorf("%.20q: %q, %v", bad, got, err)
		}
	}
}
