package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/akri-go/akri/internal/exitcode"
)

// TestCalls calls keadm as people do who have not read everything.
func TestCalls(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		name string
		args []string
		code int
		says string
	}{
		{"no arguments", nil, exitcode.OK, "keadm gettoken --edgenode-name"},
		{"no token", []string{"join", "--cloudcore-ipport", "c:10000"}, exitcode.Failed, `"token"`},
		{"no port", []string{"join", "--cloudcore-ipport", "c", "--token", "x"}, exitcode.Usage, "want host:port"},
		{"a wrong flag", []string{"join", "--cloudcore", "c"}, exitcode.Usage, "unknown flag"},
		{"a name that no node can have", []string{"join", "--cloudcore-ipport", "c:1", "--token", "x", "-i", "A_B", "--dir", dir}, exitcode.Failed, "is no name of a node"},
		{"no kubelet", []string{"join", "--cloudcore-ipport", "c:1", "--token", "x", "-i", "a", "--dir", dir, "--kubelet", dir + "/none"}, exitcode.Failed, "install it in the version of the cluster"},
		{"no container runtime", []string{"join", "--cloudcore-ipport", "c:1", "--token", "x", "-i", "a", "--dir", dir, "-p", "unix://" + dir + "/none"}, exitcode.Failed, "start containerd"},
		{"no cluster", []string{"gettoken", "--kube-config", dir + "/none"}, exitcode.Failed, "find the cluster"},
		{"no id", []string{"gettoken", "revoke"}, exitcode.Usage, "see keadm gettoken revoke --help"},
		{"no node", []string{"reset"}, exitcode.Usage, "see keadm reset --help"},
	} {
		var out bytes.Buffer
		cmd := newCommand()
		cmd.SetArgs(c.args)
		cmd.SetOut(&out)
		cmd.SetErr(&out)
		err := cmd.ExecuteContext(t.Context())
		if err != nil {
			out.WriteString(err.Error())
		}
		if got := exitcode.Of(err); got != c.code || !strings.Contains(out.String(), c.says) {
			t.Errorf("%s: code %d, want %d, with %q:\n%s", c.name, got, c.code, c.says, out.String())
		}
	}
}
