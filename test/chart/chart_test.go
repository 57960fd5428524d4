//go:build e2e

// Package chart takes the Helm chart through its life on its own real cluster:
// installed over an older Akri, upgraded, uninstalled under good and bad
// conditions, installed again.
package chart

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/charts"
	"github.com/akri-go/akri/internal/charthook"
	"github.com/akri-go/akri/internal/devcluster"
	"github.com/akri-go/akri/internal/eventually"
	"github.com/akri-go/akri/internal/helm"
)

const (
	release   = "akri"
	namespace = "akri-system"
	// waitTimeout is how long a test waits for a condition. An uninstall waits for
	// its hook too, which has a limit of its own.
	waitTimeout = eventually.Patience
	hookTimeout = 2 * waitTimeout
)

// TestLife is one story; each part depends on the one before it.
func TestLife(t *testing.T) {
	c := start(t)
	for _, part := range []struct {
		name string
		run  func(*testing.T, *fixture)
	}{
		{"install over the CRDs of an older Akri", installOverOld},
		{"upgrade, with the old CRDs put back", upgrade},
		{"upgrade by helm of what was not installed by helm", upgradeByHelm},
		{"uninstall takes all but the CRDs", uninstall},
		{"reinstall, and uninstall without agents and controller", withoutAgents},
		{"uninstall without a node to run on ends, and --no-hooks removes the rest", withoutNodes},
	} {
		if !t.Run(part.name, func(t *testing.T) { part.run(t, c.with(t)) }) {
			return
		}
	}
}

func installOverOld(t *testing.T, r *fixture) {
	r.writeOldCRDs()
	r.create(configuration("default", "kept", nil))
	before := r.uids(&v0.ConfigurationList{})

	// Helm 4 would apply the CRDs itself, and fail because of another owner's.
	r.install("--skip-crds", "debugEcho.discovery.enabled=true", "agent.allowDebugEcho=true")
	r.crdsAreCurrent()
	if after := r.uids(&v0.ConfigurationList{}); !slices.Equal(before, after) {
		t.Errorf("Configurations were %v, are %v", before, after)
	}
	r.instances("kept", 2)
	// What the old CRD could not keep.
	r.eventually("the status of the Configuration", func(ctx context.Context) error {
		var c v0.Configuration
		if err := r.Get(ctx, client.ObjectKey{Namespace: "default", Name: "kept"}, &c); err != nil {
			return err
		}
		if len(c.Status.Nodes) != 1 {
			return fmt.Errorf("%d nodes in it", len(c.Status.Nodes))
		}
		return nil
	})
	r.noHooks()
}

func upgrade(t *testing.T, r *fixture) {
	r.writeOldCRDs()
	before := slices.Concat(r.uids(&v0.ConfigurationList{}), r.uids(&v0.InstanceList{}))
	// Beside ours a handler that knows nothing of us, in an image without a
	// user, as upstream's are.
	r.loadForeign()
	foreign := configuration("default", "foreign", nil)
	foreign.Spec.DiscoveryHandler = v0.DiscoveryHandlerInfo{Name: "foreign", DiscoveryDetails: "anything"}
	r.create(foreign)
	r.installedByOldAkriDev()
	r.install("debugEcho.discovery.enabled=true", "agent.allowDebugEcho=true", "udev.discovery.enabled=true",
		"controller.replicas=1", "controller.podDisruptionBudget.enabled=true", "agent.tolerations[0].operator=Exists",
		"custom.discovery.enabled=true", "custom.discovery.image.repository=example.org/foreignhandler", "custom.discovery.image.tag=1",
		"custom.discovery.args={-name=foreign,-devices=one}")
	r.instances("foreign", 1)
	r.crdsAreCurrent()
	after := slices.Concat(r.uids(&v0.ConfigurationList{}), r.uids(&v0.InstanceList{}))
	for _, uid := range before {
		if !slices.Contains(after, uid) {
			t.Errorf("Configurations and Instances were %v, are %v", before, after)
		}
	}
	r.noHooks()
	var pods corev1.PodList
	r.list(&pods, client.InNamespace(namespace))
	running := map[string]int{}
	for _, p := range pods.Items {
		if p.DeletionTimestamp == nil {
			running[p.Labels["app.kubernetes.io/name"]]++
		}
	}
	want := map[string]int{"akri-agent": 1, "akri-controller": 1, "akri-udev-discovery": 1, "akri-debug-echo-discovery": 1, "akri-custom-discovery": 1}
	if fmt.Sprint(running) != fmt.Sprint(want) {
		t.Errorf("Pods %v, want %v", running, want)
	}
}

