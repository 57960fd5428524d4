//go:build integration

package broker

import (
	"context"
	"log/slog"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/controller/view"
	"github.com/akri-go/akri/internal/devcluster/kubetest"
	"github.com/akri-go/akri/internal/workload"
)

// behind reads from a frozen cache and writes to the API server.
type behind struct {
	client.Client
	cache client.Reader
}

func (b behind) Get(ctx context.Context, key client.ObjectKey, o client.Object, _ ...client.GetOption) error {
	return b.cache.Get(ctx, key, o)
}

func (b behind) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	var o client.ListOptions
	o.ApplyOptions(opts)
	o.UnsafeDisableDeepCopy = nil // the fake does not know it
	return b.cache.List(ctx, list, &o)
}

type noEvents struct{}

func (noEvents) Eventf(runtime.Object, runtime.Object, string, string, string, string, ...any) {}

// The scheduler binds a Pod that is about to be deleted for lack of a slot, and
// the cache does not show it yet.
func TestPlacedMeanwhile(t *testing.T) {
	scheme, err := view.Scheme()
	if err != nil {
		t.Fatal(err)
	}
	api, err := client.New(kubetest.Start(t).Config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name    string
		nodes   []string
		usage   map[string]string
		since   time.Duration // it has had no room
		instead string        // made if it goes
	}{
		{"its own slot is seen to be held", []string{"a"}, map[string]string{"cam-000000-0": "a"}, time.Second, ""},
		{"another node is tried", []string{"a", "b"}, nil, time.Hour, "b-cam-000000-pod"},
	} {
		for _, placed := range []bool{true, false} {
			name := tt.name + ", placed"
			if !placed {
				name = tt.name + ", not placed"
			}
			t.Run(name, func(t *testing.T) {
				ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "placed-"}}
				if err := api.Create(t.Context(), ns); err != nil {
					t.Fatal(err)
				}
				conf := &v0.Configuration{ObjectMeta: metav1.ObjectMeta{Namespace: ns.Name, Name: "cam"}}
				conf.Spec.BrokerSpec = &v0.BrokerSpec{BrokerPodSpec: &runtime.RawExtension{
					Raw: []byte(`{"containers": [{"name": "a", "image": "b", "resources": {"limits": {"{{PLACEHOLDER}}": 1}}}]}`),
				}}
				inst := instance("cam-000000", true, tt.nodes...)
				inst.Namespace, inst.Spec.DeviceUsage = ns.Name, tt.usage
				pod := waitingPod(t, api, inst, "a", tt.since)
				cached := []client.Object{conf, inst, pod.DeepCopy()}
				for _, n := range tt.nodes {
					cached = append(cached, &corev1.Node{
						ObjectMeta: metav1.ObjectMeta{Name: n},
						Status:     corev1.NodeStatus{Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}},
					})
				}
				r := &Reconciler{
					Client: behind{api, cacheOf(scheme, cached...)}, Live: api, Events: noEvents{},
					Log: slog.New(slog.DiscardHandler), Refusals: NewRefusals(func(types.NamespacedName) {}),
				}
				if placed {
					err := api.SubResource("binding").Create(t.Context(), pod, &corev1.Binding{
						ObjectMeta: metav1.ObjectMeta{Namespace: ns.Name, Name: pod.Name},
						Target:     corev1.ObjectReference{Kind: "Node", Name: "a"},
					})
					if err != nil {
						t.Fatal(err)
					}
				}
				got, err := r.Reconcile(t.Context(), reconcile.Request{NamespacedName: client.ObjectKeyFromObject(inst)})
				if err != nil {
					t.Fatal(err)
				}
				_, heldBack := r.memory[client.ObjectKeyFromObject(inst)].history["a"]
				if heldBack == placed {
					t.Errorf("placed: %t, and its node is held back: %t", placed, heldBack)
				}
				if placed && got.RequeueAfter != cacheBehindDelay {
					t.Errorf("looks again after %s, want %s", got.RequeueAfter, cacheBehindDelay)
				}
				want := pod.Name
				if !placed {
					want = tt.instead
				}
				if have := brokersIn(t, api, ns.Name); have != want {
					t.Errorf("brokers %q, want %q", have, want)
				}
				if !placed {
					return
				}

				// The cache catches up: all is well.
				if err := api.Get(t.Context(), client.ObjectKeyFromObject(pod), pod); err != nil {
					t.Fatal(err)
				}
				cached[2] = pod
				r.Client = behind{api, cacheOf(scheme, cached...)}
				if _, err := r.Reconcile(t.Context(), reconcile.Request{NamespacedName: client.ObjectKeyFromObject(inst)}); err != nil {
					t.Fatal(err)
				}
				if have := brokersIn(t, api, ns.Name); have != want {
					t.Errorf("afterwards: brokers %q, want %q", have, want)
				}
			})
		}
	}
}

// waitingPod makes a broker that has been unschedulable for a while.
func waitingPod(t *testing.T, api client.Client, inst *v0.Instance, node string, since time.Duration) *corev1.Pod {
	t.Helper()
	one := corev1.ResourceList{corev1.ResourceName(v0.ResourceName(inst.Name)): resource.MustParse("1")}
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: inst.Namespace, Name: workload.PodName(inst.Name, node, true),
			Labels:          map[string]string{v0.LabelConfiguration: inst.Spec.ConfigurationName, v0.LabelTargetNode: node},
			OwnerReferences: []metav1.OwnerReference{workload.OwnerRef(inst)},
		},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{
			Name: "a", Image: "b", Resources: corev1.ResourceRequirements{Requests: one, Limits: one},
		}}},
	}
	if err := api.Create(t.Context(), pod); err != nil {
		t.Fatal(err)
	}
	pod.Status.Conditions = []corev1.PodCondition{{
		Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable,
		LastTransitionTime: metav1.NewTime(time.Now().Add(-since)),
	}}
	if err := api.Status().Update(t.Context(), pod); err != nil {
		t.Fatal(err)
	}
	return pod
}

// brokersIn returns the name of the one Pod of a namespace, "" if there is none.
func brokersIn(t *testing.T, api client.Client, ns string) string {
	t.Helper()
	list := &corev1.PodList{}
	if err := api.List(t.Context(), list, client.InNamespace(ns)); err != nil {
		t.Fatal(err)
	}
	names := ""
	for _, p := range list.Items {
		names += p.Name
		if p.DeletionTimestamp != nil {
			names += " (deleted)"
		}
	}
	return names
}

func cacheOf(scheme *runtime.Scheme, objects ...client.Object) client.Reader {
	byOwner := func(o client.Object) []string {
		if ref := workload.OwnerInstance(o); ref != nil {
			return []string{ref.Name}
		}
		return nil
	}
	return fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).
		WithIndex(&corev1.Pod{}, view.ByOwnerInstance, byOwner).
		WithIndex(&batchv1.Job{}, view.ByOwnerInstance, byOwner).Build()
}
