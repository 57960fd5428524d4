//go:build integration

package edgecontroller

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
	"github.com/akri-go/akri/internal/devcluster/kubetest"
	"github.com/akri-go/akri/internal/eventually"
)

// cluster is an API server with Nodes and Pods that nobody runs.
type cluster struct {
	t      *testing.T
	server *kubetest.Server
	admin  kubernetes.Interface
}

func newCluster(t *testing.T) *cluster {
	s := kubetest.Start(t, kubetest.WithCRDs(""), kubetest.WithNodeRestriction())
	admin, err := kubernetes.NewForConfig(s.Config)
	if err != nil {
		t.Fatal(err)
	}
	return &cluster{t, s, admin}
}

func (c *cluster) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

func (c *cluster) node(name string) {
	c.t.Helper()
	_, err := c.admin.CoreV1().Nodes().Create(c.t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	c.must(err)
}

// pod makes a Pod that is bound to a node and mentions a Secret and a ConfigMap of
// its own name.
func (c *cluster) pod(name, node, account string) *corev1.Pod {
	c.t.Helper()
	ctx := c.t.Context()
	_, err := c.admin.CoreV1().Secrets("default").Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	c.must(err)
	c.configMap(name)
	_, err = c.admin.CoreV1().ServiceAccounts("default").Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: account}}, metav1.CreateOptions{})
	if !apierrors.IsAlreadyExists(err) {
		c.must(err)
	}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.PodSpec{
		NodeName: node, ServiceAccountName: account,
		Volumes: []corev1.Volume{{Name: "token", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{
			Sources: []corev1.VolumeProjection{{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "token"}}},
		}}}},
		Containers: []corev1.Container{{Name: "c", Image: "i", EnvFrom: []corev1.EnvFromSource{
			{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: name}}},
			{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: name}}},
		}}},
	}}
	pod, err = c.admin.CoreV1().Pods("default").Create(ctx, pod, metav1.CreateOptions{})
	c.must(err)
	return pod
}

func (c *cluster) configMap(name string) {
	c.t.Helper()
	_, err := c.admin.CoreV1().ConfigMaps("default").Create(c.t.Context(), &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: name}, Data: map[string]string{"x": "1"}}, metav1.CreateOptions{})
	c.must(err)
}

func (c *cluster) change(name, value string) {
	c.t.Helper()
	patch := fmt.Sprintf(`{"data":{"x":%q}}`, value)
	_, err := c.admin.CoreV1().ConfigMaps("default").Patch(c.t.Context(), name, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
	c.must(err)
}

// kill deletes a Pod at once.
func (c *cluster) kill(name string) {
	c.t.Helper()
	var now int64
	c.must(c.admin.CoreV1().Pods("default").Delete(c.t.Context(), name, metav1.DeleteOptions{GracePeriodSeconds: &now}))
}

// The interests of a kubelet.
func podsOf(node string) edgev1.Interest {
	return edgev1.Interest{Version: "v1", Resource: "pods", FieldSelector: "spec.nodeName=" + node}
}

func named(resource, name string) edgev1.Interest {
	return edgev1.Interest{Version: "v1", Resource: resource, Namespace: "default", FieldSelector: "metadata.name=" + name}
}

func services() edgev1.Interest {
	return edgev1.Interest{Version: "v1", Resource: "services", FieldSelector: "spec.clusterIP!=None"}
}

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
			if lease.OwnerReferences[0].UID != n.UID || *lease.Spec.HolderIdentity != "n1" || *lease.Spec.LeaseDurationSeconds != 40 {
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
		patch := e.call(edgev1.Call{Method: "PATCH", Path: "/api/v1/nodes/n1/status", ContentType: "application/strategic-merge-patch+json",
			Body: []byte(`{"status":{"conditions":[{"type":"Ready","status":"True"}]}}`)})
		if patch.Status != http.StatusOK {
			t.Errorf("%d %s", patch.Status, patch.Body)
		}
		who := e.call(edgev1.Call{Method: "POST", Path: "/apis/authentication.k8s.io/v1/selfsubjectreviews", ContentType: "application/json",
			As:   edgev1.As{ServiceAccount: "default/web"},
			Body: []byte(`{"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview"}`)})
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
		i := e.granted(edgev1.Interest{Group: "storage.k8s.io", Version: "v1", Resource: "csinodes", FieldSelector: "metadata.name=n1", Get: true})
		e.names(i)
		made := e.call(edgev1.Call{Method: "POST", Path: "/apis/storage.k8s.io/v1/csinodes", ContentType: "application/json",
			Body: []byte(`{"apiVersion":"storage.k8s.io/v1","kind":"CSINode","metadata":{"name":"n1"},"spec":{"drivers":[]}}`)})
		if made.Status != http.StatusCreated {
			t.Fatalf("%d %s", made.Status, made.Body)
		}
		e.s.Receive(&edgev1.Have{ID: i.ID})
		e.names(i, "n1")
		if r := e.call(edgev1.Call{Method: "DELETE", Path: "/apis/storage.k8s.io/v1/csinodes/n1"}); r.Status != http.StatusOK {
			t.Fatalf("%d %s", r.Status, r.Body)
		}
		e.s.Receive(&edgev1.Have{ID: i.ID, Digest: edgev1.Digest(e.items(i.ID))})
		e.names(i)
		e.s.Receive(&edgev1.Forget{ID: i.ID})
	})
	t.Run("cut off and back", func(t *testing.T) {
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
}
