package node

import (
	"context"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/controller/loop"
	"github.com/akri-go/akri/internal/controller/view"
)

// fixture is an API server, a cache of it that may be stale, and a clock.
type fixture struct {
	client.Client // the API server
	t             *testing.T
	cache         client.Client // nil: it shows what the API server has
	now           time.Time
	away          bool // the API server does not answer
	r             *Reconciler
	events        int
}

func newWorld(t *testing.T, objects ...client.Object) *fixture {
	t.Helper()
	w := &fixture{t: t, now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	w.Client = w.build(objects)
	w.r = &Reconciler{
		Client: behind{w}, Live: w, Events: w, Log: slog.New(slog.DiscardHandler),
		Grace: Grace{Node: time.Minute, Last: 5 * time.Minute}, Now: func() time.Time { return w.now },
	}
	w.r.health.maxLookGap = w.r.interval() + maxLookDelay
	return w
}

func (w *fixture) build(objects []client.Object) client.Client {
	scheme, err := view.Scheme()
	if err != nil {
		w.t.Fatal(err)
	}
	return fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).
		WithStatusSubresource(&v0.Instance{}, &v0.Configuration{}, &corev1.Node{}).
		WithIndex(&v0.Instance{}, view.ByNode, func(o client.Object) []string {
			if inst, ok := o.(*v0.Instance); ok {
				return view.NodesOf(inst)
			}
			return nil
		}).Build()
}

// freeze makes the cache stop updating.
func (w *fixture) freeze() {
	var all []client.Object
	nodes, instances := &corev1.NodeList{}, &v0.InstanceList{}
	for _, list := range []client.ObjectList{nodes, instances} {
		if err := w.List(w.t.Context(), list); err != nil {
			w.t.Fatal(err)
		}
	}
	for i := range nodes.Items {
		all = append(all, &nodes.Items[i])
	}
	for i := range instances.Items {
		all = append(all, &instances.Items[i])
	}
	w.cache = w.build(all)
}

func (w *fixture) Get(ctx context.Context, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
	if w.away {
		return apierrors.NewTimeoutError("away", 1)
	}
	return w.Client.Get(ctx, key, o, opts...)
}

func (w *fixture) Eventf(runtime.Object, runtime.Object, string, string, string, string, ...any) {
	w.events++
}

// behind reads from the cache and writes to the API server.
type behind struct{ *fixture }

func (b behind) reader() client.Client {
	if b.cache != nil {
		return b.cache
	}
	return b.fixture.Client
}

func (b behind) Get(ctx context.Context, key client.ObjectKey, o client.Object, _ ...client.GetOption) error {
	return b.reader().Get(ctx, key, o)
}

func (b behind) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	var keep []client.ListOption
	for _, o := range opts {
		if o != client.UnsafeDisableDeepCopy {
			keep = append(keep, o)
		}
	}
	return b.reader().List(ctx, list, keep...)
}

// pass makes the reconciler look at a node for a while, as often as it asks.
func (w *fixture) pass(node string, d time.Duration) {
	w.t.Helper()
	for end := w.now.Add(d); ; {
		res, err := w.r.Reconcile(w.t.Context(), reconcile.Request{NamespacedName: types.NamespacedName{Name: node}})
		step := res.RequeueAfter
		if err != nil {
			if !w.away && !apierrors.IsTimeout(err) {
				w.t.Fatal(err)
			}
			step = time.Second
		}
		if step == 0 || w.now.Add(step).After(end) {
			w.now = end
			return
		}
		w.now = w.now.Add(step)
	}
}

// want checks spec.nodes and spec.deviceUsage; no nodes means that there is no
// Instance.
func (w *fixture) want(name string, usage map[string]string, nodes ...string) {
	w.t.Helper()
	inst := &v0.Instance{}
	err := w.Client.Get(w.t.Context(), client.ObjectKey{Namespace: "d", Name: name}, inst)
	if len(nodes) == 0 {
		if !apierrors.IsNotFound(err) {
			w.t.Errorf("Instance %s is there: %+v, %v", name, inst.Spec, err)
		}
		return
	}
	if err != nil {
		w.t.Fatal(err)
	}
	if d := cmp.Diff(nodes, inst.Spec.Nodes); d != "" {
		w.t.Errorf("nodes of %s (-want +got):\n%s", name, d)
	}
	if len(usage)+len(inst.Spec.DeviceUsage) > 0 {
		if d := cmp.Diff(usage, inst.Spec.DeviceUsage); d != "" {
			w.t.Errorf("deviceUsage of %s (-want +got):\n%s", name, d)
		}
	}
}

