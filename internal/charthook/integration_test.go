//go:build integration

package charthook

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/charts"
	"github.com/akri-go/akri/internal/devcluster/kubetest"
	"github.com/akri-go/akri/internal/eventually"
)

// waitTimeout is how long a test waits for a condition; tests do not assert
// durations.
const waitTimeout = eventually.Patience

var (
	crdResource  = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
	daemonSets   = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "daemonsets"}
	configPlural = v0.GroupVersion.WithResource("configurations")
	instPlural   = v0.GroupVersion.WithResource("instances")
)

// fixture is an API server with an administrator, and a hook with the rights of
// the chart's role.
type fixture struct {
	*testing.T
	admin dynamic.Interface
	hook  *rest.Config
	log   bytes.Buffer
}

// shared is an API server without CRDs.
var shared = kubetest.Share(kubetest.WithCRDs(""))

func TestMain(m *testing.M) { os.Exit(shared.Run(m)) }

func start(t *testing.T, server *kubetest.Server, rules []rbacv1.PolicyRule) *fixture {
	t.Helper()
	r := &fixture{T: t, hook: server.ConfigFor("hook")}
	r.hook.QPS = -1
	quiet := rest.CopyConfig(server.Config)
	quiet.WarningHandler = rest.NoWarnings{}
	r.admin = dynamic.NewForConfigOrDie(quiet)
	roles := kubernetes.NewForConfigOrDie(server.Config).RbacV1()
	_, err := roles.ClusterRoles().Create(t.Context(), &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "hook"}, Rules: rules}, metav1.CreateOptions{})
	if err == nil {
		_, err = roles.ClusterRoleBindings().Create(t.Context(), &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "hook"},
			RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "hook"},
			Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: "hook"}}}, metav1.CreateOptions{})
	}
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *fixture) logger() *slog.Logger { return slog.New(slog.NewTextHandler(&r.log, nil)) }

func (r *fixture) create(resource schema.GroupVersionResource, namespace string, object map[string]any) *unstructured.Unstructured {
	r.Helper()
	var out *unstructured.Unstructured
	// A CRD is served a moment after it is established, and a role takes effect
	// a moment after it is created.
	r.eventually("create", func(ctx context.Context) (err error) {
		out, err = r.admin.Resource(resource).Namespace(namespace).Create(ctx, &unstructured.Unstructured{Object: object}, metav1.CreateOptions{})
		return err
	})
	return out
}

func (r *fixture) get(resource schema.GroupVersionResource, namespace, name string) *unstructured.Unstructured {
	r.Helper()
	u, err := r.admin.Resource(resource).Namespace(namespace).Get(r.Context(), name, metav1.GetOptions{})
	if err != nil {
		r.Fatal(err)
	}
	return u
}

func (r *fixture) patch(resource schema.GroupVersionResource, namespace, name, patch string, sub ...string) error {
	_, err := r.admin.Resource(resource).Namespace(namespace).Patch(r.Context(), name, types.MergePatchType, []byte(patch), metav1.PatchOptions{}, sub...)
	return err
}

func (r *fixture) eventually(what string, check func(context.Context) error) {
	r.Helper()
	eventually.Succeeds(r, waitTimeout, func(ctx context.Context) error {
		if err := check(ctx); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		return nil
	})
}

func configuration(name string, finalizers ...any) map[string]any {
	meta := map[string]any{"name": name}
	if len(finalizers) > 0 {
		meta["finalizers"] = finalizers
	}
	return map[string]any{"apiVersion": "akri.sh/v0", "kind": "Configuration", "metadata": meta,
		"spec": map[string]any{"discoveryHandler": map[string]any{"name": "udev", "discoveryDetails": "x"}, "capacity": int64(2)}}
}

func instance(name string, of *unstructured.Unstructured) map[string]any {
	meta := map[string]any{"name": name, "ownerReferences": []any{map[string]any{
		"apiVersion": "akri.sh/v0", "kind": "Configuration", "name": of.GetName(), "uid": string(of.GetUID()), "controller": true, "blockOwnerDeletion": true}}}
	return map[string]any{"apiVersion": "akri.sh/v0", "kind": "Instance", "metadata": meta,
		"spec": map[string]any{"configurationName": of.GetName(), "cdiName": "akri.sh/" + of.GetName() + "=abcdef", "capacity": int64(2),
			"nodes": []any{"n1"}, "deviceUsage": map[string]any{name + "-0": "n1", name + "-1": ""}}}
}

func crdRules() []rbacv1.PolicyRule {
	return []rbacv1.PolicyRule{{APIGroups: []string{"apiextensions.k8s.io"}, Resources: []string{"customresourcedefinitions"},
		ResourceNames: []string{"configurations.akri.sh", "instances.akri.sh"}, Verbs: []string{"get", "create", "patch"}}}
}

