//go:build e2e

// Package edge tests edge nodes: a stock kubelet whose only API server is
// edgecore's, on a machine whose only way out is the link to cloudcore. The link
// and the power are really cut. See testcluster.
package edge

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/akri-go/akri/internal/cell"
	"github.com/akri-go/akri/internal/devcluster"
	"github.com/akri-go/akri/test/testcluster"
)

const (
	namespace = "kubeedge" // of cloudcore
	edgecore  = "edgecore"
	// etc is /etc/kubeedge on the edge node: its /etc is the machine's.
	etc = "/var/lib/kubeedge/etc"
)

// These are set before the first test and then only read.
var (
	bed *testcluster.Bed
	api client.WithWatch
)

func TestMain(m *testing.M) {
	o := testcluster.Options{Name: "edge", EdgeNodes: 1, NoAkri: true, NodeGrace: 12 * time.Second, MaxRestartPeriod: 2 * time.Second}
	os.Exit(testcluster.Main(m, o, func(b *testcluster.Bed) { bed, api = b, b.API }))
}

// program builds a program of this checkout, where all cells see it.
func program(t *testing.T, name string) string {
	t.Helper()
	return compile(t, "cmd/"+name)
}

// compile builds the program in a folder of this checkout, where all cells see it.
func compile(t *testing.T, folder string) string {
	t.Helper()
	file := filepath.Join(bed.Dir(), "programs", filepath.Base(folder))
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-tags", "grpcnotrace", "-o", file, filepath.Join(bed.Repo, folder))
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0") // it may run in an image without libraries
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v: %s", folder, err, out)
	}
	return file
}

// inside is the path that an edge node has of a program.
func inside(file string) string { return cell.InsidePath("programs", filepath.Base(file)) }

// output runs a command and returns what it prints, without the space around it.
func output(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v: %s%s", strings.Join(cmd.Args, " "), err, out, errs.String())
	}
	return strings.TrimSpace(string(out))
}

// on runs a command on an edge node.
func on(t *testing.T, e *devcluster.EdgeNode, argv ...string) string {
	t.Helper()
	cmd, err := e.Command(t.Context(), argv...)
	if err != nil {
		t.Fatal(err)
	}
	return output(t, cmd)
}

var joined sync.Once

// running joins the edge node, whichever test comes first, and has edgecore run
// on it.
func running(t *testing.T, e *devcluster.EdgeNode) {
	t.Helper()
	joined.Do(func() {
		join(t, e)
		program(t, edgecore)
	})
	start(t, e)
	testcluster.Eventually(t, testcluster.WaitTimeout, nodeIs(e.Name, true))
}

// join installs cloudcore, and joins the edge node with keadm.
func join(t *testing.T, e *devcluster.EdgeNode) {
	t.Helper()
	err := bed.Install(t.Context(), "cloudcore", "cloudcore", namespace, "service.type=NodePort",
		"config.hub.pingInterval=2s", // a link that is cut is noticed after 10 s
		fmt.Sprintf("service.nodePorts.hub=%d", devcluster.CloudHubPort), fmt.Sprintf("service.nodePorts.join=%d", devcluster.JoinPort))
	if err != nil {
		t.Fatal(err)
	}
	keadm := program(t, "keadm")
	token := output(t, exec.CommandContext(t.Context(), keadm, "gettoken", "--kube-config", bed.Kubeconfig(), "--edgenode-name", e.Name))
	t.Log(on(t, e, inside(keadm), "join", "--token", token, "--edgenode-name", e.Name, "--dir", etc,
		"--cloudcore-ipport", fmt.Sprintf("%s:%d", bed.CloudAddress(), devcluster.CloudHubPort), "--certport", fmt.Sprint(devcluster.JoinPort),
		"--kubelet", e.Binary(devcluster.Kubelet), "--kube-proxy", e.Binary(devcluster.Proxy), "--cgroupdriver", "cgroupfs", "--node-ip", e.Address.String()))
	tailor(t, e)
}

// tailor gives the kubelet and kube-proxy the settings that they need in cells.
func tailor(t *testing.T, e *devcluster.EdgeNode) {
	t.Helper()
	settings := func(file string, theirs ...string) map[string]any {
		var cells map[string]any
		if err := yaml.Unmarshal([]byte(on(t, e, "cat", e.Config(file))), &cells); err != nil {
			t.Fatal(err)
		}
		for _, name := range theirs {
			delete(cells, name)
		}
		return cells
	}
	file, err := e.Path(etc + "/config/edgecore.yaml")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var c map[string]any
	if err := yaml.Unmarshal(text, &c); err != nil {
		t.Fatal(err)
	}
	edged := c["modules"].(map[string]any)["edged"].(map[string]any)
	maps.Copy(edged["tailoredKubeletConfig"].(map[string]any), settings("kubelet.yaml", "apiVersion", "kind", "authentication", "authorization",
		"tlsCertFile", "tlsPrivateKeyFile", "nodeLeaseDurationSeconds", "clusterDNS"))
	edged["kubeProxy"].(map[string]any)["tailoredKubeProxyConfig"] = settings("proxy.yaml", "apiVersion", "kind", "clientConnection", "hostnameOverride")
	if text, err = yaml.Marshal(c); err == nil {
		err = os.WriteFile(file, text, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// start starts edgecore, as systemd would.
func start(t *testing.T, e *devcluster.EdgeNode) {
	t.Helper()
	if err := e.Run(t.Context(), edgecore, filepath.Join(bed.Dir(), "programs", edgecore), "--config", etc+"/config/edgecore.yaml"); err != nil {
		t.Fatal(err)
	}
}

// kill kills edgecore, and waits until it has ended.
func kill(t *testing.T, e *devcluster.EdgeNode) {
	t.Helper()
	if err := e.End(t.Context(), edgecore, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

// undone runs what a test must not leave undone.
func undone(t *testing.T, what func(context.Context) error) {
	t.Cleanup(func() {
		if err := what(context.Background()); err != nil {
			t.Error(err)
		}
	})
}
