//go:build e2e

package nodes

import (
	"context"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/test/testcluster"
)

// Both nodes are without power, so no agent and no controller is there: the
// release goes all the same, with its Configurations and their Instances. What
// is left are Pods, which Kubernetes keeps until their nodes are back.
func TestUninstallWithoutNodes(t *testing.T) {
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
		defer cancel()
		if err := install(ctx); err != nil {
			t.Errorf("install the release again: %v", err)
		}
	})
	const name = "akri-debug-echo" // the chart's own Configuration
	r := follow(t, testcluster.Namespace)
	if err := install(t.Context(), "debugEcho.configuration.enabled=true", "debugEcho.configuration.brokerPod.image.repository=none"); err != nil {
		t.Fatal(err)
	}
	r.await(soon, r.seen(name, 2, all()...))
	for _, node := range all() {
		powerOff(t, node)
	}
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	if err := bed.UninstallNow(ctx, testcluster.Release, testcluster.Namespace); err != nil {
		t.Fatal(err)
	}
	r.await(soon, r.seen(name, 0))
	testcluster.Eventually(t, soon, func(ctx context.Context) error {
		var list v0.ConfigurationList
		if err := api.List(ctx, &list, client.InNamespace(testcluster.Namespace)); err != nil {
			return err
		}
		if len(list.Items) > 0 {
			return fmt.Errorf("Configuration %s is still there", list.Items[0].Name)
		}
		return nil
	})
	for _, node := range all() {
		powerOn(t, node)
	}
	r.await(2*time.Minute, func() error {
		for _, p := range r.pods {
			return fmt.Errorf("Pod %s is still there: %s", p.Name, state(p))
		}
		return nil
	})
	if err := api.Get(t.Context(), client.ObjectKey{Name: testcluster.Namespace}, &corev1.Namespace{}); err != nil {
		t.Error(err)
	}
}
