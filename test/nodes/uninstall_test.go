//go:build e2e

package nodes

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/helm"
	"github.com/akri-go/akri/test/testcluster"
)

// Both nodes are without power, so no agent, no controller and no hook runs.
// Helm gives up; without its hook the release is removed, with its
// Configurations and their Instances. What is left are Pods, which Kubernetes
// keeps until their nodes are back.
func TestUninstallWithoutNodes(t *testing.T) {
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*waitTimeout)
		defer cancel()
		if err := install(ctx); err != nil {
			t.Errorf("install the release again: %v", err)
		}
	})
	const name = "akri-debug-echo" // the chart's own Configuration
	r := follow(t, testcluster.Namespace)
	err := install(t.Context(), "debugEcho.configuration.enabled=true", "debugEcho.configuration.capacity=1",
		"cleanupHook.timeoutSeconds=10")
	if err != nil {
		t.Fatal(err)
	}
	r.await(waitTimeout, r.seen(name, 2, all()...))
	for _, node := range all() {
		powerOff(t, node)
	}
	o := helm.UninstallOptions{Release: testcluster.Release, Namespace: testcluster.Namespace, NoWait: true}
	uninstall := func(within time.Duration) error {
		ctx, cancel := context.WithTimeout(t.Context(), within)
		defer cancel()
		return bed.Uninstall(ctx, o)
	}
	// The hook's Pod waits on a node that the scheduler believes to be well. No
	// Job has failed before its Pods have ended, so helm waits for all of its time.
	// On a busy machine it needs more than that to make the Job.
	for within := 8 * time.Second; ; within *= 3 {
		err := uninstall(within)
		if err != nil && strings.Contains(err.Error(), "akri-cleanup") {
			break
		}
		if err == nil || within > waitTimeout {
			t.Errorf("error %v, want one that names the Job", err)
			break
		}
	}
	o.NoHooks = true
	if err := uninstall(waitTimeout); err != nil {
		t.Fatal(err)
	}
	r.await(waitTimeout, r.seen(name, 0))
	testcluster.Eventually(t, waitTimeout, func(ctx context.Context) error {
		var list v0.ConfigurationList
		err := api.List(ctx, &list, client.InNamespace(testcluster.Namespace))
		if err == nil && len(list.Items) > 0 {
			err = fmt.Errorf("Configuration %s is still there", list.Items[0].Name)
		}
		return err
	})
	for _, node := range all() {
		powerOn(t, node)
	}
	r.await(waitTimeout, func() error {
		for _, p := range r.pods {
			return fmt.Errorf("Pod %s is still there: %s", p.Name, state(p))
		}
		return nil
	})
}