// The command helm can upgrade, without options, what `akri dev up --chart` and
// the demo have installed, in this version or an earlier one.
func upgradeByHelm(t *testing.T, r *fixture) {
	r.helmUpgrade(patientHook(), "debugEcho.discovery.enabled=true", "agent.allowDebugEcho=true",
		"controller.replicas=2", "agent.resources.memoryLimit=129Mi", "debugEcho.discovery.resources.memoryLimit=65Mi",
		"udev.discovery.enabled=true", "udev.discovery.resources.memoryLimit=65Mi")
	for _, list := range append(kinds(), workloads()...) {
		for _, o := range r.ours(list) {
			for _, f := range o.GetManagedFields() {
				if f.Operation == metav1.ManagedFieldsOperationApply && f.Subresource == "" && strings.Contains(f.FieldsV1.GetRawString(), "helm.sh/chart") && f.Manager != "helm" {
					t.Errorf("%T %s has the manager %s", o, o.GetName(), f.Manager)
				}
			}
		}
	}
}

func uninstall(t *testing.T, r *fixture) {
	r.create(&corev1.Namespace{ObjectMeta: objectMeta("", "shop")})
	r.create(configuration("shop", "served", brokerSpec(t)))
	r.instances("served", 2)
	r.eventually("brokers run", func(ctx context.Context) error {
		var pods corev1.PodList
		if err := r.List(ctx, &pods, client.HasLabels{v0.LabelConfiguration}); err != nil {
			return err
		}
		running := 0
		for _, p := range pods.Items {
			if p.Status.Phase == corev1.PodRunning {
				running++
			}
		}
		if running != 2 {
			return fmt.Errorf("%d brokers run of %d, want 2", running, len(pods.Items))
		}
		return nil
	})

	if err := r.uninstall(false); err != nil {
		t.Fatal(err)
	}
	// The hook has waited for these.
	if left := slices.Concat(r.uids(&v0.ConfigurationList{}), r.uids(&v0.InstanceList{})); len(left) != 0 {
		t.Errorf("Configurations and Instances %v are left", left)
	}
	r.nothingLeft()
	r.crdsAreCurrent()
}

func withoutAgents(t *testing.T, r *fixture) {
	r.create(configuration("default", "again", nil))
	// Our own handler as if it were somebody's: an image with a user of its own.
	version, err := charts.Version()
	if err != nil {
		t.Fatal(err)
	}
	r.install("custom.discovery.enabled=true", "custom.discovery.image.repository=ghcr.io/akri-go/akri/discovery",
		"custom.discovery.image.tag=v"+version, "custom.discovery.args={debugEcho}")
	r.instances("again", 2)
	for _, list := range workloads() {
		for _, o := range r.ours(list) {
			if err := r.Delete(t.Context(), o, client.PropagationPolicy("Foreground")); err != nil {
				t.Fatal(err)
			}
		}
	}
	r.eventually("no component runs", func(ctx context.Context) error {
		var pods corev1.PodList
		if err := r.List(ctx, &pods, client.InNamespace(namespace)); err != nil || len(pods.Items) == 0 {
			return err
		}
		return fmt.Errorf("%d Pods do", len(pods.Items))
	})
	if err := r.uninstall(false); err != nil {
		t.Fatal(err)
	}
	if left := slices.Concat(r.uids(&v0.ConfigurationList{}), r.uids(&v0.InstanceList{})); len(left) != 0 {
		t.Errorf("Configurations and Instances %v are left", left)
	}
	r.nothingLeft()
}

