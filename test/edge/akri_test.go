//go:build e2e

package edge

import (
	"context"
	"fmt"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/akri-go/akri/internal/devcluster"
	"github.com/akri-go/akri/internal/helm"
	"github.com/akri-go/akri/test/testcluster"
)

// TestAkri installs Akri where there is an edge node, which is connected: its agent
// and discovery handler run there as on any node. A device that both nodes see is
// one Instance that says so, and has a broker on both.
func TestAkri(t *testing.T) {
	takesMinutes(t)
	e := joined(t)
	if err := bed.Install(t.Context(), testcluster.DefaultValues()...); err != nil {
		t.Fatal(err)
	}
	undone(t, func(ctx context.Context) error {
		return bed.Uninstall(ctx, helm.UninstallOptions{Release: testcluster.Release, Namespace: testcluster.Namespace})
	})
	ns := bed.NewNamespace(t)
	c := testcluster.EchoConfiguration(ns, "echo", 2, "one")
	c.Spec.BrokerSpec = testcluster.BrokerPod(t)
	testcluster.Insist(t, func(ctx context.Context) error { return api.Create(ctx, c) })
	nodes := []string{devcluster.NodeName(1), e.Name}
	testcluster.Eventually(t, settleTimeout, func(ctx context.Context) error {
		all, err := bed.Instances(ctx, ns, "echo")
		if err != nil || len(all) != 1 || !slices.Equal(all[0].Spec.Nodes, nodes) {
			return fmt.Errorf("Instances %+v, want one of %q, %v", all, nodes, err)
		}
		return bed.HasBrokers(ns, "echo", 2)(ctx)
	})
	pods, err := bed.Brokers(t.Context(), ns, "echo")
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(pods, func(p corev1.Pod) bool { return p.Spec.NodeName == e.Name }) {
		t.Error("no broker runs on the edge node")
	}
}
