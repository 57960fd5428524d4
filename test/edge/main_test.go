//go:build e2e

// Package edge tests edge nodes: a stock kubelet whose only API server is
// edgecore's, on a machine whose only way out is the link to cloudcore. The link
// and the power are really cut. See testcluster.
package edge

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/akri-go/akri/internal/cell"
	"github.com/akri-go/akri/internal/devcluster"
	"github.com/akri-go/akri/test/testcluster"
)

// etc is /etc/kubeedge on the edge node.
const etc = devcluster.EdgeDir

// These are set before the first test and then only read.
var (
	bed *testcluster.Bed
	api client.WithWatch
)

// installed tells whether this run has installed cloudcore and the programs of the
// edge node: a cluster that was kept has older ones.
var installed bool

func TestMain(m *testing.M) {
	o := testcluster.Options{Name: "edge", EdgeNodes: 1, NoAkri: true, Images: []string{"show-broker"}, NodeGrace: 12 * time.Second, MaxRestartPeriod: 2 * time.Second}
	os.Exit(testcluster.Main(m, o, func(b *testcluster.Bed) { bed, api = b, b.API }))
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

// join installs cloudcore, and joins the edge nodes with keadm.
func join(t *testing.T) {
	t.Helper()
	if err := bed.JoinEdgeNodes(t.Context(), devcluster.JoinOptions{Repo: bed.Repo, Progress: os.Stderr, PingInterval: 2 * time.Second}); err != nil {
		t.Fatal(err)
	}
	installed = true
}

// joined returns the edge node, which runs edgecore and is ready. The first test
// makes it one, and so does the next after a test that has taken it back.
func joined(t *testing.T) *devcluster.EdgeNode {
	t.Helper()
	e, err := bed.EdgeNode(1)
	if err != nil {
		t.Fatal(err)
	}
	if joined, err := e.Joined(); err != nil {
		t.Fatal(err)
	} else if installed && joined {
		start(t, e)
	} else {
		join(t)
	}
	undone(t, func(context.Context) error { t.Log(status(t, e)); return nil })
	testcluster.Eventually(t, testcluster.WaitTimeout, nodeIs(e.Name, true))
	return e
}

// start starts edgecore, as systemd would.
func start(t *testing.T, e *devcluster.EdgeNode) {
	t.Helper()
	if err := e.StartEdgecore(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// kill kills edgecore, and waits until it has ended.
func kill(t *testing.T, e *devcluster.EdgeNode) {
	t.Helper()
	if err := e.End(t.Context(), devcluster.Edgecore, unix.SIGKILL); err != nil {
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
