//go:build e2e

package chart

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/go-logr/logr"
	"helm.sh/helm/v4/pkg/action"
	"helm.sh/helm/v4/pkg/chart/loader"
	"helm.sh/helm/v4/pkg/kube"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/charts"
	"github.com/akri-go/akri/internal/devcluster"
	"github.com/akri-go/akri/internal/eventually"
	"github.com/akri-go/akri/internal/helm"
	"github.com/akri-go/akri/internal/images"
)

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	os.Exit(m.Run())
}

// fixture is a test with a cluster.
type fixture struct {
	*testing.T
	client.WithWatch
	cluster *devcluster.Cluster
	repo    string
}

// with returns the fixture for a subtest.
func (r *fixture) with(t *testing.T) *fixture {
	c := *r
	c.T = t
	return &c
}

func newClient(cluster *devcluster.Cluster) (client.WithWatch, error) {
	config, err := cluster.RESTConfig()
	if err != nil {
		return nil, err
	}
	config.QPS = -1
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), apiextensionsv1.AddToScheme(scheme), v0.AddToScheme(scheme)); err != nil {
		return nil, err
	}
	return client.NewWithWatch(config, client.Options{Scheme: scheme})
}

// eventually asks until check has nothing to complain of, or fails the test
// with its last complaint.
func (r *fixture) eventually(what string, check func(context.Context) error) {
	r.Helper()
	eventually.Succeeds(r, waitTimeout, func(ctx context.Context) error {
		if err := check(ctx); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		return nil
	})
}

func (r *fixture) list(list client.ObjectList, opts ...client.ListOption) {
	r.Helper()
	if err := r.List(r.Context(), list, opts...); err != nil {
		r.Fatal(err)
	}
}

// uids returns those of all objects of a kind, sorted.
func (r *fixture) uids(list client.ObjectList) []string {
	r.Helper()
	r.list(list)
	var out []string
	for _, o := range items(r.T, list) {
		out = append(out, string(o.GetUID()))
	}
	slices.Sort(out)
	return out
}

// ours returns the release's objects of a kind.
func (r *fixture) ours(list client.ObjectList) []client.Object {
	r.Helper()
	r.list(list, client.MatchingLabels{"app.kubernetes.io/instance": release})
	return items(r.T, list)
}

func items(t *testing.T, list client.ObjectList) []client.Object {
	t.Helper()
	raw, err := meta.ExtractList(list)
	if err != nil {
		t.Fatal(err)
	}
	var out []client.Object
	for _, o := range raw {
		out = append(out, o.(client.Object))
	}
	return out
}

// workloads are the kinds that run the chart's components.
func workloads() []client.ObjectList {
	return []client.ObjectList{&appsv1.DaemonSetList{}, &appsv1.DeploymentList{}}
}

// kinds are the others that the chart makes.
func kinds() []client.ObjectList {
	return []client.ObjectList{
		&corev1.PodList{}, &corev1.ServiceList{}, &corev1.ServiceAccountList{}, &corev1.SecretList{}, &corev1.ConfigMapList{},
		&batchv1.JobList{}, &policyv1.PodDisruptionBudgetList{},
		&rbacv1.RoleList{}, &rbacv1.RoleBindingList{}, &rbacv1.ClusterRoleList{}, &rbacv1.ClusterRoleBindingList{},
	}
}

func (r *fixture) crd(name string) *apiextensionsv1.CustomResourceDefinition {
	r.Helper()
	var crd apiextensionsv1.CustomResourceDefinition
	if err := r.Get(r.Context(), client.ObjectKey{Name: name}, &crd); err != nil {
		r.Fatal(err)
	}
	return &crd
}

// writeOldCRDs replaces the CRDs by those of an older Akri, without a status;
// objects stay.
func (r *fixture) writeOldCRDs() {
	r.Helper()
	files, err := filepath.Glob(filepath.Join(r.repo, "internal", "charthook", "testdata", "old-crds", "*.yaml"))
	if err != nil || len(files) != 2 {
		r.Fatalf("old CRDs: %v, %v", files, err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			r.Fatal(err)
		}
		r.eventually("write "+file, func(ctx context.Context) error {
			var old, have apiextensionsv1.CustomResourceDefinition
			if err := yaml.UnmarshalStrict(data, &old); err != nil {
				return err
			}
			err := r.Get(ctx, client.ObjectKeyFromObject(&old), &have)
			if apierrors.IsNotFound(err) {
				return r.Create(ctx, &old)
			}
			if err != nil {
				return err
			}
			old.ResourceVersion = have.ResourceVersion
			return r.Update(ctx, &old)
		})
	}
}

