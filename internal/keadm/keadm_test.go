package keadm

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/akri-go/akri/internal/cloud/cloudhub/trust"
	"github.com/akri-go/akri/internal/exitcode"
)

// tokens pretends to be a cluster's.
type tokens []trust.Token

func (t *tokens) CreateToken(_ context.Context, node string, life time.Duration) (string, trust.Token, error) {
	token := trust.Token{ID: "abc", Node: node, Expires: time.Unix(0, 0).Add(life)}
	*t = append(*t, token)
	return "hash.jwt", token, nil
}
func (t *tokens) Tokens(context.Context) ([]trust.Token, error) { return *t, nil }
func (t *tokens) DeleteToken(context.Context, string) error     { return errors.ErrUnsupported }

func TestTokens(t *testing.T) {
	all := &tokens{}
	var out, notes bytes.Buffer
	if err := List(t.Context(), all, time.Unix(0, 0), &out, &notes); err != nil || out.Len() > 0 || !strings.Contains(notes.String(), "keadm gettoken makes one") {
		t.Errorf("none: %q, %q, %v", out.String(), notes.String(), err)
	}
	if err := Get(t.Context(), all, "shop", time.Hour, strings.ToUpper, &out, &notes); err != nil || out.String() != "HASH.JWT\n" {
		t.Errorf("a token alone on a line: %q, %v", out.String(), err)
	}
	if !strings.Contains(notes.String(), "for node shop") {
		t.Errorf("notes: %q", notes.String())
	}
	out.Reset()
	if err := List(t.Context(), all, time.Unix(0, 0), &out, &notes); err != nil {
		t.Fatal(err)
	}
	if got := strings.Fields(out.String()); strings.Join(got, " ") != "ID NODE EXPIRES IN USED abc shop 1h0m0s never" {
		t.Errorf("list: %q", got)
	}
}

func TestJoinKeepsWhatIsThere(t *testing.T) {
	o := Options{Cloudcore: "c:10000", CertPort: 10002, Node: "shop", Dir: t.TempDir(), Kubelet: "/k", RuntimeEndpoint: "unix:///r", CgroupDriver: "systemd"}
	c, have, err := o.configuration("c:10002")
	if err != nil || have || c.Modules.EdgeHub.HTTPServer != "https://c:10002" || !strings.HasPrefix(c.Modules.EdgeHub.CertDir, o.Dir) {
		t.Fatalf("a new one: %+v, %v, %v", c.Modules.EdgeHub, have, err)
	}
	if p := c.Modules.Edged.KubeProxy; p.Enable || !strings.HasPrefix(p.ConfigDir, o.Dir) {
		t.Errorf("no kube-proxy: %+v", p)
	}
	o.KubeProxy = "/p"
	if c, _, err := o.configuration("c:10002"); err != nil || !c.Modules.Edged.KubeProxy.Enable || c.Modules.Edged.KubeProxy.Program != "/p" {
		t.Errorf("kube-proxy: %+v, %v", c.Modules.Edged.KubeProxy, err)
	}
	write := func(text string) {
		t.Helper()
		if err := errors.Join(os.MkdirAll(filepath.Dir(o.Config()), 0o755), os.WriteFile(o.Config(), []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	const good = `{apiVersion: edgecore.config.akri.sh/v1alpha1, kind: EdgeCore, logLevel: debug, modules: {edgeHub: {websocket: {server: "c:10000"}, httpServer: "https://c:10002"}, edged: {hostnameOverride: shop}}}`
	write(good)
	if c, have, err := o.configuration("c:10002"); err != nil || !have || c.LogLevel != "debug" {
		t.Errorf("one that is there: %+v, %v, %v", c, have, err)
	}
	write(strings.Replace(good, "shop", "farm", 1))
	if _, _, err := o.configuration("c:10002"); err == nil || !strings.Contains(err.Error(), "is of node farm") {
		t.Errorf("another node's: %v", err)
	}
	write(good)
	for _, c := range []struct {
		set, says string
		code      int
	}{
		{"logLevel=debug", "", exitcode.OK}, // the same join again
		{"modules.edged={}", "", exitcode.OK},
		{"modules.edged.hostnameOverride=shop", "", exitcode.OK},
		{"logLevel=info", "does not change it", exitcode.Failed},
		{"modules.edged.tailoredKubeletConfig.maxPods=30", "does not change it", exitcode.Failed},
		{"logLevl=info", "logLevl", exitcode.Usage},
	} {
		o.Set = []string{c.set}
		if _, _, err := o.configuration("c:10002"); exitcode.Of(err) != c.code || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("with --set %s: %v, want code %d with %q", c.set, err, c.code, c.says)
		}
	}
	write("{")
	if _, _, err := o.configuration("c:10002"); err == nil || !strings.Contains(err.Error(), o.Config()) {
		t.Errorf("a damaged one: %v", err)
	}
}
