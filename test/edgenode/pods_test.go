//go:build integration

package edgenode

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	"github.com/akri-go/akri/internal/edge/metamanager/tokens"
	"github.com/akri-go/akri/internal/eventually"
)

const account = "app"

// podCluster makes a service account, what it may do, and a Pod of it that mounts
// a Secret.
func (b *both) podCluster(ctx context.Context) (*corev1.Pod, error) {
	core, rbac := b.far.CoreV1(), b.far.RbacV1()
	meta := metav1.ObjectMeta{Name: account}
	_, err1 := core.Nodes().Create(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: node}}, metav1.CreateOptions{})
	_, err2 := core.ServiceAccounts("default").Create(ctx, &corev1.ServiceAccount{ObjectMeta: meta}, metav1.CreateOptions{})
	_, err3 := core.Secrets("default").Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "hidden"}}, metav1.CreateOptions{})
	_, err4 := core.ConfigMaps("default").Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "cfg"}, Data: map[string]string{"x": "1"}}, metav1.CreateOptions{})
	_, err5 := rbac.Roles("default").Create(ctx, &rbacv1.Role{ObjectMeta: meta, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{"configmaps"}, Verbs: []string{"get", "list", "watch", "create", "update", "delete"}},
		{APIGroups: []string{""}, Resources: []string{"services"}, Verbs: []string{"get", "list"}},
		{APIGroups: []string{""}, Resources: []string{"events"}, Verbs: []string{"create"}},
	}}, metav1.CreateOptions{})
	_, err6 := rbac.RoleBindings("default").Create(ctx, &rbacv1.RoleBinding{ObjectMeta: meta,
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: account},
		Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Name: account, Namespace: "default"}}}, metav1.CreateOptions{})
	if err := errors.Join(err1, err2, err3, err4, err5, err6); err != nil {
		return nil, err
	}
	return core.Pods("default").Create(ctx, &corev1.Pod{ObjectMeta: meta, Spec: corev1.PodSpec{
		NodeName: node, ServiceAccountName: account,
		Volumes: []corev1.Volume{
			{Name: "t", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{
				Sources: []corev1.VolumeProjection{{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "token"}}}}}},
			{Name: "s", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "hidden"}}},
		},
		Containers: []corev1.Container{{Name: "c", Image: "i"}},
	}}, metav1.CreateOptions{})
}

// token is a new token for a Pod, as the kubelet gets it.
func (b *both) token(ctx context.Context, pod *corev1.Pod) (string, error) {
	made, err := b.near.CoreV1().ServiceAccounts("default").CreateToken(ctx, account, &authenticationv1.TokenRequest{
		Spec: authenticationv1.TokenRequestSpec{BoundObjectRef: &authenticationv1.BoundObjectReference{
			Kind: "Pod", APIVersion: "v1", Name: pod.Name, UID: pod.UID}},
	}, metav1.CreateOptions{})
	if err != nil {
		return "", err
	}
	return made.Status.Token, nil
}

// client is one with a token alone, with the settings that client-go has in a
// Pod.
func (b *both) client(token string) kubernetes.Interface {
	config := rest.CopyConfig(b.local)
	config.BearerToken = token
	return kubernetes.NewForConfigOrDie(config)
}