// installedByOldAkriDev makes the release look like one of an older `akri dev`:
// with the program's name as field manager instead of helm's.
func (r *fixture) installedByOldAkriDev() {
	r.Helper()
	changed := 0
	for _, list := range append(kinds(), workloads()...) {
		for _, o := range r.ours(list) {
			for i, f := range o.GetManagedFields() {
				if f.Manager != "helm" {
					continue
				}
				changed++
				patch := fmt.Appendf(nil, `[{"op":"replace","path":"/metadata/managedFields/%d/manager","value":"akri"}]`, i)
				if err := r.Patch(r.Context(), o, client.RawPatch(types.JSONPatchType, patch)); err != nil {
					r.Fatal(err)
				}
			}
		}
	}
	if changed == 0 {
		r.Error("helm manages nothing")
	}
}

// helmUpgrade upgrades as the command helm does by default.
func (r *fixture) helmUpgrade(set ...string) {
	r.Helper()
	kube.ManagedFieldsManager = "helm" // as the command does
	values, err := helm.ParseValues(set)
	if err != nil {
		r.Fatal(err)
	}
	chart, err := loader.Load(filepath.Join(r.repo, "charts", "akri"))
	if err != nil {
		r.Fatal(err)
	}
	flags := genericclioptions.NewConfigFlags(true)
	kubeconfig, ns := r.cluster.Kubeconfig(), namespace
	flags.KubeConfig, flags.Namespace = &kubeconfig, &ns
	cfg := action.NewConfiguration(action.ConfigurationSetLogger(slog.DiscardHandler))
	if err := cfg.Init(flags, namespace, "secret"); err != nil {
		r.Fatal(err)
	}
	upgrade := action.NewUpgrade(cfg)
	upgrade.Namespace, upgrade.WaitStrategy, upgrade.Timeout = namespace, kube.HookOnlyStrategy, waitTimeout
	if _, err := upgrade.RunWithContext(r.Context(), release, chart, values); err != nil {
		r.Fatalf("upgrade as helm does: %v", err)
	}
}

// loadForeign gives the node an image of test/foreignhandler.
func (r *fixture) loadForeign() {
	r.Helper()
	dir := r.TempDir()
	program := filepath.Join(dir, "foreignhandler")
	build := exec.CommandContext(r.Context(), "go", "build", "-o", program, "./test/foreignhandler")
	build.Dir, build.Env = r.repo, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		r.Fatalf("build the foreign handler: %v: %s", err, out)
	}
	archive := filepath.Join(dir, "image.tar")
	err := images.WriteProgram(archive, "example.org/foreignhandler:1", program)
	if err == nil {
		err = r.cluster.LoadImages(r.Context(), archive)
	}
	if err != nil {
		r.Fatal(err)
	}
}

func objectMeta(namespace, name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: namespace, Name: name}
}

// configuration makes one with two simulated devices.
func configuration(namespace, name string, broker *v0.BrokerSpec) *v0.Configuration {
	return &v0.Configuration{ObjectMeta: objectMeta(namespace, name), Spec: v0.ConfigurationSpec{
		DiscoveryHandler: v0.DiscoveryHandlerInfo{Name: "debugEcho", DiscoveryDetails: "descriptions: [one, two]"},
		Capacity:         1, BrokerSpec: broker,
	}}
}

// brokerSpec runs the sample broker.
func brokerSpec(t *testing.T) *v0.BrokerSpec {
	t.Helper()
	version, err := charts.Version()
	if err != nil {
		t.Fatal(err)
	}
	one := corev1.ResourceList{v0.Placeholder: resource.MustParse("1")}
	spec, err := json.Marshal(corev1.PodSpec{Containers: []corev1.Container{{
		Name: "broker", Image: "ghcr.io/akri-go/akri/show-broker:v" + version, ImagePullPolicy: corev1.PullNever,
		Resources: corev1.ResourceRequirements{Requests: one, Limits: one},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	return &v0.BrokerSpec{BrokerPodSpec: &runtime.RawExtension{Raw: spec}}
}