func (w *fixture) ready(name string, ready bool) {
	w.t.Helper()
	n := &corev1.Node{}
	if err := w.Client.Get(w.t.Context(), client.ObjectKey{Name: name}, n); err != nil {
		w.t.Fatal(err)
	}
	n.Status = kubeNode(name, "", ready).Status
	if err := w.Status().Update(w.t.Context(), n); err != nil {
		w.t.Fatal(err)
	}
}

func kubeNode(name string, uid types.UID, ready bool) *corev1.Node {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, UID: uid}}
	s := corev1.ConditionUnknown
	if ready {
		s = corev1.ConditionTrue
	}
	n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: s}}
	return n
}

func instance(name string, usage map[string]string, nodes ...string) *v0.Instance {
	return &v0.Instance{
		ObjectMeta: metav1.ObjectMeta{Namespace: "d", Name: name, UID: types.UID("uid-" + name)},
		Spec:       v0.InstanceSpec{Nodes: nodes, DeviceUsage: usage, Capacity: 1},
	}
}

func TestAway(t *testing.T) {
	w := newWorld(t, kubeNode("a", "1", false), kubeNode("b", "2", true),
		instance("both", map[string]string{"both-0": "a"}, "a", "b"), instance("alone", map[string]string{"alone-0": "a"}, "a"))
	w.pass("a", 59*time.Second)
	w.want("both", map[string]string{"both-0": "a"}, "a", "b")
	w.pass("a", 2*time.Second)
	w.want("both", nil, "b")
	w.want("alone", map[string]string{"alone-0": "a"}, "a")
	if w.events != 1 {
		t.Errorf("%d Events, want one", w.events)
	}
	w.pass("a", 3*time.Minute)
	w.want("alone", map[string]string{"alone-0": "a"}, "a")
	w.pass("a", time.Minute)
	w.want("alone", nil)
}

func TestBackInTime(t *testing.T) {
	w := newWorld(t, kubeNode("a", "1", false), kubeNode("b", "2", true), instance("both", nil, "a", "b"))
	for range 5 {
		w.pass("a", 50*time.Second)
		w.ready("a", true)
		w.pass("a", 20*time.Second)
		w.ready("a", false)
	}
	w.want("both", nil, "a", "b")
}

func TestOutageDoesNotCount(t *testing.T) {
	w := newWorld(t, kubeNode("a", "1", false), kubeNode("b", "2", true), instance("both", nil, "a", "b"))
	w.pass("a", 30*time.Second)
	w.away = true
	w.pass("a", 10*time.Minute)
	w.away = false
	w.pass("a", 20*time.Second)
	w.want("both", nil, "a", "b")
	w.pass("a", 30*time.Second)
	w.want("both", nil, "b")
}

// If no node is ready, the fault is elsewhere.
func TestMassOutage(t *testing.T) {
	w := newWorld(t, kubeNode("a", "1", false), kubeNode("b", "2", false), instance("both", nil, "a", "b"),
		instance("gone", nil, "c"))
	w.pass("a", time.Hour)
	w.pass("c", time.Hour)
	w.want("both", nil, "a", "b")
	w.want("gone", nil, "c")
	// The cache has the other one as ready still.
	w.ready("b", true)
	w.freeze()
	w.ready("b", false)
	w.pass("a", time.Hour)
	w.pass("c", time.Hour)
	w.want("both", nil, "a", "b")
	w.want("gone", nil, "c")
	w.cache = nil
	w.ready("b", true)
	w.pass("a", 50*time.Second)
	w.want("both", nil, "a", "b")
	w.pass("a", 20*time.Second)
	w.pass("c", time.Second)
	w.want("both", nil, "b")
	w.want("gone", nil)
}

func TestStaleCache(t *testing.T) {
	t.Run("the node is ready again", func(t *testing.T) {
		w := newWorld(t, kubeNode("a", "1", false), kubeNode("b", "2", true), instance("both", nil, "a", "b"))
		w.pass("a", 50*time.Second)
		w.freeze()
		w.ready("a", true)
		w.pass("a", time.Hour)
		w.want("both", nil, "a", "b")
	})
	t.Run("the cache has no nodes", func(t *testing.T) {
		w := newWorld(t, kubeNode("b", "2", true), instance("both", nil, "a", "b"))
		w.freeze()
		if err := w.Create(t.Context(), kubeNode("a", "1", true)); err != nil {
			t.Fatal(err)
		}
		w.pass("a", time.Hour)
		w.want("both", nil, "a", "b")
	})
	t.Run("the node is a new one", func(t *testing.T) {
		w := newWorld(t, kubeNode("a", "1", false), kubeNode("b", "2", true), instance("both", nil, "a", "b"))
		w.pass("a", 50*time.Second)
		w.freeze()
		if err := w.Delete(t.Context(), kubeNode("a", "1", false)); err != nil {
			t.Fatal(err)
		}
		if err := w.Create(t.Context(), kubeNode("a", "3", false)); err != nil {
			t.Fatal(err)
		}
		w.pass("a", 50*time.Second)
		w.want("both", nil, "a", "b")
	})
	t.Run("the node has left by itself", func(t *testing.T) {
		w := newWorld(t, kubeNode("b", "2", true), instance("both", map[string]string{"both-0": "b"}, "a", "b"))
		w.freeze()
		w.set("both", func(i *v0.Instance) { i.Spec.Nodes = []string{"b"} })
		w.pass("a", time.Hour)
		w.want("both", map[string]string{"both-0": "b"}, "b")
		if w.events != 0 {
			t.Errorf("%d Events", w.events)
		}
	})
}

