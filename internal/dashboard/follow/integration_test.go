//go:build integration

package follow

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/dashboard/dashboardtest"
	"github.com/akri-go/akri/internal/devcluster/kubetest"
	"github.com/akri-go/akri/internal/devcluster/kubetest/chartuser"
	"github.com/akri-go/akri/internal/eventually"
	"github.com/akri-go/akri/internal/explain"
	"github.com/akri-go/akri/internal/explain/snapshot"
)

const waitTimeout = eventually.Patience

func start(t *testing.T, cfg *rest.Config, namespace string) *Follower {
	t.Helper()
	api, now, err := snapshot.Client(cfg)
	if err != nil {
		t.Fatal(err)
	}
	f, err := New(api, now, namespace, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); f.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return f
}

// With the chart's rights, what is followed becomes what would be read, whatever
// happens; while the API server is away it stays, and so does the time.
func TestFollow(t *testing.T) {
	server := kubetest.Start(t, kubetest.WithCRDs(""))
	t.Run("not installed", func(t *testing.T) { notInstalled(t, server) })
	if err := server.InstallCRDs(t.Context(), "../../../charts/akri/crds"); err != nil {
		t.Fatal(err)
	}
	t.Run("no rights", func(t *testing.T) { noRights(t, server) })
	err := chartuser.Install(t.Context(), server.Config, "agent.enabled=false", "controller.enabled=false", "dashboard.enabled=true")
	if err != nil {
		t.Fatal(err)
	}
	api, now, err := snapshot.Client(server.Config)
	if err != nil {
		t.Fatal(err)
	}
	f := start(t, chartuser.Dashboard(server.Config), "")
	agrees := func(what string) {
		t.Helper()
		eventually.Succeeds(t, waitTimeout, func(ctx context.Context) error {
			if err := f.Ready(); err != nil {
				return err
			}
			want, err := snapshot.Read(ctx, api, now, snapshot.Options{})
			if err != nil {
				return err
			}
			seen := f.Seen()
			if seen.AwayWhy != "" || len(seen.Unseen) > 0 {
				return fmt.Errorf("away: %s; unseen: %v", seen.AwayWhy, seen.Unseen)
			}
			sortPods(want.Pods)
			sortPods(seen.Pods)
			if d := gocmp.Diff(want, seen.Cluster, cmpopts.EquateEmpty(), cmpopts.IgnoreFields(explain.Cluster{}, "Now"),
				cmpopts.IgnoreTypes(metav1.TypeMeta{})); d != "" {
				return errors.New(d)
			}
			return nil
		})
		if t.Failed() {
			t.Fatal(what)
		}
	}
	agrees("an empty cluster")
	lab := dashboardtest.New(t, api, "n1", "n2")
	cams := lab.Configuration("cam", "udev", 1, map[string]int32{"n1": 2})
	one, two := lab.Device(cams, 1, "/dev/video1", "n1"), lab.Device(cams, 2, "/dev/video2", "n1")
	broker := lab.Broker(one, "n1")
	lab.Event(cams, "DeviceFound", "device /dev/video1 came")
	stranger := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: dashboardtest.Namespace, Name: "stranger"},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "x"}}}}
	if err := api.Create(t.Context(), stranger); err != nil {
		t.Fatal(err)
	}
	agrees("devices have come")
	t.Run("one namespace", func(t *testing.T) { oneNamespace(t, server, api) })
	for _, pod := range f.Seen().Pods {
		if pod.Name == "stranger" || len(pod.Spec.Containers[0].Env) > 0 {
			t.Errorf("it keeps %+v", pod)
		}
	}
	lab.Fails(dashboardtest.Namespace, broker)
	lab.Unplug(two)
	agrees("a broker fails, a device is unplugged")
	lab.Delete(two)
	agrees("an Instance is deleted")

	before := f.Seen()
	server.Stop()
	eventually.Succeeds(t, waitTimeout, func(context.Context) error {
		if f.Seen().AwayWhy == "" {
			return errors.New("it does not notice that the API server is away")
		}
		return nil
	})
	away := f.Seen()
	if d := gocmp.Diff(before.Instances, away.Instances); d != "" {
		t.Errorf("while the API server is away: %s", d)
	}
	if again := f.Seen(); !again.Now.Equal(away.AwaySince) || !again.Now.Equal(away.Now) {
		t.Errorf("time goes on: %v, %v since %v", away.Now, again.Now, away.AwaySince)
	}
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	lab.Delete(one)
	agrees("the API server is back")
}

