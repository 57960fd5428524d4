//go:build integration

package snapshot

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/explain"
)

// soon is the age of what has had its time to settle.
const soon = 5 * time.Minute

func of(kind explain.Kind, namespace, name string) explain.Subject {
	return explain.Subject{Kind: kind, Namespace: namespace, Name: name}
}

// The API server's own words, which the controller passes on.
func testQuota(f *fixture, _ *testing.T) {
	ns := f.namespace("quota")
	f.create(&corev1.ResourceQuota{ObjectMeta: metaOf(ns, "none"), Spec: corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{"pods": resource.MustParse("0")}}})
	// Nobody computes the quota's status here.
	q := &corev1.ResourceQuota{}
	if err := f.api.Get(f.t.Context(), client.ObjectKey{Namespace: ns, Name: "none"}, q); err != nil {
		f.t.Fatal(err)
	}
	q.Status = corev1.ResourceQuotaStatus{Hard: q.Spec.Hard, Used: corev1.ResourceList{"pods": resource.MustParse("0")}}
	if err := f.api.Status().Update(f.t.Context(), q); err != nil {
		f.t.Fatal(err)
	}
	c := f.configuration(ns, "few", v0.DiscoveryActive, "asked x", true)
	f.instance(c, "few-000001", "")
	f.explain(of(explain.Configuration, ns, "few"), 0, explain.QuotaExceeded, "exceeded quota: none", "kubectl -n quota describe resourcequota")
	f.explain(of(explain.Device, ns, "few-000001"), soon, explain.BrokerMissing, "The cause is Configuration quota/few: its broker exceeds a quota")
}

func testPodSecurity(f *fixture, _ *testing.T) {
	ns := f.namespace("guarded", "pod-security.kubernetes.io/enforce", "restricted")
	c := f.configuration(ns, "plain", v0.DiscoveryActive, "asked x", true)
	f.instance(c, "plain-000001", "")
	f.explain(of(explain.Configuration, ns, "plain"), 0, explain.PodSecurityForbids, "violates PodSecurity")
}

func testNothingFound(f *fixture, _ *testing.T) {
	c := f.configuration(f.namespace("nothing"), "nothing", v0.DiscoveryActive, "asked x", false)
	f.create(&eventsv1.Event{ObjectMeta: metaOf(c.Namespace, "lost"), EventTime: metav1.NowMicro(), Reason: "DeviceLost", Type: "Normal", Action: "Discover",
		ReportingController: "akri.sh/agent", ReportingInstance: "n1", Note: `device "/devices/usb7" left node n1`,
		Regarding: corev1.ObjectReference{APIVersion: "akri.sh/v0", Kind: "Configuration", Namespace: c.Namespace, Name: c.Name}})
	f.explain(of(explain.Configuration, "", "nothing"), 0, explain.NothingFound, "Active, and finds 0 devices", "Event DeviceLost", "left node n1")
	f.explain(of(explain.Device, "", "/dev/video7"), 0, explain.DeviceNotFound, "--rule-help /dev/video7")
	f.create(f.pod("nothing", "waits", "", "nothing"))
	f.explain(of(explain.Pod, "", "waits"), soon, explain.DeviceNotFound, "The cause is Configuration nothing/nothing")
}

func testNoHandler(f *fixture, _ *testing.T) {
	c := f.configuration(f.namespace("handler"), "unheard", v0.DiscoveryWaiting, `no discovery handler "udev" is registered on this node: does its Pod run here?`, false)
	f.explain(of(explain.Configuration, c.Namespace, c.Name), 0, explain.HandlerNotInstalled, "--set udev.discovery.enabled=true")
}

func testOneName(f *fixture, _ *testing.T) {
	f.configuration(f.namespace("one"), "twin", v0.DiscoveryActive, "asked x", false)
	// The younger one: times of creation have seconds.
	ns := f.namespace("two")
	f.eventually("a younger Configuration", func() error {
		c := &v0.Configuration{ObjectMeta: metaOf(ns, "twin")}
		c.Spec.DiscoveryHandler.Name = "udev"
		c.Spec.DiscoveryHandler.DiscoveryDetails = "udevRules: ['KERNEL==\"x\"']"
		var first v0.Configuration
		err := errors.Join(f.api.Get(f.t.Context(), client.ObjectKey{Namespace: "one", Name: "twin"}, &first), f.api.Create(f.t.Context(), c))
		if err == nil && !first.CreationTimestamp.Before(&c.CreationTimestamp) {
			err = errors.Join(errors.New("equally old"), f.api.Delete(f.t.Context(), c))
		}
		return err
	})
	f.explain(of(explain.Configuration, "two", "twin"), 0, explain.NameTaken, "the older Configuration one/twin")
}