func (r *fixture) update(timeout time.Duration) error {
	r.Helper()
	ctx, cancel := context.WithTimeout(r.Context(), timeout)
	defer cancel()
	return UpdateCRDs(ctx, r.hook, r.logger())
}

func TestOldCRDs(t *testing.T) {
	server := shared.Start(t)
	if err := server.InstallCRDs(t.Context(), "testdata/old-crds"); err != nil {
		t.Fatal(err)
	}
	r := start(t, server, crdRules())
	c := r.create(configPlural, "default", configuration("cam"))
	i := r.create(instPlural, "default", instance("cam-abcdef", c))
	status := `{"status":{"nodes":[{"name":"n1","state":"Online"}]}}`
	if err := r.patch(instPlural, "default", "cam-abcdef", status, "status"); !apierrors.IsNotFound(err) {
		t.Fatalf("the old CRD has a status already: %v", err)
	}

	if err := r.update(waitTimeout); err != nil {
		t.Fatalf("%v\n%s", err, &r.log)
	}
	version, err := charts.Version()
	if err != nil {
		t.Fatal(err)
	}
	crd := r.get(crdResource, "", "instances.akri.sh")
	if got := crd.GetAnnotations()[VersionAnnotation]; got != version {
		t.Errorf("%s is %q, want %q", VersionAnnotation, got, version)
	}
	for _, was := range []struct {
		resource schema.GroupVersionResource
		object   *unstructured.Unstructured
	}{{configPlural, c}, {instPlural, i}} {
		now := r.get(was.resource, "default", was.object.GetName())
		if now.GetUID() != was.object.GetUID() || fmt.Sprint(now.Object["spec"]) != fmt.Sprint(was.object.Object["spec"]) {
			t.Errorf("was %v, is %v", was.object.Object, now.Object)
		}
	}
	r.eventually("the status subresource", func(context.Context) error {
		return r.patch(instPlural, "default", "cam-abcdef", status, "status")
	})

	if err := r.update(waitTimeout); err != nil {
		t.Fatal(err)
	}
	if now := r.get(crdResource, "", "instances.akri.sh"); now.GetResourceVersion() != crd.GetResourceVersion() {
		t.Error("a CRD that is as it should be was written again")
	}

	// A later version, installed by Helm 4: it applies CRDs and forces nothing.
	later, err := Wanted()
	if err != nil {
		t.Fatal(err)
	}
	versions, _, _ := unstructured.NestedSlice(later[0].Object, "spec", "versions")
	versions[0].(map[string]any)["additionalPrinterColumns"] = []any{}
	if err := unstructured.SetNestedSlice(later[0].Object, versions, "spec", "versions"); err != nil {
		t.Fatal(err)
	}
	if _, err := r.admin.Resource(crdResource).Apply(t.Context(), later[0].GetName(), later[0], metav1.ApplyOptions{FieldManager: "helm"}); err != nil {
		t.Errorf("Helm 4 could not install over it: %v", err)
	}
}

func TestCRDsThatAreMissingNewerOrGoing(t *testing.T) {
	r := start(t, shared.Start(t), crdRules())
	r.eventually("the role is known", func(context.Context) error {
		err := r.update(waitTimeout)
		if err != nil && !apierrors.IsForbidden(err) {
			t.Fatalf("%v\n%s", err, &r.log)
		}
		return err
	})
	r.get(crdResource, "", "configurations.akri.sh")

	// Newer.
	if err := r.patch(crdResource, "", "configurations.akri.sh",
		`{"metadata":{"annotations":{"akri.sh/crd-version":"99.0.0"}},"spec":{"names":{"shortNames":["newer"]}}}`); err != nil {
		t.Fatal(err)
	}
	if err := r.update(waitTimeout); err != nil {
		t.Fatal(err)
	}
	names, _, _ := unstructured.NestedStringSlice(r.get(crdResource, "", "configurations.akri.sh").Object, "spec", "names", "shortNames")
	if len(names) != 1 || names[0] != "newer" || !strings.Contains(r.log.String(), "left unchanged") {
		t.Errorf("a newer CRD was replaced: short names %v\n%s", names, &r.log)
	}

	// Being deleted, and held up by an object.
	r.create(configPlural, "default", configuration("held", "example.org/hold"))
	if err := r.admin.Resource(crdResource).Delete(r.Context(), "configurations.akri.sh", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	told := func(err error) bool { return err != nil && strings.Contains(err.Error(), "is being deleted") }
	err := r.update(time.Second)
	for d := 2 * time.Second; d < waitTimeout && err != nil && !told(err); d *= 2 {
		err = r.update(d) // the API server was too slow to tell why
	}
	if !told(err) {
		t.Fatalf("error %v, want one that says that the CRD is being deleted", err)
	}
	old := r.get(crdResource, "", "configurations.akri.sh").GetUID()
	result := make(chan error, 1)
	go func() { result <- UpdateCRDs(r.Context(), r.hook, slog.New(slog.DiscardHandler)) }()
	r.eventually("let go", func(context.Context) error {
		return r.patch(configPlural, "default", "held", `{"metadata":{"finalizers":null}}`)
	})
	if err := <-result; err != nil {
		t.Fatal(err)
	}
	if r.get(crdResource, "", "configurations.akri.sh").GetUID() == old {
		t.Error("the CRD that was being deleted was taken for a new one")
	}
}

func TestCRDsWithoutRights(t *testing.T) {
	r := start(t, shared.Start(t), nil)
	err := r.update(waitTimeout)
	if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "configurations.akri.sh") {
		t.Errorf("error %v, want Forbidden about the CRD", err)
	}
}