// What a Pod does at the local API, by the rights of its service account:
// connected, cut and joined again.
func TestPod(t *testing.T) {
	b := start(t)
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	pod, err := b.podCluster(ctx)
	must(err)
	// The kubelet has the Pod and its Secret.
	pods := inform(ctx, b.near, "pods", "", "spec.nodeName="+node, &corev1.Pod{})
	secrets := inform(ctx, b.near, "secrets", "default", "metadata.name=hidden", &corev1.Secret{})
	has := func(i cache.SharedIndexInformer, is func(any) bool) {
		t.Helper()
		eventually.Succeeds(t, soon, func(context.Context) error {
			for _, o := range i.GetStore().List() {
				if is(o) {
					return nil
				}
			}
			return fmt.Errorf("there are %v", i.GetStore().ListKeys())
		})
	}
	has(pods, func(o any) bool { p, ok := o.(*corev1.Pod); return ok && p.UID == pod.UID })
	has(secrets, func(any) bool { return true })

	first, err := b.token(ctx, pod)
	must(err)
	app := b.client(first)
	maps := app.CoreV1().ConfigMaps("default")
	me, err := app.AuthenticationV1().SelfSubjectReviews().Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	must(err)
	if u := me.Status.UserInfo; u.Username != "system:serviceaccount:default:"+account || u.Extra["authentication.kubernetes.io/pod-uid"][0] != string(pod.UID) {
		t.Errorf("the API server sees %+v", u)
	}
	follow := inform(ctx, app, "configmaps", "default", "", &corev1.ConfigMap{})
	has(follow, func(o any) bool { m, ok := o.(*corev1.ConfigMap); return ok && m.Data["x"] == "1" })
	cfg, err := maps.Get(ctx, "cfg", metav1.GetOptions{})
	must(err)
	old := cfg.DeepCopy()
	cfg.Data["x"] = "2"
	_, err = maps.Update(ctx, cfg, metav1.UpdateOptions{})
	must(err)
	if _, err := maps.Update(ctx, old, metav1.UpdateOptions{}); !apierrors.IsConflict(err) {
		t.Errorf("an old resourceVersion: %v", err)
	}
	if got, err := b.far.CoreV1().ConfigMaps("default").Get(ctx, "cfg", metav1.GetOptions{}); err != nil || got.Data["x"] != "2" {
		t.Errorf("in the cluster: %v, %v", got.Data, err)
	}
	has(follow, func(o any) bool { m, ok := o.(*corev1.ConfigMap); return ok && m.Data["x"] == "2" })
	// It may list Services, but not watch them.
	if list, err := app.CoreV1().Services("default").List(ctx, metav1.ListOptions{}); err != nil || len(list.Items) == 0 {
		t.Errorf("a list without the right to watch: %v, %v", list, err)
	}
	raw := app.CoreV1().RESTClient()
	others := func(is func(error) bool, what string) {
		t.Helper()
		for _, path := range []string{
			"/api/v1/namespaces/default/secrets/hidden", "/api/v1/namespaces/default/secrets", "/api/v1/pods", "/api/v1/nodes/" + node,
			"/api/v1/namespaces/default/pods/" + account, "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/" + node,
		} {
			if err := raw.Get().AbsPath(path).MaxRetries(0).Do(ctx).Error(); !is(err) {
				t.Errorf("GET %s: %v, want %s", path, err, what)
			}
		}
		if err := raw.Get().AbsPath("/api/v1/namespaces/default/secrets").Param("watch", "1").Param("fieldSelector", "metadata.name=hidden").MaxRetries(0).Do(ctx).Error(); !is(err) {
			t.Errorf("a watch of the kubelet's Secret: %v, want %s", err, what)
		}
	}
	others(apierrors.IsForbidden, "403")
	if err := raw.Post().AbsPath("/api/v1/namespaces/default/serviceaccounts/" + account + "/token").Body([]byte(`{}`)).MaxRetries(0).Do(ctx).Error(); !apierrors.IsForbidden(err) {
		t.Errorf("a token for itself: %v", err)
	}

	b.cut()
	if list, err := maps.List(ctx, metav1.ListOptions{}); err != nil || len(list.Items) == 0 {
		t.Errorf("a list while cut: %v, %v", list, err)
	}
	if got, err := maps.Get(ctx, "cfg", metav1.GetOptions{}); err != nil || got.Data["x"] != "2" {
		t.Errorf("a get while cut: %v, %v", got.Data, err)
	}
	others(apierrors.IsServiceUnavailable, "503")
	if err := raw.Put().AbsPath("/api/v1/namespaces/default/configmaps/cfg").Body([]byte(`{}`)).MaxRetries(0).Do(ctx).Error(); !apierrors.IsServiceUnavailable(err) {
		t.Errorf("a write while cut: %v", err)
	}
	second, err := b.token(ctx, pod)
	must(err)
	if parsed, err := tokens.Parse(second); err != nil || parsed.Claims.Issuer != tokens.Issuer {
		t.Errorf("%+v, %v", parsed.Claims, err)
	}
	again := b.client(second)
	if list, err := again.CoreV1().ConfigMaps("default").List(ctx, metav1.ListOptions{}); err != nil || len(list.Items) == 0 {
		t.Errorf("with a token of here: %v, %v", list, err)
	}
	_, err = again.CoreV1().Events("default").Create(ctx, &corev1.Event{ObjectMeta: metav1.ObjectMeta{Name: "app.1", Namespace: "default"},
		InvolvedObject: corev1.ObjectReference{Kind: "Pod", Namespace: "default", Name: account}, Reason: "Cut", Type: "Normal"}, metav1.CreateOptions{})
	must(err)
	_, err = b.far.CoreV1().ConfigMaps("default").Patch(ctx, "cfg", "application/merge-patch+json", []byte(`{"data":{"x":"3"}}`), metav1.PatchOptions{})
	must(err)

	b.join()
	has(follow, func(o any) bool { m, ok := o.(*corev1.ConfigMap); return ok && m.Data["x"] == "3" })
	eventually.Succeeds(t, soon, func(ctx context.Context) error {
		_, err := b.far.CoreV1().Events("default").Get(ctx, "app.1", metav1.GetOptions{})
		return err
	})
	// The token of here goes on, and the API server sees who it is.
	me, err = again.AuthenticationV1().SelfSubjectReviews().Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	must(err)
	if u := me.Status.UserInfo; u.Username != "system:serviceaccount:default:"+account {
		t.Errorf("the API server sees %+v", u)
	}
	if _, err := kubernetes.NewForConfigOrDie(withToken(b.cluster, second)).CoreV1().ConfigMaps("default").Get(ctx, "cfg", metav1.GetOptions{}); !apierrors.IsUnauthorized(err) {
		t.Errorf("a token of here at the API server: %v", err)
	}
	third, err := b.token(ctx, pod)
	must(err)
	if parsed, err := tokens.Parse(third); err != nil || parsed.Claims.Issuer == tokens.Issuer {
		t.Errorf("after the cut the tokens are still made here: %+v, %v", parsed.Claims, err)
	}
	others(apierrors.IsForbidden, "403")

	zero := int64(0)
	must(b.far.CoreV1().Pods("default").Delete(ctx, account, metav1.DeleteOptions{GracePeriodSeconds: &zero}))
	for name, token := range map[string]string{"the cluster's": first, "of here": second} {
		eventually.Succeeds(t, soon, func(ctx context.Context) error {
			ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
			defer cancel()
			if _, err := b.client(token).CoreV1().ConfigMaps("default").List(ctx, metav1.ListOptions{}); !apierrors.IsUnauthorized(err) {
				return fmt.Errorf("the Pod is gone, a token %s is still taken: %v", name, err)
			}
			return nil
		})
	}
}

// withToken is a configuration of a client that has a token alone.
func withToken(config *rest.Config, token string) *rest.Config {
	c := rest.AnonymousClientConfig(config)
	c.BearerToken = token
	return c
}