func testSlots(f *fixture, _ *testing.T) {
	c := f.configuration(f.namespace("slots"), "slots", v0.DiscoveryActive, "asked x", false)
	f.instance(c, "slots-000001", "C:slots-000001-0:n1")
	f.create(f.pod("slots", "holder", "n1", "slots"), f.pod("slots", "waiter", "", "slots"), f.pod("slots", "misspelt", "", "solts"))
	f.explain(of(explain.Pod, "", "waiter"), soon, explain.SlotsHeld, "slot slots-000001-0 is held on node n1 by Pod slots/holder", "Insufficient akri.sh/slots")
	f.explain(of(explain.Pod, "", "misspelt"), soon, explain.NoSuchResource)
	f.explain(of(explain.Device, "", "slots-000001"), soon, explain.SlotsHeld)
}

// What kubelets write into the status of Pods.
func testContainers(f *fixture, _ *testing.T) {
	c := f.configuration(f.namespace("containers"), "image", v0.DiscoveryActive, "asked x", true)
	f.instance(c, "image-000001", "")
	var broker corev1.Pod
	f.eventually("the broker", func() error {
		return f.api.Get(f.t.Context(), client.ObjectKey{Namespace: c.Namespace, Name: "image-000001-pod"}, &broker)
	})
	if err := f.api.SubResource("binding").Create(f.t.Context(), &broker, &corev1.Binding{Target: corev1.ObjectReference{Kind: "Node", Name: "n1"}}); err != nil {
		f.t.Fatal(err)
	}
	f.eventually("status of the broker", func() error {
		err := f.api.Get(f.t.Context(), client.ObjectKeyFromObject(&broker), &broker)
		broker.Status.Phase = corev1.PodPending
		broker.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "main", State: corev1.ContainerState{
			Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff", Message: "Back-off pulling image"}}}}
		return errors.Join(err, f.api.Status().Update(f.t.Context(), &broker))
	})
	f.explain(of(explain.Device, "", "image-000001"), soon, explain.ImagePull, "example.org/none:1")

	gone := f.pod("containers", "gone", "n1", "image")
	gone.Status = corev1.PodStatus{Phase: corev1.PodFailed, Reason: "UnexpectedAdmissionError",
		Message: "Allocate failed due to rpc error: device node /dev/video1 is not there: it was unplugged, or the agent does not see the node's folder (--host-root)"}
	f.create(gone)
	f.explain(of(explain.Pod, "", "gone"), 0, explain.DevicePathIsMissing)
}

func testNodeLost(f *fixture, t *testing.T) {
	ctx := context.WithoutCancel(t.Context())
	set := func(status corev1.ConditionStatus) {
		f.setNode(ctx, func(n *corev1.Node) {
			n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: status, Message: "Kubelet stopped posting node status."}}
		})
	}
	c := f.configuration(f.namespace("lost"), "lost", v0.DiscoveryActive, "asked x", false)
	f.instance(c, "lost-000001", "n1")
	set(corev1.ConditionUnknown)
	t.Cleanup(func() { set(corev1.ConditionTrue) })
	f.explain(of(explain.Device, "", "lost-000001"), 0, explain.NodeNotReady, "The cause is Node n1: it is not ready", "Kubelet stopped posting")
}

// All Leases are as old as this test: it looks from the future.
func testAgentSilent(f *fixture, t *testing.T) {
	cluster, err := Read(t.Context(), f.api, func() time.Time { return f.now().Add(2 * time.Minute) }, Options{})
	if err != nil {
		t.Fatal(err)
	}
	a, err := explain.Of(cluster, of(explain.Node, "", "n2"))
	if err != nil || len(a.Findings) == 0 || a.Findings[0].Cause != explain.AgentSilent || a.Findings[0].Evidence[0].From != "Lease akri/akri-agent-n2" {
		t.Errorf("%v: %+v", err, a)
	}
}

