//go:build integration

package edgecontroller

import (
	"context"
	"fmt"
	"os"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
	"github.com/akri-go/akri/internal/cloud/edgecontroller/index"
	"github.com/akri-go/akri/internal/devcluster/kubetest"
	"github.com/akri-go/akri/internal/eventually"
)

// cluster is an API server with Nodes and Pods that nobody runs.
type cluster struct {
	t      *testing.T
	server *kubetest.Server
	admin  kubernetes.Interface
}

// shared is the API server of all tests here.
var shared = kubetest.Share(kubetest.WithCRDs(""), kubetest.WithNodeRestriction())

func TestMain(m *testing.M) { os.Exit(shared.Run(m)) }

func newCluster(t *testing.T) *cluster {
	s := shared.Start(t)
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
	_, err := c.admin.CoreV1().Nodes().Create(c.t.Context(),
		&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	c.must(err)
}

// pod makes a Pod that is bound to a node and mentions a Secret and a ConfigMap of
// its own name.
func (c *cluster) pod(name, node, account string) *corev1.Pod {
	c.t.Helper()
	ctx := c.t.Context()
	_, err := c.admin.CoreV1().Secrets("default").Create(ctx,
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	c.must(err)
	c.configMap(name)
	_, err = c.admin.CoreV1().ServiceAccounts("default").Create(ctx,
		&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: account}}, metav1.CreateOptions{})
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
	_, err := c.admin.CoreV1().ConfigMaps("default").Patch(c.t.Context(), name, types.MergePatchType,
		[]byte(patch), metav1.PatchOptions{})
	c.must(err)
}

// kill deletes a Pod at once.
func (c *cluster) kill(name string) {
	c.t.Helper()
	var now int64
	c.must(c.admin.CoreV1().Pods("default").Delete(c.t.Context(), name, metav1.DeleteOptions{GracePeriodSeconds: &now}))
}

// awaitLatest waits until an edge node has the newest version of a Pod.
func (c *cluster) awaitLatest(e *edge, pods edgev1.Interest, name string) {
	c.t.Helper()
	eventually.Succeeds(c.t, patience, func(ctx context.Context) error {
		pod, err := c.admin.CoreV1().Pods("default").Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		for _, item := range e.items(pods.ID) {
			if item.Name == name && item.Version == pod.ResourceVersion {
				return nil
			}
		}
		return fmt.Errorf("the newest %s is %s, it has %+v", name, pod.ResourceVersion, e.items(pods.ID))
	})
}

// awaitKnown waits until the controller knows that one Pod of a node has come and
// another has gone, and the API server that the node may no longer read the
// ConfigMap of the latter.
func (c *cluster) awaitKnown(of *Controller, node, came, gone string) {
	c.t.Helper()
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: "system:node:" + node, Groups: []string{"system:nodes"},
		ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: "get", Resource: "configmaps", Namespace: "default", Name: gone},
	}}
	eventually.Succeeds(c.t, patience, func(ctx context.Context) error {
		_, has := of.pods.Note(index.Key{Namespace: "default", Name: came})
		_, had := of.pods.Note(index.Key{Namespace: "default", Name: gone})
		answer, err := c.admin.AuthorizationV1().SubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
		if err == nil && (!has || had || answer.Status.Allowed) {
			err = fmt.Errorf("%s has come: %v; %s is there: %v; its ConfigMap may be read: %v", came, has, gone, had, answer.Status.Allowed)
		}
		return err
	})
}

// The interests of a kubelet.
func podsOf(node string) edgev1.Interest {
	return edgev1.Interest{Version: "v1", Resource: "pods", FieldSelector: "spec.nodeName=" + node}
}

func named(resource, name string) edgev1.Interest {
	return edgev1.Interest{Version: "v1", Resource: resource, Namespace: "default",
		FieldSelector: "metadata.name=" + name}
}

func services() edgev1.Interest {
	return edgev1.Interest{Version: "v1", Resource: "services", FieldSelector: "spec.clusterIP!=None"}
}

// version is a ConfigMap's.
func (c *cluster) version(name string) string {
	o, err := c.admin.CoreV1().ConfigMaps("default").Get(c.t.Context(), name, metav1.GetOptions{})
	c.must(err)
	return o.ResourceVersion
}

// hasVersion returns an error until the index has a ConfigMap in a version.
func (c *Controller) hasVersion(e *edge, i edgev1.Interest, version string) error {
	s := e.s.(*Session)
	s.mu.Lock()
	sub := s.interests[i.ID].sub
	s.mu.Unlock()
	items, _, _ := sub.Items()
	if len(items) != 1 || items[0].Version != version {
		return fmt.Errorf("the index has %+v", items)
	}
	return nil
}

// release lets an edge node take again what is sent to it.
func (e *edge) release(hold chan struct{}) {
	e.mu.Lock()
	e.hold = nil
	e.mu.Unlock()
	close(hold)
}

// podNames are those that the edge node has of an interest.
func (e *edge) podNames(i edgev1.Interest) map[string]bool {
	out := map[string]bool{}
	for _, item := range e.items(i.ID) {
		out[item.Name] = true
	}
	return out
}
