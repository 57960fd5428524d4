//go:build integration

package edgecontroller

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
	"github.com/akri-go/akri/internal/cloud/edgecontroller/index"
	"github.com/akri-go/akri/internal/eventually"
)

// TestSession is a node's life with a real API server: it connects, follows,
// writes, is cut off, comes back, and the API server restarts meanwhile.
func TestSession(t *testing.T) {
	k := newCluster(t)
	k.node("n1")
	k.node("n2")
	k.pod("web", "n1", "web")
	k.pod("other", "n2", "web")
	c := run(t, k.server.Config, Options{Autonomy: true, reviewInterval: 100 * time.Millisecond})
	e := connect(t, c, "n1")
	pods := e.granted(podsOf("n1"))
	secret := e.granted(named("secrets", "web"))
	config := e.granted(named("configmaps", "web"))
	svc := e.granted(services())

	t.Run("what the node may have is there", func(t *testing.T) {
		e.names(pods, "web")
		e.names(secret, "web")
		e.names(config, "web")
		e.names(svc, "kubernetes")
		var pod corev1.Pod
		e.mu.Lock()
		defer e.mu.Unlock()
		text := e.objects[keyOf(edgev1.Item{Namespace: "default", Name: "kubernetes"})]
		if err := json.Unmarshal([]byte(text), &pod); err != nil || pod.Kind != "Service" || pod.APIVersion != "v1" {
			t.Errorf("the Service is %s (%v)", text, err)
		}
	})
	t.Run("changes come", func(t *testing.T) {
		k.change("web", "2")
		eventually.Succeeds(t, patience, func(context.Context) error {
			e.mu.Lock()
			defer e.mu.Unlock()
			if text := e.objects[keyOf(edgev1.Item{Namespace: "default", Name: "web"})]; !strings.Contains(text, `"x":"2"`) {
				return fmt.Errorf("it has %s", text)
			}
			return nil
		})
		k.pod("web2", "n1", "web")
		e.names(pods, "web", "web2")
		k.kill("web2")
		e.names(pods, "web")
	})
	t.Run("labels, Lease and autonomy", func(t *testing.T) {
		eventually.Succeeds(t, patience, func(ctx context.Context) error {
			n, err := k.admin.CoreV1().Nodes().Get(ctx, "n1", metav1.GetOptions{})
			if err != nil {
				return err
			}
			for label := range edgeLabels() {
				if _, there := n.Labels[label]; !there {
					return fmt.Errorf("no label %s", label)
				}
			}
			lease, err := k.admin.CoordinationV1().Leases("kube-node-lease").Get(ctx, "n1", metav1.GetOptions{})
			if err != nil {
				return err
			}
			if lease.OwnerReferences[0].UID != n.UID || *lease.Spec.HolderIdentity != "n1" ||
				*lease.Spec.LeaseDurationSeconds != 40 {
				return fmt.Errorf("Lease %+v", lease)
			}
			pod, err := k.admin.CoreV1().Pods("default").Get(ctx, "web", metav1.GetOptions{})
			if err != nil {
				return err
			}
			for _, toleration := range pod.Spec.Tolerations {
				if toleration.TolerationSeconds != nil {
					return fmt.Errorf("%+v", toleration)
				}
			}
			return nil
		})
		other, err := k.admin.CoreV1().Pods("default").Get(t.Context(), "other", metav1.GetOptions{})
		if err != nil || len(other.Spec.Tolerations) != 2 || other.Spec.Tolerations[0].TolerationSeconds == nil {
			t.Errorf("a Pod of a node that is no edge node: %+v, %v", other.Spec.Tolerations, err)
		}
	})
	t.Run("calls", func(t *testing.T) {
		get := e.call(edgev1.Call{Method: "GET", Path: "/api/v1/nodes/n1"})
		if get.Status != http.StatusOK || !strings.Contains(string(get.Body), `"name":"n1"`) {
			t.Errorf("%d %s", get.Status, get.Body)
		}
		patch := e.call(edgev1.Call{Method: "PATCH", Path: "/api/v1/nodes/n1/status",
			ContentType: "application/strategic-merge-patch+json",
			Body:        []byte(`{"status":{"conditions":[{"type":"Ready","status":"True"}]}}`)})
		if patch.Status != http.StatusOK {
			t.Errorf("%d %s", patch.Status, patch.Body)
		}
		who := e.call(edgev1.Call{Method: "POST", Path: "/apis/authentication.k8s.io/v1/selfsubjectreviews",
			ContentType: "application/json",
			As:          edgev1.As{ServiceAccount: "default/web"},
			Body:        []byte(`{"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview"}`)})
		for _, want := range []string{
			`"username":"system:serviceaccount:default:web"`, `"system:serviceaccounts:default"`,
			`"authentication.kubernetes.io/node-name":["n1"]`,
		} {
			if !strings.Contains(string(who.Body), want) {
				t.Errorf("%s is not in %s", want, who.Body)
			}
		}
		missing := e.call(edgev1.Call{Method: "GET", Path: "/apis/storage.k8s.io/v1/csinodes/n1"})
		if missing.Status != http.StatusNotFound {
			t.Errorf("%d %s", missing.Status, missing.Body)
		}
	})
	t.Run("what is only read", func(t *testing.T) {
		i := e.granted(edgev1.Interest{Group: "storage.k8s.io", Version: "v1", Resource: "csinodes",
			FieldSelector: "metadata.name=n1", Get: true})
		e.names(i)
		made := e.call(edgev1.Call{Method: "POST", Path: "/apis/storage.k8s.io/v1/csinodes",
			ContentType: "application/json",
			Body:        []byte(`{"apiVersion":"storage.k8s.io/v1","kind":"CSINode","metadata":{"name":"n1"},"spec":{"drivers":[]}}`)})
		if made.Status != http.StatusCreated {
			t.Fatalf("%d %s", made.Status, made.Body)
		}
		e.s.Receive(&edgev1.Have{ID: i.ID})
		e.names(i, "n1")
		if r := e.call(edgev1.Call{Method: "DELETE",
			Path: "/apis/storage.k8s.io/v1/csinodes/n1"}); r.Status != http.StatusOK {
			t.Fatalf("%d %s", r.Status, r.Body)
		}
		e.s.Receive(&edgev1.Have{ID: i.ID, Digest: edgev1.Digest(e.items(i.ID))})
		e.names(i)
		e.s.Receive(&edgev1.Forget{ID: i.ID})
	})
	t.Run("cut off and back", func(t *testing.T) {
		k.awaitLatest(e, pods, "web") // what autonomy has changed, too
		e.reconnect(c, pods, secret, config, svc)
		for _, i := range []edgev1.Interest{pods, secret, config, svc} {
			if r := e.outcome(i); r != nil {
				t.Errorf("%+v", r)
			}
		}
		if got := e.said(); got != "Synced 4" {
			t.Errorf("nothing has changed, and cloudcore sent %s", got)
		}
		e.close()
		k.change("web", "3")
		k.pod("late", "n1", "web")
		k.kill("web")
		k.awaitKnown(c, "n1", "late", "web")
		e.reconnect(c, pods, config, svc)
		e.names(pods, "late")
		for _, i := range []edgev1.Interest{pods, svc} {
			if r := e.outcome(i); r != nil {
				t.Errorf("%+v", r)
			}
		}
		if r := e.outcome(config); r == nil || r.Code != http.StatusForbidden {
			t.Errorf("the ConfigMap of a Pod that is gone: %+v", r)
		}
		// One Put more where autonomy has changed the Pod meanwhile.
		got := strings.Replace(e.said(), "Put 2", "Put 1", 1)
		if got != "Differ 1, Gone 1, Put 1, Refused 1, Synced 2" {
			t.Errorf("cloudcore sent %s", got)
		}
	})
	t.Run("a grant ends with the last Pod", func(t *testing.T) {
		mine := e.granted(named("configmaps", "late"))
		k.kill("late")
		eventually.Succeeds(t, patience, func(context.Context) error {
			e.mu.Lock()
			defer e.mu.Unlock()
			if e.refused[mine.ID] == nil {
				return fmt.Errorf("it may still have the ConfigMap")
			}
			return nil
		})
	})
	t.Run("the API server restarts", func(t *testing.T) {
		e.reconnect(c, pods, svc)
		for _, i := range []edgev1.Interest{pods, svc} {
			e.outcome(i)
		}
		e.names(pods)
		e.mu.Lock()
		e.log = nil
		e.mu.Unlock()
		k.must(k.server.Restart(t.Context()))
		k.pod("after", "n1", "web")
		e.names(pods, "after")
		// One Put more where autonomy has changed the Pod meanwhile.
		if got := e.said(); got != "Put 1" && got != "Put 2" {
			t.Errorf("one Pod is new, and cloudcore sent %s", got)
		}
	})
	t.Run("a node that is slow", func(t *testing.T) {
		config := e.granted(named("configmaps", "after"))
		hold := make(chan struct{})
		e.mu.Lock()
		e.hold, e.log = hold, nil
		e.mu.Unlock()
		for n := range 20 {
			k.change("after", fmt.Sprint(n))
		}
		eventually.Succeeds(t, patience, func(context.Context) error { return c.hasVersion(e, config, k.version("after")) })
		e.release(hold)
		eventually.Succeeds(t, patience, func(context.Context) error {
			if items := e.items(config.ID); len(items) != 1 || items[0].Version != k.version("after") {
				return fmt.Errorf("it has %+v", items)
			}
			return nil
		})
		// One waited when it was held up, and one had the rest; on a busy machine the
		// session may hear of the last change after it has sent that.
		if got := e.said(); got != "Put 1" && got != "Put 2" && got != "Put 3" {
			t.Errorf("20 changes, and cloudcore sent %s", got)
		}
	})
	t.Run("a node that is too slow", func(t *testing.T) {
		c := run(t, k.server.Config, Options{maxDirty: 3})
		e := connect(t, c, "n1")
		pods := e.granted(podsOf("n1"))
		hold := make(chan struct{})
		e.mu.Lock()
		e.hold, e.log = hold, nil
		e.mu.Unlock()
		want := []string{"after"}
		for n := range 12 {
			name := fmt.Sprintf("many-%02d", n)
			k.pod(name, "n1", "web")
			want = append(want, name)
		}
		last := want[len(want)-1]
		k.kill("many-00")
		want = append(want[:1], want[2:]...)
		eventually.Succeeds(t, patience, func(context.Context) error {
			if _, there := c.pods.Note(index.Key{Namespace: "default", Name: last}); !there {
				return fmt.Errorf("the index does not know %s", last)
			}
			return nil
		})
		e.release(hold)
		e.names(pods, want...)
		if got := e.said(); !strings.Contains(got, "Differ 1") || !strings.Contains(got, "Synced 1") {
			t.Errorf("cloudcore sent %s", got)
		}
	})
	t.Run("who opts out of autonomy", func(t *testing.T) {
		limited := func(name string) bool {
			pod, err := k.admin.CoreV1().Pods("default").Get(t.Context(), name, metav1.GetOptions{})
			k.must(err)
			for _, toleration := range pod.Spec.Tolerations {
				if toleration.TolerationSeconds != nil {
					return true
				}
			}
			return false
		}
		patch := []byte(`{"metadata":{"annotations":{"edge.akri.sh/autonomy":"false"}}}`)
		_, err := k.admin.CoreV1().Nodes().Patch(t.Context(), "n1", types.MergePatchType, patch, metav1.PatchOptions{})
		k.must(err)
		eventually.Succeeds(t, patience, func(context.Context) error {
			note, _ := c.nodes.Note(index.Key{Name: "n1"})
			if n, _ := note.(nodeNote); n.autonomy == nil {
				return fmt.Errorf("cloudcore does not know")
			}
			return nil
		})
		k.pod("leaves", "n1", "web")
		all := e.podNames(pods)
		all["leaves"] = true
		e.names(pods, slices.Sorted(maps.Keys(all))...)
		back := []byte(`{"metadata":{"annotations":{"edge.akri.sh/autonomy":"true"}}}`)
		if !limited("leaves") {
			t.Error("the Node opts out, and the Pod may stay for ever")
		}
		_, err = k.admin.CoreV1().Nodes().Patch(t.Context(), "n1", types.MergePatchType, back, metav1.PatchOptions{})
		k.must(err)
		eventually.Succeeds(t, patience, func(context.Context) error {
			if limited("leaves") {
				return fmt.Errorf("the Node no longer opts out, and the Pod would be evicted")
			}
			return nil
		})
	})
}