// A user who may read little gets what follows from that, and is told what is
// missing.
func testFewRights(f *fixture, t *testing.T) {
	ns := f.namespace("mine")
	c := f.configuration(ns, "mine", v0.DiscoveryActive, "asked x", false)
	f.instance(c, "mine-000001", "n1")
	f.create(
		&rbacv1.Role{ObjectMeta: metaOf(ns, "jane"), Rules: []rbacv1.PolicyRule{
			{APIGroups: []string{"akri.sh"}, Resources: []string{"configurations", "instances"}, Verbs: []string{"list"}},
			{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"list"}}}},
		&rbacv1.RoleBinding{ObjectMeta: metaOf(ns, "jane"), RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "jane"},
			Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: "jane"}}})
	api, now, err := Client(f.server.ConfigFor("jane"))
	if err != nil {
		t.Fatal(err)
	}
	f.eventually("jane's snapshot", func() error {
		cluster, err := Read(t.Context(), api, now, Options{Namespace: ns})
		if err != nil {
			return err
		}
		if len(cluster.Configurations) != 1 || len(cluster.Instances) != 1 || len(cluster.Nodes) > 0 {
			return fmt.Errorf("%d Configurations, %d Instances, %d nodes; unseen: %v", len(cluster.Configurations), len(cluster.Instances), len(cluster.Nodes), cluster.Unseen)
		}
		why := map[string]string{}
		for _, u := range cluster.Unseen {
			why[u.What] = u.Why
		}
		want := `User "jane" cannot list resource "nodes" in API group "" at the cluster scope`
		if why[explain.ReadNodes] != want || why[explain.ReadWebhook] == "" || why[explain.ReadEvents] == "" {
			return fmt.Errorf("unseen: %v", why)
		}
		want = `only those in namespace mine: User "jane" cannot list resource "instances" in API group "akri.sh" at the cluster scope`
		if why[explain.ReadInstances] != want {
			return fmt.Errorf("unseen: %v", why)
		}
		for _, x := range explain.All(cluster, "").Findings {
			t.Errorf("this is a guess: %+v", x)
		}
		return nil
	})
	_, err = Read(t.Context(), f.nobody(t), now, Options{})
	if err == nil {
		t.Error("somebody unknown reads the cluster")
	}
}

// nobody is a client whose token is not valid.
func (f *fixture) nobody(t *testing.T) client.Client {
	t.Helper()
	cfg := *f.server.Config
	cfg.CertData, cfg.KeyData, cfg.CertFile, cfg.KeyFile = nil, nil, "", ""
	cfg.BearerToken = "x"
	mapper := f.api.RESTMapper()
	api, err := client.New(&cfg, client.Options{Scheme: f.api.Scheme(), Mapper: mapper})
	if err != nil {
		t.Fatal(err)
	}
	return api
}

// Long lists are read in pages, up to a limit.
func testPages(f *fixture, t *testing.T) {
	ns := f.namespace("pages")
	for i := range 7 {
		f.create(&coordinationv1.Lease{ObjectMeta: metaOf(ns, fmt.Sprint("lease-", i), "pages", "yes")})
	}
	for _, tt := range []struct{ page, most, want int }{{2, 100, 7}, {7, 100, 7}, {2, 3, 4}, {3, 1, 3}} {
		r := &reader{api: f.api, pageSize: tt.page, most: tt.most}
		seen := map[string]bool{}
		err := r.read(t.Context(), Source{
			What: explain.ReadLeases, List: func() client.ObjectList { return &coordinationv1.LeaseList{} },
			Options: []client.ListOption{client.MatchingLabels{"pages": "yes"}},
			Keep:    func(o client.Object) client.Object { return o },
			Add:     func(_ *explain.Cluster, o client.Object) { seen[o.GetName()] = true },
		})
		if err != nil || len(seen) != tt.want || (len(r.out.Unseen) > 0) != (tt.want < 7) {
			t.Errorf("pages of %d, at most %d: %d, %v, unseen %v", tt.page, tt.most, len(seen), err, r.out.Unseen)
		}
	}
}

// A cluster without the CRDs has none of their objects.
func testNotInstalled(f *fixture, t *testing.T) {
	api, now, err := Client(f.server.Config)
	if err != nil {
		t.Fatal(err)
	}
	cluster, err := Read(t.Context(), api, now, Options{})
	if err != nil {
		t.Fatal(err)
	}
	a := explain.All(cluster, "")
	if len(a.Findings) != 1 || a.Findings[0].Cause != explain.NotInstalled || len(a.Unseen) > 0 {
		t.Errorf("%+v", a)
	}
}