func sortPods(pods []corev1.Pod) {
	slices.SortFunc(pods, func(a, b corev1.Pod) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
}

// A cluster without the CRDs is followed too.
func notInstalled(t *testing.T, server *kubetest.Server) {
	f := start(t, server.Config, "")
	eventually.Succeeds(t, waitTimeout, func(context.Context) error {
		seen := f.Seen()
		if err := f.Ready(); err != nil || len(seen.Unseen) > 0 || seen.AwayWhy != "" {
			return fmt.Errorf("%w, away %q, unseen %v", err, seen.AwayWhy, seen.Unseen)
		}
		return nil
	})
}

// Who may read nothing is told so.
func noRights(t *testing.T, server *kubetest.Server) {
	f := start(t, server.ConfigFor("jane"), "factory")
	eventually.Succeeds(t, waitTimeout, func(context.Context) error {
		seen := f.Seen()
		if err := f.Ready(); err != nil || len(seen.Unseen) < 10 || seen.AwayWhy != "" {
			return fmt.Errorf("%w, away %q, unseen %v", err, seen.AwayWhy, seen.Unseen)
		}
		return nil
	})
}

// Who may read one namespace alone sees that, as it changes, and is told what else
// is missing.
func oneNamespace(t *testing.T, server *kubetest.Server, api client.Client) {
	const user = "joe"
	meta := metav1.ObjectMeta{Namespace: dashboardtest.Namespace, Name: user}
	for _, o := range []client.Object{
		&rbacv1.Role{ObjectMeta: meta, Rules: []rbacv1.PolicyRule{{APIGroups: []string{"*"}, Resources: []string{"*"}, Verbs: []string{"list", "watch"}}}},
		&rbacv1.RoleBinding{ObjectMeta: meta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: user},
			Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}}},
	} {
		if err := api.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	f := start(t, server.ConfigFor(user), dashboardtest.Namespace)
	configurations := func(want int) {
		t.Helper()
		eventually.Succeeds(t, waitTimeout, func(context.Context) error {
			seen := f.Seen()
			if err := f.Ready(); err != nil || len(seen.Configurations) != want || len(seen.DaemonSets) > 0 || len(seen.Nodes) > 0 || !f.Reachable() {
				return fmt.Errorf("%w, %d Configurations, %d DaemonSets, %d Nodes", err, len(seen.Configurations), len(seen.DaemonSets), len(seen.Nodes))
			}
			return nil
		})
	}
	configurations(1)
	unseen := map[string]string{}
	for _, u := range f.Seen().Unseen {
		unseen[u.What] = u.Why
	}
	const all = `User "joe" cannot `
	if why := unseen[explain.ReadInstances]; !strings.HasPrefix(why, "only those in namespace factory: "+all) {
		t.Errorf("of Instances it says %q", why)
	}
	if why := unseen[explain.ReadNodes]; !strings.HasPrefix(why, all) {
		t.Errorf("of Nodes it says %q", why)
	}
	more := &v0.Configuration{ObjectMeta: metav1.ObjectMeta{Namespace: dashboardtest.Namespace, Name: "more"},
		Spec: v0.ConfigurationSpec{DiscoveryHandler: v0.DiscoveryHandlerInfo{Name: "udev"}}}
	if err := api.Create(t.Context(), more); err != nil {
		t.Fatal(err)
	}
	configurations(2)
	if err := api.Delete(t.Context(), more); err != nil {
		t.Fatal(err)
	}
	configurations(1)
	if n := f.Watches(explain.ReadConfigurations); n == 0 {
		t.Error("no watch is counted")
	}
}