func cleanupRules() []rbacv1.PolicyRule {
	return []rbacv1.PolicyRule{
		{APIGroups: []string{"akri.sh"}, Resources: []string{"configurations"}, Verbs: []string{"list", "delete"}},
		{APIGroups: []string{"akri.sh"}, Resources: []string{"instances"}, Verbs: []string{"list"}},
		{APIGroups: []string{"apps"}, Resources: []string{"daemonsets"}, ResourceNames: []string{"akri-agent-daemonset"}, Verbs: []string{"get"}},
	}
}

func (r *fixture) cleanup(timeout time.Duration) error {
	return Cleanup(r.Context(), CleanupOptions{Config: r.hook, Log: r.logger(), Namespace: "default", Release: "akri", Timeout: timeout})
}

func (r *fixture) count(resource schema.GroupVersionResource) int {
	r.Helper()
	l, err := r.admin.Resource(resource).List(r.Context(), metav1.ListOptions{})
	if err != nil {
		r.Fatal(err)
	}
	return len(l.Items)
}

func daemonSet(release string) map[string]any {
	meta := map[string]any{"name": agentDaemonSet}
	if release != "" {
		meta["annotations"] = map[string]any{helmRelease: release}
	}
	labels := map[string]any{"app": "agent"}
	return map[string]any{"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": meta,
		"spec": map[string]any{"selector": map[string]any{"matchLabels": labels}, "template": map[string]any{
			"metadata": map[string]any{"labels": labels},
			"spec":     map[string]any{"containers": []any{map[string]any{"name": "c", "image": "i"}}}}}}
}

func TestCleanup(t *testing.T) {
	r := start(t, kubetest.Start(t, kubetest.WithControllerManager()), cleanupRules())
	a := r.create(configPlural, "default", configuration("a"))
	b := r.create(configPlural, "kube-system", configuration("b"))
	r.create(instPlural, "default", instance("a-000001", a))
	r.create(instPlural, "kube-system", instance("b-000001", b))

	for _, release := range []string{"", "another"} {
		r.create(daemonSets, "default", daemonSet(release))
		if err := r.cleanup(waitTimeout); err != nil {
			t.Fatal(err)
		}
		if n := r.count(configPlural); n != 2 {
			t.Fatalf("DaemonSet of release %q: %d Configurations are left of 2", release, n)
		}
		if err := r.admin.Resource(daemonSets).Namespace("default").Delete(r.Context(), agentDaemonSet, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
	}

	r.create(daemonSets, "default", daemonSet("akri"))
	if err := r.cleanup(waitTimeout); err != nil {
		t.Fatalf("%v\n%s", err, &r.log)
	}
	if c, i := r.count(configPlural), r.count(instPlural); c+i != 0 {
		t.Errorf("%d Configurations and %d Instances are left\n%s", c, i, &r.log)
	}

	// Agents gone, nothing to delete; then something that does not go.
	if err := r.admin.Resource(daemonSets).Namespace("default").Delete(r.Context(), agentDaemonSet, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := r.cleanup(waitTimeout); err != nil {
		t.Fatal(err)
	}
	r.create(configPlural, "default", configuration("held", "example.org/hold"))
	if err := r.cleanup(20 * time.Second); err != nil {
		t.Fatalf("what somebody else holds is an error: %v", err)
	}
	if !strings.Contains(r.log.String(), "1 Configurations and 0 Instances") {
		t.Errorf("the log does not say what is left:\n%s", &r.log)
	}
	if got := r.get(configPlural, "default", "held").GetFinalizers(); len(got) != 1 {
		t.Errorf("finalizers of others are %v", got)
	}
	if err := r.patch(configPlural, "default", "held", `{"metadata":{"finalizers":null}}`); err != nil {
		t.Fatal(err)
	}

	// Without CRDs there is nothing to do.
	for _, name := range []string{"configurations.akri.sh", "instances.akri.sh"} {
		if err := r.admin.Resource(crdResource).Delete(r.Context(), name, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	r.eventually("the CRDs are gone", func(ctx context.Context) error {
		_, err := r.admin.Resource(crdResource).Get(ctx, "instances.akri.sh", metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return fmt.Errorf("instances.akri.sh: %v", err)
	})
	if err := r.cleanup(waitTimeout); err != nil {
		t.Error(err)
	}
}