func (w *fixture) set(name string, change func(*v0.Instance)) {
	w.t.Helper()
	inst := &v0.Instance{}
	if err := w.Client.Get(w.t.Context(), client.ObjectKey{Namespace: "d", Name: name}, inst); err != nil {
		w.t.Fatal(err)
	}
	change(inst)
	if err := w.Update(w.t.Context(), inst); err != nil {
		w.t.Fatal(err)
	}
}

// An agent whose kubelet has stopped joins again: controller and agent must not
// fight.
func TestAgentGoesOn(t *testing.T) {
	w := newWorld(t, kubeNode("a", "1", false), kubeNode("b", "2", true), instance("both", nil, "a", "b"))
	w.pass("a", 61*time.Second)
	for wait := time.Minute; wait <= 8*time.Minute; wait *= 2 {
		w.want("both", nil, "b")
		w.set("both", func(i *v0.Instance) { i.Spec.Nodes = []string{"b", "a"} })
		w.pass("a", wait-time.Second)
		w.want("both", nil, "b", "a")
		w.pass("a", 20*time.Second)
	}
	w.want("both", nil, "b")
}

// A name that no node can have counts as gone.
func TestNoNodeOfThisName(t *testing.T) {
	w := newWorld(t, kubeNode("b", "2", true), instance("one", map[string]string{"one-0": "No Node"}, "b"))
	w.pass("No Node", time.Second)
	w.want("one", nil, "b")
}

func TestNever(t *testing.T) {
	w := newWorld(t, kubeNode("a", "1", false), kubeNode("b", "2", true),
		instance("both", nil, "a", "b"), instance("third", nil, "c", "b"))
	w.r.Grace = Grace{}
	w.pass("a", time.Hour)
	w.want("both", nil, "a", "b")
	w.pass("c", time.Second)
	w.want("third", nil, "b")
}

// The Instance of a shared device that names nobody is deleted: an agent left it
// last, or freed its last slot, and ended before it had deleted it.
func TestAbandoned(t *testing.T) {
	shared := func(name string, usage map[string]string, nodes ...string) *v0.Instance {
		i := instance(name, usage, nodes...)
		i.Spec.Shared = true
		return i
	}
	told := shared("told", nil)
	told.Status.Nodes = []v0.InstanceNode{{Name: "a"}}
	for want, i := range map[bool][]*v0.Instance{
		true: {shared("nobody", nil), shared("free", map[string]string{"free-0": ""}), shared("unread", map[string]string{"unread-0": "a:b"})},
		false: {shared("seen", nil, "a"), shared("held", map[string]string{"held-0": "a"}),
			shared("virtual", map[string]string{"virtual-0": "C:x-0:a"}), told, instance("local", nil)},
	} {
		for _, i := range i {
			w := newWorld(t, kubeNode("a", "1", true), i)
			asked := slices.Contains(nodesOfInstance(i), loop.Request("", nobody))
			w.pass(nobody, time.Minute)
			err := w.Client.Get(t.Context(), client.ObjectKeyFromObject(i), &v0.Instance{})
			if deleted := apierrors.IsNotFound(err); deleted != want || asked != want {
				t.Errorf("%s: deleted %v, asked for %v, want %v", i.Name, deleted, asked, want)
			}
		}
	}
}

// A node that joins while the cache is behind keeps the Instance.
func TestAbandonedNoMore(t *testing.T) {
	i := instance("back", nil)
	i.Spec.Shared = true
	w := newWorld(t, kubeNode("a", "1", true), i)
	w.freeze()
	live := &v0.Instance{}
	if err := w.Client.Get(t.Context(), client.ObjectKeyFromObject(i), live); err != nil {
		t.Fatal(err)
	}
	live.Spec.Nodes = []string{"a"}
	if err := w.Update(t.Context(), live); err != nil {
		t.Fatal(err)
	}
	w.pass(nobody, time.Minute)
	w.want("back", nil, "a")
}
