//go:build integration

package edgenode

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	"github.com/akri-go/akri/internal/eventually"
)

// registered is an edge node that has registered, with its Pods followed.
func registered(t *testing.T) (*both, cache.SharedIndexInformer) {
	t.Helper()
	b := start(t)
	b.register()
	return b, inform(t.Context(), b.near, "pods", "", "spec.nodeName="+node, &corev1.Pod{})
}

func (b *both) register() {
	b.t.Helper()
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: node}}
	if _, err := b.near.CoreV1().Nodes().Create(b.t.Context(), n, metav1.CreateOptions{}); err != nil {
		b.t.Fatal(err)
	}
}

// pod makes a Pod of the node in the cloud.
func (b *both) pod(name string, finalizers ...string) *corev1.Pod {
	b.t.Helper()
	var p *corev1.Pod
	eventually.Succeeds(b.t, eventually.Patience, func(ctx context.Context) (err error) {
		p, err = b.far.CoreV1().Pods("default").Create(ctx, &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: name, Finalizers: finalizers},
			Spec:       corev1.PodSpec{NodeName: node, Containers: []corev1.Container{{Name: "c", Image: "i"}}},
		}, metav1.CreateOptions{})
		return err
	})
	return p
}

func deleted(uid types.UID) metav1.DeleteOptions {
	zero := int64(0)
	o := metav1.DeleteOptions{GracePeriodSeconds: &zero}
	if uid != "" {
		o.Preconditions = &metav1.Preconditions{UID: &uid}
	}
	return o
}

// has waits until an informer has these Pods and no others, as name/uid.
func has(t *testing.T, i cache.SharedIndexInformer, want ...*corev1.Pod) {
	t.Helper()
	eventually.Succeeds(t, eventually.Patience, func(context.Context) error {
		got := map[string]bool{}
		for _, o := range i.GetStore().List() {
			if p, ok := o.(*corev1.Pod); ok {
				got[p.Name+"/"+string(p.UID)] = true
			}
		}
		for _, p := range want {
			if !got[p.Name+"/"+string(p.UID)] {
				return fmt.Errorf("%s/%s is not among %v", p.Name, p.UID, got)
			}
		}
		if len(got) != len(want) {
			return fmt.Errorf("%v, want %d", got, len(want))
		}
		return nil
	})
}

