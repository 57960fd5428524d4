//go:build e2e

package edge

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/akri-go/akri/test/testcluster"
)

// TestPodEndsWhileCut deletes a Pod in the cloud, and cuts the link before its
// container has ended. When it has, the Pod is gone on the edge node, also after
// edgecore was killed; in the cloud it is when the link is back.
func TestPodEndsWhileCut(t *testing.T) {
	e := joined(t)
	ns := bed.NewNamespace(t)
	no := false
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "slow", Namespace: ns}, Spec: corev1.PodSpec{
		NodeName: e.Name, AutomountServiceAccountToken: &no, EnableServiceLinks: &no,
		Containers: []corev1.Container{{Name: "show", Image: image, Lifecycle: &corev1.Lifecycle{
			PreStop: &corev1.LifecycleHandler{Sleep: &corev1.SleepAction{Seconds: 6}}, // time to cut the link
		}}},
	}}
	if err := api.Create(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	key := client.ObjectKeyFromObject(p)
	testcluster.Eventually(t, testcluster.WaitTimeout, testcluster.All(nodeIs(e.Name, true), func(ctx context.Context) error {
		if err := api.Get(ctx, key, p); err != nil {
			return err
		}
		if !testcluster.IsReady(p) {
			return fmt.Errorf("the Pod is not ready: %+v", p.Status)
		}
		return nil
	}))
	local := func(what string) string {
		return on(t, e, e.Binary("kubectl"), "--kubeconfig", etc+"/kubelet/kubelet.kubeconfig", "get", "pods", "--all-namespaces",
			"--field-selector", "spec.nodeName="+e.Name, "-o", `jsonpath={.items[?(@.metadata.uid=="`+string(p.UID)+`")].`+what+"}")
	}
	if err := api.Delete(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	testcluster.Eventually(t, testcluster.WaitTimeout, func(context.Context) error {
		if local("metadata.deletionTimestamp") == "" {
			return errors.New("the edge node does not know that the Pod is to go")
		}
		return nil
	})
	if err := e.Cut(t.Context()); err != nil {
		t.Fatal(err)
	}
	undone(t, e.Rejoin)
	gone := func(context.Context) error {
		if s := status(t, e); !strings.Contains(s, "1 deletions") || strings.Contains(s, ns) {
			return fmt.Errorf("edgecore status:\n%s", s)
		}
		if local("metadata.name") != "" {
			return errors.New("the local API still has it")
		}
		return nil
	}
	testcluster.Eventually(t, testcluster.WaitTimeout, gone)
	t.Log("it has ended; edgecore is killed, and starts again")
	kill(t, e)
	start(t, e)
	testcluster.Eventually(t, testcluster.WaitTimeout, gone)
	if err := api.Get(t.Context(), key, p); err != nil || p.DeletionTimestamp == nil {
		t.Errorf("the cloud has heard of it: %v", err)
	}
	if err := e.Rejoin(t.Context()); err != nil {
		t.Fatal(err)
	}
	testcluster.Eventually(t, testcluster.WaitTimeout, func(ctx context.Context) error {
		if err := api.Get(ctx, key, p); !apierrors.IsNotFound(err) {
			return fmt.Errorf("the cloud still has it: %v", err)
		}
		if s := status(t, e); strings.Contains(s, "1 deletions") {
			return fmt.Errorf("edgecore status:\n%s", s)
		}
		return nil
	})
}
