//go:build e2e

package nodes

import (
	"context"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/test/testcluster"
)

const waitTimeout = testcluster.WaitTimeout

// lostNodeTimeout is for tests that wait until a node is lost: 50 s until it is
// not ready, and 60 s more.
const lostNodeTimeout = 4 * time.Minute

func create[T client.Object](t *testing.T, object T) T {
	t.Helper()
	testcluster.Insist(t, func(ctx context.Context) error { return api.Create(ctx, object) })
	return object
}

// change merges JSON into a Configuration.
func change(t *testing.T, c *v0.Configuration, json string) {
	t.Helper()
	testcluster.Insist(t, func(ctx context.Context) error {
		return api.Patch(ctx, c, client.RawPatch(types.MergePatchType, []byte(json)))
	})
}

// patch merges JSON into an object that no webhook checks.
func patch(t *testing.T, object client.Object, json string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), waitTimeout) // tests restore things at their end, too
	defer cancel()
	if err := api.Patch(ctx, object, client.RawPatch(types.MergePatchType, []byte(json))); err != nil {
		t.Fatalf("change %T %s: %v", object, object.GetName(), err)
	}
}

func remove(t *testing.T, object client.Object) {
	t.Helper()
	if err := api.Delete(t.Context(), object); err != nil {
		t.Fatalf("delete %T %s: %v", object, object.GetName(), err)
	}
}

// withBrokers makes a Configuration of shared devices with brokers, and waits
// until all of its Instances have n.
func withBrokers(t *testing.T, r *record, name string, capacity int32, n int, devices ...string) *v0.Configuration {
	t.Helper()
	c := testcluster.EchoConfiguration(r.ns, name, capacity, devices...)
	c.Spec.BrokerSpec = testcluster.BrokerPod(t)
	create(t, c)
	r.await(waitTimeout, r.seen(name, len(devices), all()...), r.brokers(name, n))
	return c
}

// withoutBrokers makes a Configuration of one shared device, and waits until
// both nodes offer it. It returns the Instance's name.
func withoutBrokers(t *testing.T, r *record, name string, capacity int32) string {
	t.Helper()
	create(t, testcluster.EchoConfiguration(r.ns, name, capacity, "one"))
	instance := v0.InstanceName(name, v0.DeviceHash("one", "", true))
	r.await(waitTimeout, r.seen(name, 1, all()...))
	for _, node := range all() {
		r.await(waitTimeout, r.allocatable(node, instance, int64(capacity)), r.allocatable(node, name, 1))
	}
	return instance
}

// users keeps a Pod on a node that asks for one unit of a resource: if it fails
// there is another, as people have it.
func users(ns, name, node, resource string) *appsv1.ReplicaSet {
	labels := map[string]string{"user": name}
	return &appsv1.ReplicaSet{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name},
		Spec: appsv1.ReplicaSetSpec{
			Replicas: ptr.To[int32](1),
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec: corev1.PodSpec{
					NodeSelector: map[string]string{corev1.LabelHostname: node},
					Containers:   []corev1.Container{testcluster.Container(v0.ResourceName(resource), 1)},
				},
			},
		},
	}
}
