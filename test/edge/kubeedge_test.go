//go:build e2e

package edge

import (
	"context"
	"fmt"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/akri-go/akri/test/testcluster"
)

// TestKubeEdgeApps has the cases of KubeEdge's own end-to-end tests of
// applications (its tests/e2e/apps) but the two of hold-upgrade, under their
// names: what its users rely on. All select edge nodes by
// node-role.kubernetes.io/edge.
func TestKubeEdgeApps(t *testing.T) {
	takesMinutes(t)
	joined(t)
	a := &apps{bed.NewNamespace(t)}
	t.Run("E2E_APP_DEPLOYMENT_1", func(t *testing.T) { a.create(t, a.deployment("one", 1)); a.delete(t, a.deployment("one", 1)) })
	t.Run("E2E_APP_DEPLOYMENT_2", func(t *testing.T) { a.create(t, a.deployment("three", 3)) })
	t.Run("E2E_APP_DEPLOYMENT_3: it replaces Pods that somebody deletes", func(t *testing.T) {
		old := a.pods(t, "three")
		for _, p := range old {
			a.remove(t, p.Name)
		}
		for _, p := range old {
			testcluster.Eventually(t, settleTimeout, a.gone(p.Name))
		}
		testcluster.Eventually(t, settleTimeout, a.run("three", 3))
		a.delete(t, a.deployment("three", 3))
	})
	t.Run("E2E_POD_DEPLOYMENT_1 and 2", func(t *testing.T) { a.once(t, a.pod("pod")) })
	t.Run("E2E_POD_DEPLOYMENT_3: a Pod that was deleted is not found", func(t *testing.T) {
		if err := api.Delete(t.Context(), a.pod("pod")); !apierrors.IsNotFound(err) {
			t.Error(err)
		}
	})
	t.Run("E2E_POD_DEPLOYMENT_4: ten times", func(t *testing.T) {
		for i := range 10 {
			a.once(t, a.pod(fmt.Sprint("pod-", i)))
		}
	})
	t.Run("E2E_POD_DEPLOYMENT_5: with a folder of the host", func(t *testing.T) {
		p := a.pod("host")
		p.Spec.Volumes = []corev1.Volume{{Name: "host", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/tmp"}}}}
		p.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "host", MountPath: "/host"}}
		a.once(t, p)
	})
	t.Run("Basic StatefulSet test", func(t *testing.T) { a.create(t, a.statefulSet("set", 2)) })
	t.Run("Delete statefulSet pod multi times", func(t *testing.T) {
		for range 5 {
			p := &corev1.Pod{}
			key := client.ObjectKey{Namespace: a.ns, Name: "set-1"}
			if err := api.Get(t.Context(), key, p); err != nil {
				t.Fatal(err)
			}
			old := p.UID
			a.remove(t, "set-1")
			testcluster.Eventually(t, settleTimeout, func(ctx context.Context) error {
				if err := api.Get(ctx, key, p); err != nil {
					return err
				}
				if p.UID == old || !testcluster.IsReady(p) {
					return fmt.Errorf("Pod set-1 (%s, was %s): %+v", p.UID, old, p.Status)
				}
				return nil
			})
		}
		a.delete(t, a.statefulSet("set", 2))
	})
}

// apps are applications in a namespace.
type apps struct{ ns string }

func (a *apps) meta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Name: name, Namespace: a.ns, Labels: map[string]string{"app": name}}
}

func (a *apps) pod(name string) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: a.meta(name), Spec: corev1.PodSpec{
		NodeSelector: map[string]string{"node-role.kubernetes.io/edge": ""},
		Containers:   []corev1.Container{{Name: name, Image: image}},
	}}
}

func (a *apps) template(name string) (*metav1.LabelSelector, corev1.PodTemplateSpec) {
	p := a.pod(name)
	return &metav1.LabelSelector{MatchLabels: p.Labels}, corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: p.Labels}, Spec: p.Spec}
}

func (a *apps) deployment(name string, n int32) *appsv1.Deployment {
	selector, pods := a.template(name)
	return &appsv1.Deployment{ObjectMeta: a.meta(name), Spec: appsv1.DeploymentSpec{Replicas: ptr.To(n), Selector: selector, Template: pods}}
}

func (a *apps) statefulSet(name string, n int32) *appsv1.StatefulSet {
	selector, pods := a.template(name)
	return &appsv1.StatefulSet{ObjectMeta: a.meta(name), Spec: appsv1.StatefulSetSpec{Replicas: ptr.To(n), Selector: selector, Template: pods}}
}

// create makes an application, and waits until its Pods run.
func (a *apps) create(t *testing.T, o client.Object) {
	t.Helper()
	n := 1
	switch o := o.(type) {
	case *appsv1.Deployment:
		n = int(*o.Spec.Replicas)
	case *appsv1.StatefulSet:
		n = int(*o.Spec.Replicas)
	}
	if err := api.Create(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	testcluster.Eventually(t, settleTimeout, a.run(o.GetName(), n))
}

// delete deletes an application, and waits until its Pods are gone.
func (a *apps) delete(t *testing.T, o client.Object) {
	t.Helper()
	if err := api.Delete(t.Context(), o, client.PropagationPolicy(metav1.DeletePropagationBackground)); err != nil {
		t.Fatal(err)
	}
	testcluster.Eventually(t, settleTimeout, a.run(o.GetName(), 0))
}

// once creates and deletes an application.
func (a *apps) once(t *testing.T, o client.Object) {
	t.Helper()
	a.create(t, o)
	a.delete(t, o)
}

func (a *apps) remove(t *testing.T, pod string) {
	t.Helper()
	if err := api.Delete(t.Context(), &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: pod, Namespace: a.ns}}); err != nil {
		t.Fatal(err)
	}
}

func (a *apps) list(ctx context.Context, app string) ([]corev1.Pod, error) {
	var list corev1.PodList
	err := api.List(ctx, &list, client.InNamespace(a.ns), client.MatchingLabels{"app": app})
	return list.Items, err
}

func (a *apps) pods(t *testing.T, app string) []corev1.Pod {
	t.Helper()
	pods, err := a.list(t.Context(), app)
	if err != nil || len(pods) == 0 {
		t.Fatalf("%d Pods of %s, %v", len(pods), app, err)
	}
	return pods
}

// run checks that an application has so many Pods, and that they run.
func (a *apps) run(app string, n int) testcluster.Check {
	return func(ctx context.Context) error {
		pods, err := a.list(ctx, app)
		if err != nil {
			return err
		}
		for _, p := range pods {
			if n > 0 && !testcluster.IsReady(&p) {
				return fmt.Errorf("Pod %s: %+v", p.Name, p.Status)
			}
		}
		if len(pods) != n {
			return fmt.Errorf("%d Pods of %s, want %d", len(pods), app, n)
		}
		return nil
	}
}

// gone checks that a Pod is not there any more.
func (a *apps) gone(pod string) testcluster.Check {
	return func(ctx context.Context) error {
		if err := api.Get(ctx, client.ObjectKey{Namespace: a.ns, Name: pod}, &corev1.Pod{}); !apierrors.IsNotFound(err) {
			return fmt.Errorf("Pod %s is there: %v", pod, err)
		}
		return nil
	}
}