func withoutNodes(t *testing.T, r *fixture) {
	r.create(configuration("default", "lonely", nil))
	r.install("debugEcho.discovery.enabled=true", "agent.allowDebugEcho=true", "cleanupHook.timeoutSeconds=10")
	r.instances("lonely", 2)
	r.cordon(true)
	err := r.uninstall(false)
	if err == nil || !strings.Contains(err.Error(), "akri-cleanup") {
		t.Fatalf("error %v, want one that names the Job", err)
	}
	if err := r.uninstall(true); err != nil {
		t.Fatal(err)
	}
	// Helm may return before all is gone. The Job that failed and its Pod stay.
	r.eventually("workloads and rights are gone", func(context.Context) error {
		var left []string
		for _, list := range workloads() {
			for _, o := range r.ours(list) {
				left = append(left, fmt.Sprintf("%T %s", o, o.GetName()))
			}
		}
		for _, list := range kinds() {
			for _, o := range r.ours(list) {
				if o.GetNamespace() == "" || o.GetName() == "akri-helm-cleanup-hook-sa" {
					left = append(left, fmt.Sprintf("%T %s", o, o.GetName()))
				}
			}
		}
		return stillThere(left)
	})
	r.cordon(false)
	if left := r.uids(&v0.ConfigurationList{}); len(left) != 1 {
		t.Errorf("%d Configurations are left, want the one that no hook has deleted", len(left))
	}
	var c v0.Configuration
	c.Namespace, c.Name = "default", "lonely"
	if err := r.Delete(t.Context(), &c); err != nil {
		t.Fatal(err)
	}
	r.eventually("the Instances go with their Configuration, agents or not", func(ctx context.Context) error {
		var l v0.InstanceList
		if err := r.List(ctx, &l); err != nil || len(l.Items) == 0 {
			return err
		}
		return fmt.Errorf("%d are left", len(l.Items))
	})
	// The next install begins with what the failed hook has left.
	r.install("debugEcho.discovery.enabled=true")
	if err := r.uninstall(false); err != nil {
		t.Fatal(err)
	}
	r.nothingLeft()
}

// start brings up a cluster that has the images and nothing else.
func start(t *testing.T) *fixture {
	t.Helper()
	repo, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "cluster")
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*waitTimeout)
		defer cancel()
		if err := devcluster.Down(ctx, dir, os.Stderr); err != nil {
			t.Errorf("take the cluster down: %v", err)
		}
	})
	cluster, err := devcluster.Up(t.Context(), devcluster.Options{Dir: dir, Nodes: 1, Progress: os.Stderr, Repo: repo, Install: true})
	if err != nil {
		t.Fatal(err)
	}
	var archives []string
	for _, image := range []string{"agent", "controller", "discovery", "show-broker"} {
		archives = append(archives, filepath.Join(repo, "out", "images", image+"-"+runtime.GOARCH+".tar"))
	}
	if err := cluster.LoadImages(t.Context(), archives...); err != nil {
		t.Fatal(err)
	}
	api, err := newClient(cluster)
	if err != nil {
		t.Fatal(err)
	}
	return &fixture{T: t, WithWatch: api, cluster: cluster, repo: repo}
}

