//go:build e2e

package edge

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/akri-go/akri/internal/devcluster"
	"github.com/akri-go/akri/test/testcluster"
)

// TestReset takes everything off an edge node, Pods included, twice, and joins it
// again.
func TestReset(t *testing.T) {
	e := joined(t)
	w := deploy(t, bed.NewNamespace(t), e.Name)
	testcluster.Eventually(t, testcluster.WaitTimeout, w.runs)

	reset := []string{e.Program(devcluster.Keadm), "reset", "--force", "--dir", etc}
	said := on(t, e, reset...)
	t.Log(said)
	for _, want := range []string{"stopped edgecore", "ended ", "emptied /var/lib/kubelet", "removed the node's certificates", "keadm reset " + e.Name} {
		if !strings.Contains(said, want) {
			t.Errorf("it does not say %q", want)
		}
	}
	if left := containers(t, e); left != "" {
		t.Errorf("containers are left: %s", left)
	}
	for _, dir := range []string{"/var/lib/kubeedge", "/var/lib/kubelet", "/run/kubeedge"} {
		file, err := e.Path(dir)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(file); !os.IsNotExist(err) {
			t.Errorf("%s is left: %v", dir, err)
		}
	}
	if p, err := e.Process(devcluster.Edgecore); err != nil || p.Alive() {
		t.Errorf("edgecore runs: %v", err)
	}
	if again := on(t, e, reset...); strings.Contains(again, "removed") || !strings.Contains(again, "no edge node any more") {
		t.Errorf("again it says %q", again)
	}

	command := output(t, exec.CommandContext(t.Context(), filepath.Join(bed.Dir(), "programs", devcluster.Keadm), "gettoken",
		"--kube-config", bed.Kubeconfig(), "--edgenode-name", e.Name, "--print-join-command"))
	want := fmt.Sprintf("keadm join --cloudcore-ipport %s:%d --certport %d --edgenode-name %s --token ", bed.CloudAddress(), devcluster.CloudHubPort, devcluster.JoinPort, e.Name)
	if !strings.HasPrefix(command, want) {
		t.Errorf("the command that joins it again is %q, want %q and a token", command, want)
	}
	join(t)
	testcluster.Eventually(t, testcluster.WaitTimeout, testcluster.All(nodeIs(e.Name, true), w.runs, func(context.Context) error {
		if containers(t, e) == "" {
			return fmt.Errorf("no containers on the edge node")
		}
		return nil
	}, func(ctx context.Context) error {
		st := bed.Status(ctx)
		if want := (devcluster.EdgeNodeStatus{Name: e.Name, Address: e.Address.String(), Link: "connected", Kubelet: "runs", Pods: "1"}); !st.Healthy() || st.EdgeNodes[0] != want {
			return fmt.Errorf("akri dev status: %+v, want %+v; healthy: %v", st.EdgeNodes, want, st.Healthy())
		}
		return nil
	}))
}

// TestNodeDeleted deletes the Node of an edge node that is connected: its kubelet
// makes it again, and Pods run there.
func TestNodeDeleted(t *testing.T) {
	e := joined(t)
	before := &corev1.Node{}
	if err := api.Get(t.Context(), client.ObjectKey{Name: e.Name}, before); err != nil {
		t.Fatal(err)
	}
	if err := api.Delete(t.Context(), before); err != nil {
		t.Fatal(err)
	}
	testcluster.Eventually(t, testcluster.WaitTimeout, testcluster.All(func(ctx context.Context) error {
		now := &corev1.Node{}
		if err := api.Get(ctx, client.ObjectKey{Name: e.Name}, now); err != nil {
			return err
		}
		if _, labelled := now.Labels["node-role.kubernetes.io/edge"]; now.UID == before.UID || !labelled {
			return fmt.Errorf("the Node is %s with the labels %v", now.UID, now.Labels)
		}
		return nil
	}, nodeIs(e.Name, true)))
	w := deploy(t, bed.NewNamespace(t), e.Name)
	testcluster.Eventually(t, testcluster.WaitTimeout, w.runs)
}