// The kubelet's deletions while the link is cut: they are done at once, also over
// a restart, and in the cluster when the link is back; each meets only the Pod
// that it means.
func TestOutbox(t *testing.T) {
	b, pods := registered(t)
	ctx := t.Context()
	a, replaced, job, stays := b.pod("a"), b.pod("b"), b.pod("job", "example.org/stay"), b.pod("stays")
	has(t, pods, a, replaced, job, stays)
	b.cut()
	// The Node authorizer is not asked: it is the kubelet's own API.
	for _, p := range []*corev1.Pod{a, replaced, job} {
		if err := b.near.CoreV1().Pods("default").Delete(ctx, p.Name, deleted(p.UID)); err != nil {
			t.Fatal(err)
		}
	}
	has(t, pods, job, stays) // who has put the finalizer is in the cloud
	for range 3 {
		e := &corev1.Event{ObjectMeta: metav1.ObjectMeta{Name: "a.1", Namespace: "default"}, InvolvedObject: corev1.ObjectReference{Kind: "Pod", Namespace: "default", Name: "a"}, Reason: "Cut", Message: "x", Type: "Normal"}
		if _, err := b.near.CoreV1().Events("default").Create(ctx, e, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	b.stop()
	b.run() // edgecore restarts, cut
	if s := b.outbox.State(); s.Others != 3 || s.Events != 1 {
		t.Errorf("after a restart: %+v", s)
	}
	if err := b.far.CoreV1().Pods("default").Delete(ctx, "b", deleted("")); err != nil {
		t.Fatal(err)
	}
	second := b.pod("b")
	b.join()
	has(t, pods, second, job, stays)
	eventually.Succeeds(t, soon, func(ctx context.Context) error {
		if _, err := b.far.CoreV1().Pods("default").Get(ctx, "a", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
			return fmt.Errorf("Pod a: %v", err)
		}
		if p, err := b.far.CoreV1().Pods("default").Get(ctx, "job", metav1.GetOptions{}); err != nil || p.DeletionTimestamp == nil {
			return fmt.Errorf("the Pod with a finalizer: %v", err)
		}
		_, err := b.far.CoreV1().Events("default").Get(ctx, "a.1", metav1.GetOptions{})
		return err
	})
	if p, err := b.far.CoreV1().Pods("default").Get(ctx, "b", metav1.GetOptions{}); err != nil || p.UID != second.UID {
		t.Errorf("the second Pod of a name: %v", err)
	}
	eventually.Succeeds(t, soon, func(context.Context) error {
		if s := b.outbox.State(); s.Others != 0 || s.Events != 0 || s.Refused != 0 {
			return fmt.Errorf("%+v", s)
		}
		return nil
	})
	if _, err := b.far.CoreV1().Pods("default").Patch(ctx, "job", types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	has(t, pods, second, stays)
}

// The store is lost: cut, everything is answered with 503, so that the kubelet
// believes no empty list; connected, everything is synced anew.
func TestStoreLost(t *testing.T) {
	b, pods := registered(t)
	a := b.pod("a")
	has(t, pods, a)
	if err := b.store.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name, damage := range map[string]func() error{
		"damaged": func() error {
			return os.WriteFile(b.file(), []byte("no database, but long enough to be taken for one"), 0o600)
		},
		"lost": func() error { return errors.Join(os.Remove(b.file()), os.RemoveAll(b.file()+"-wal")) },
	} {
		t.Run(name, func(t *testing.T) {
			b.cut()
			b.stop()
			if err := damage(); err != nil {
				t.Fatal(err)
			}
			b.run()
			raw := b.near.CoreV1().RESTClient()
			for _, path := range []string{"/api/v1/pods?fieldSelector=spec.nodeName%3D" + node, "/api/v1/nodes/" + node, "/api/v1/pods?watch=1&fieldSelector=spec.nodeName%3D" + node} {
				if err := raw.Get().RequestURI(path).MaxRetries(0).Do(t.Context()).Error(); !apierrors.IsServiceUnavailable(err) {
					t.Errorf("GET %s while cut: %v, want 503", path, err)
				}
			}
			has(t, pods, a) // who follows them keeps what it had
			b.join()
			eventually.Succeeds(t, soon, func(ctx context.Context) error {
				list, err := b.near.CoreV1().Pods("").List(ctx, metav1.ListOptions{FieldSelector: "spec.nodeName=" + node})
				if err != nil || len(list.Items) != 1 || list.Items[0].UID != a.UID {
					return fmt.Errorf("%v, %v", list, err)
				}
				return nil
			})
			has(t, pods, a)
		})
	}
}

// What the cloud deletes while the link is cut is gone when it is back: a Pod,
// and the Node itself, which the kubelet then registers anew.
func TestDeletedInTheCloud(t *testing.T) {
	b, pods := registered(t)
	ctx := t.Context()
	a, c := b.pod("a"), b.pod("c")
	has(t, pods, a, c)
	b.cut()
	if err := b.far.CoreV1().Pods("default").Delete(ctx, "a", deleted("")); err != nil {
		t.Fatal(err)
	}
	if err := b.far.CoreV1().Nodes().Delete(ctx, node, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	has(t, pods, a, c)
	// While it is cut, the node is there: its status is taken.
	status := func() error {
		_, err := b.near.CoreV1().Nodes().Patch(ctx, node, types.StrategicMergePatchType, []byte(`{"status":{"conditions":[{"type":"Ready","status":"True"}]}}`), metav1.PatchOptions{}, "status")
		return err
	}
	if err := status(); err != nil {
		t.Error(err)
	}
	b.join()
	has(t, pods, c)
	eventually.Succeeds(t, soon, func(ctx context.Context) error {
		if _, err := b.near.CoreV1().Nodes().Get(ctx, node, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
			return fmt.Errorf("the Node: %v", err)
		}
		return nil
	})
	b.register()
	if err := status(); err != nil {
		t.Error(err)
	}
	if n, err := b.far.CoreV1().Nodes().Get(ctx, node, metav1.GetOptions{}); err != nil || len(n.Status.Conditions) == 0 {
		t.Errorf("%v, %v", n, err)
	}
}

// The API server restarts, and later has lost all it had: the node's programs see
// what has changed, and no watch of theirs ends.
func TestAPIServer(t *testing.T) {
	b, pods := registered(t)
	a := b.pod("a")
	has(t, pods, a)
	if err := b.server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	c := b.pod("c")
	has(t, pods, a, c)
	watches := b.store.Stats().Watches
	if err := b.server.Forget(); err != nil {
		t.Fatal(err)
	}
	if err := b.server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	a = b.pod("a") // another one, with a lower resourceVersion than the store has seen
	has(t, pods, a)
	if n := b.store.Stats().Watches; n != watches {
		t.Errorf("there were %d watches, and are %d", watches, n)
	}
}
