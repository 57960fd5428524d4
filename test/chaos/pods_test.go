//go:build e2e

package chaos

import (
	"fmt"
	"slices"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/test/testcluster"
)

// brokerPod ends at once when it is told to.
func brokerPod(t *testing.T) *v0.BrokerSpec {
	return &v0.BrokerSpec{BrokerPodSpec: testcluster.Raw(t, podSpec(v0.Placeholder))}
}

// brokerJob is not to run: what counts is that there is one.
func brokerJob(t *testing.T) *v0.BrokerSpec {
	pod := podSpec(v0.Placeholder)
	pod.RestartPolicy = corev1.RestartPolicyNever
	return &v0.BrokerSpec{BrokerJobSpec: testcluster.Raw(t, batchv1.JobSpec{
		Suspend: ptr.To(true), Template: corev1.PodTemplateSpec{Spec: pod}})}
}

func podSpec(resource string) corev1.PodSpec {
	return corev1.PodSpec{
		Containers:                    []corev1.Container{testcluster.Container(resource, 1)},
		TerminationGracePeriodSeconds: ptr.To[int64](2),
		AutomountServiceAccountToken:  ptr.To(false),
	}
}

// makeUsers makes a Deployment whose Pods ask for any device of a Configuration.
func (w *fixture) makeUsers(configuration string, n int32) {
	labels := map[string]string{"users-of": configuration}
	d := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "users-of-" + configuration},
		Spec: appsv1.DeploymentSpec{
			Replicas: &n, Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: podSpec(v0.ResourceName(configuration))},
		},
	}
	if err := bed.API.Create(w.t.Context(), d); err != nil {
		w.t.Fatalf("make users: %v", err)
	}
	w.users[configuration] = n
}

func (w *fixture) scaleUsers(configuration string, n int32) string {
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "users-of-" + configuration}}
	patch := fmt.Appendf(nil, `{"spec":{"replicas":%d}}`, n)
	if err := bed.API.Patch(w.t.Context(), d, client.RawPatch(types.MergePatchType, patch)); err != nil {
		w.t.Fatalf("scale users: %v", err)
	}
	w.users[configuration] = n
	return fmt.Sprintf("%d users of %s", n, configuration)
}

// deletePod deletes a broker or another user of a device.
func (w *fixture) deletePod() string {
	var pods corev1.PodList
	if err := bed.API.List(w.t.Context(), &pods, client.InNamespace(w.ns)); err != nil {
		w.t.Fatal(err)
	}
	live := slices.DeleteFunc(pods.Items, func(p corev1.Pod) bool { return p.DeletionTimestamp != nil })
	if len(live) == 0 {
		return "there is no Pod to delete"
	}
	p := live[w.rng.IntN(len(live))]
	w.rec.fault("delete", p.Spec.NodeName, p.Name+" "+string(p.UID))
	if err := bed.API.Delete(w.t.Context(), &p, client.Preconditions{UID: &p.UID}); err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
		w.t.Fatalf("delete Pod %s: %v", p.Name, err)
	}
	return "delete " + p.Name
}