// install installs the chart or upgrades to it. A first "--skip-crds" is as
// helm's; the others are as --set.
func (r *fixture) install(set ...string) {
	r.Helper()
	skip := set[0] == "--skip-crds"
	if skip {
		set = set[1:]
	}
	values, err := helm.ParseValues(slices.Concat([]string{patientHook()}, set))
	if err != nil {
		r.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(r.Context(), 2*waitTimeout)
	defer cancel()
	err = r.cluster.InstallChart(ctx, helm.InstallOptions{ChartDir: filepath.Join(r.repo, "charts", "akri"),
		Release: release, Namespace: namespace, Values: values, SkipCRDs: skip, Wait: waitTimeout})
	if err != nil {
		r.Fatal(err)
	}
}

// patientHook is the value with which the clean-up before an uninstall has time on
// a busy machine: it leaves what is not gone in half of that.
func patientHook() string {
	return fmt.Sprintf("cleanupHook.timeoutSeconds=%.0f", hookTimeout.Seconds())
}

func (r *fixture) uninstall(noHooks bool) error {
	ctx, cancel := context.WithTimeout(r.Context(), hookTimeout+waitTimeout)
	defer cancel()
	return r.cluster.Uninstall(ctx, helm.UninstallOptions{Release: release, Namespace: namespace, NoHooks: noHooks})
}

// crdsAreCurrent fails unless the CRDs are those of this version.
func (r *fixture) crdsAreCurrent() {
	r.Helper()
	version, err := charts.Version()
	if err != nil {
		r.Fatal(err)
	}
	for _, name := range []string{"configurations.akri.sh", "instances.akri.sh"} {
		crd := r.crd(name)
		if got := crd.Annotations[charthook.VersionAnnotation]; got != version {
			r.Errorf("%s is of version %q, want %q", name, got, version)
		}
		if crd.Spec.Versions[0].Subresources == nil || crd.Spec.Versions[0].Subresources.Status == nil {
			r.Errorf("%s has no status subresource", name)
		}
	}
}

func (r *fixture) instances(configuration string, want int) {
	r.Helper()
	r.eventually(fmt.Sprintf("%d Instances of %s", want, configuration), func(ctx context.Context) error {
		var l v0.InstanceList
		if err := r.List(ctx, &l); err != nil {
			return err
		}
		n := 0
		for _, i := range l.Items {
			if i.Spec.ConfigurationName == configuration {
				n++
			}
		}
		if n != want {
			return fmt.Errorf("there are %d", n)
		}
		return nil
	})
}

func (r *fixture) cordon(on bool) {
	r.Helper()
	node := &corev1.Node{ObjectMeta: objectMeta("", devcluster.NodeName(1))}
	patch := fmt.Appendf(nil, `{"spec":{"unschedulable":%v}}`, on)
	if err := r.Patch(r.Context(), node, client.RawPatch(types.MergePatchType, patch)); err != nil {
		r.Fatal(err)
	}
}

// nothingLeft waits until no object of the release and nothing that its
// controller has made is left.
func (r *fixture) nothingLeft() {
	r.Helper()
	r.eventually("nothing is left", func(ctx context.Context) error {
		var left []string
		for _, list := range append(kinds(), workloads()...) {
			for _, o := range r.ours(list) {
				left = append(left, fmt.Sprintf("%T %s", o, o.GetName()))
			}
		}
		var pods corev1.PodList
		var services corev1.ServiceList
		if err := errors.Join(r.List(ctx, &pods, client.HasLabels{v0.LabelConfiguration}),
			r.List(ctx, &services, client.HasLabels{v0.LabelConfiguration})); err != nil {
			return err
		}
		for _, p := range pods.Items {
			left = append(left, "broker "+p.Name)
		}
		for _, s := range services.Items {
			left = append(left, "Service "+s.Name)
		}
		// A Lease that outlives its holder keeps the next install waiting.
		var leases coordinationv1.LeaseList
		if err := r.List(ctx, &leases, client.InNamespace(namespace)); err != nil {
			return err
		}
		for _, l := range leases.Items {
			left = append(left, "Lease "+l.Name)
		}
		return stillThere(left)
	})
}

// stillThere complains of objects.
func stillThere(objects []string) error {
	if len(objects) > 0 {
		return fmt.Errorf("still there: %s", strings.Join(objects, ", "))
	}
	return nil
}

// noHooks fails if an object of a hook that has done its work is left.
func (r *fixture) noHooks() {
	r.Helper()
	for _, list := range append(kinds(), workloads()...) {
		for _, o := range r.ours(list) {
			if o.GetLabels()["app.kubernetes.io/component"] == "hook" {
				r.Errorf("%T %s of a hook is left", o, o.GetName())
			}
		}
	}
}

// create makes an object, again if its kind is known only in a moment.
func (r *fixture) create(o client.Object) {
	r.Helper()
	r.eventually("create "+o.GetName(), func(ctx context.Context) error {
		if err := r.Create(ctx, o); err != nil && !apierrors.IsAlreadyExists(err) {
			return err
		}
		return nil
	})
}
