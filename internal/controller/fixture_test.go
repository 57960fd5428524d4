//go:build integration

package controller_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/controller"
	"github.com/akri-go/akri/internal/controller/view"
	"github.com/akri-go/akri/internal/devcluster/kubetest"
	"github.com/akri-go/akri/internal/eventually"
	"github.com/akri-go/akri/internal/testlog"
	"github.com/akri-go/akri/internal/workload"
)

// waitTimeout is how long a test waits for a condition; tests do not assert
// durations.
const waitTimeout = eventually.Patience

// fixture is a real API server with a controller under test. The tests play
// scheduler and kubelets: they bind Pods and write their status.
type fixture struct {
	server *kubetest.Server
	admin  client.Client
	cfg    *rest.Config // of the controller: it may do what its rules say
	log    *testlog.Buffer
}

// TestMain sets the libraries' logger; the controller under test has its own.
// The test program is also a controller that can be killed; see process.
func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	if kubeconfig := os.Getenv(processVariable); kubeconfig != "" {
		os.Exit(runProcess(kubeconfig))
	}
	os.Exit(shared.Run(m))
}

// enforcing is how the API servers of these tests differ from others.
var enforcing = kubetest.WithAPIServerArgs("--enable-admission-plugins=OwnerReferencesPermissionEnforcement")

// shared is the API server of those tests that take turns; see TestInTurn.
var shared = kubetest.Share(enforcing)

// rules are those of rbac.go.
func rules() []rbacv1.PolicyRule {
	rule := func(group, resource, verbs string) rbacv1.PolicyRule {
		return rbacv1.PolicyRule{APIGroups: []string{group}, Resources: []string{resource}, Verbs: strings.Fields(verbs)}
	}
	return []rbacv1.PolicyRule{
		rule("akri.sh", "configurations", "get list watch patch"),
		rule("akri.sh", "configurations/status", "get patch"),
		rule("akri.sh", "configurations/finalizers", "update"),
		rule("akri.sh", "instances", "get list watch patch delete"),
		rule("akri.sh", "instances/status", "get patch"),
		rule("akri.sh", "instances/finalizers", "update"),
		rule("", "pods", "get list watch create delete"),
		rule("", "pods/eviction", "create"),
		rule("", "services", "get list watch create patch delete"),
		rule("batch", "jobs", "get list watch create delete"),
		rule("", "nodes", "get list watch"),
		rule("", "nodes/status", "patch"),
		rule("events.k8s.io", "events", "create patch update"),
		rule("coordination.k8s.io", "leases", "get create update list delete"),
	}
}

// newFixture is one with a server of its own.
func newFixture(t *testing.T, opts ...kubetest.Option) *fixture {
	t.Helper()
	return fixtureOf(t, kubetest.Start(t, append(opts, enforcing)...))
}

func fixtureOf(t *testing.T, server *kubetest.Server) *fixture {
	t.Helper()
	c := &fixture{server: server, log: &testlog.Buffer{}}
	scheme, err := view.Scheme()
	if err != nil {
		t.Fatal(err)
	}
	if c.admin, err = client.New(c.server.Config, client.Options{Scheme: scheme}); err != nil {
		t.Fatal(err)
	}
	const user = "akri-controller"
	c.cfg = c.server.ConfigFor(user)
	for _, o := range []client.Object{
		&rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: user}, Rules: rules()},
		&rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: user},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: user},
			Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: user}},
		},
	} {
		if err := c.admin.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	c.awaitRights(t, scheme)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the controller's log:\n%s", c.log)
		}
	})
	return c
}

// awaitRights waits until the API server knows the controller's role, a moment
// after it was created.
func (c *fixture) awaitRights(t *testing.T, scheme *runtime.Scheme) {
	t.Helper()
	own, err := client.New(c.cfg, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	s := &space{fixture: c, t: t, waitTimeout: waitTimeout}
	s.eventually("rights of the controller", func() error {
		r := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
			ResourceAttributes: &authorizationv1.ResourceAttributes{Group: "akri.sh", Resource: "instances", Verb: "list"},
		}}
		if err := own.Create(t.Context(), r); err != nil {
			return err
		}
		if !r.Status.Allowed {
			return errors.New("it may not list Instances yet")
		}
		return nil
	})
}

// start runs the controller until the returned function is called.
func (c *fixture) start(t *testing.T, change ...func(*controller.Options)) (stop func()) {
	t.Helper()
	o := controller.Options{
		Config: c.cfg, MetricsAddress: "0", ProbeAddress: "0",
		Log: slog.New(slog.NewTextHandler(c.log, nil)),
	}
	for _, f := range change {
		f(&o)
	}
	ctx, cancel := context.WithCancel(context.Background())
	mgr, err := controller.New(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- mgr.Start(ctx) }()
	stopped := sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the controller ended: %v", err)
		}
	})
	t.Cleanup(stopped)
	return stopped
}

// nodes makes nodes that are ready.
func (c *fixture) nodes(t *testing.T, names ...string) {
	t.Helper()
	for _, n := range names {
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: n}}
		if err := c.admin.Create(t.Context(), node); err != nil {
			t.Fatal(err)
		}
		node.Spec.Taints = nil // the API server adds not-ready
		if err := c.admin.Update(t.Context(), node); err != nil {
			t.Fatal(err)
		}
		node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
		if err := c.admin.Status().Update(t.Context(), node); err != nil {
			t.Fatal(err)
		}
	}
}

// space is a namespace of one test.
type space struct {
	*fixture
	t           *testing.T
	ns          string
	waitTimeout time.Duration
}

func (c *fixture) space(t *testing.T, name string) *space {
	t.Helper()
	if err := c.admin.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}); err != nil {
		t.Fatal(err)
	}
	return &space{fixture: c, t: t, ns: name, waitTimeout: waitTimeout}
}

// configuration makes a Configuration from the YAML of its spec; debugEcho is
// its handler.
func (s *space) configuration(name, spec string) *v0.Configuration {
	s.t.Helper()
	conf := &v0.Configuration{ObjectMeta: metav1.ObjectMeta{Namespace: s.ns, Name: name}}
	s.spec(conf, spec)
	if err := s.admin.Create(s.t.Context(), conf); err != nil {
		s.t.Fatal(err)
	}
	return conf
}

func (s *space) spec(conf *v0.Configuration, spec string) {
	s.t.Helper()
	conf.Spec = v0.ConfigurationSpec{}
	if err := yaml.Unmarshal([]byte(spec), &conf.Spec); err != nil {
		s.t.Fatal(err)
	}
	conf.Spec.DiscoveryHandler.Name = "debugEcho"
}

// edit writes another spec.
func (s *space) edit(name, spec string) {
	s.t.Helper()
	update(s, name, &v0.Configuration{}, func(c *v0.Configuration) { s.spec(c, spec) })
}

// instance makes an Instance as an agent would.
func (s *space) instance(conf *v0.Configuration, name string, capacity int64, shared bool, nodes ...string) *v0.Instance {
	s.t.Helper()
	inst := &v0.Instance{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: s.ns, Name: name,
			OwnerReferences: []metav1.OwnerReference{workload.OwnerRef(conf)},
		},
		Spec: v0.InstanceSpec{
			ConfigurationName: conf.Name, CdiName: v0.CDIName(conf.Name, v0.HashOf(name)),
			Capacity: capacity, Shared: shared, Nodes: nodes,
		},
	}
	if err := s.admin.Create(s.t.Context(), inst); err != nil {
		s.t.Fatal(err)
	}
	return inst
}

func (s *space) get(name string, o client.Object) {
	s.t.Helper()
	if err := s.admin.Get(s.t.Context(), client.ObjectKey{Namespace: s.ns, Name: name}, o); err != nil {
		s.t.Fatal(err)
	}
}

// update changes the current version of an object, and retries on a conflict.
func update[T client.Object](s *space, name string, o T, change func(T)) {
	s.t.Helper()
	s.eventually("update of "+name, func() error {
		s.get(name, o)
		change(o)
		return s.admin.Update(s.t.Context(), o)
	})
}

// eventually waits until what returns nil.
func (s *space) eventually(what string, check func() error) {
	s.t.Helper()
	eventually.Succeeds(s.t, s.waitTimeout, func(context.Context) error {
		if err := check(); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		return nil
	})
}

// pod waits for a Pod of that name, other than the one with the UID given.
func (s *space) pod(name string, not ...corev1.Pod) corev1.Pod {
	s.t.Helper()
	var pod corev1.Pod
	s.eventually("Pod "+name, func() error {
		if err := s.admin.Get(s.t.Context(), client.ObjectKey{Namespace: s.ns, Name: name}, &pod); err != nil {
			return err
		}
		for _, p := range not {
			if p.UID == pod.UID {
				return fmt.Errorf("still the old one, phase %s", pod.Status.Phase)
			}
		}
		if pod.DeletionTimestamp != nil {
			return fmt.Errorf("it is being deleted")
		}
		return nil
	})
	return pod
}

// gone waits until an object does not exist, or another one has its name.
func (s *space) gone(o client.Object) {
	s.t.Helper()
	key, uid := client.ObjectKeyFromObject(o), o.GetUID()
	s.eventually("end of "+key.String(), func() error {
		err := s.admin.Get(s.t.Context(), key, o)
		switch {
		case apierrors.IsNotFound(err):
			return nil
		case err != nil:
			return err
		case uid != "" && o.GetUID() != uid:
			return nil
		}
		return fmt.Errorf("still there, deletion timestamp %v", o.GetDeletionTimestamp())
	})
}

// brokers waits until the Pods of the namespace with our label, except those
// being deleted, have these names.
func (s *space) brokers(names ...string) []corev1.Pod {
	s.t.Helper()
	list := &corev1.PodList{}
	s.eventually("brokers", func() error {
		if err := s.admin.List(s.t.Context(), list, client.InNamespace(s.ns), client.HasLabels{v0.LabelInstance}); err != nil {
			return err
		}
		var have []string
		for _, p := range list.Items {
			if p.DeletionTimestamp == nil {
				have = append(have, p.Name)
			}
		}
		if strings.Join(have, " ") != strings.Join(names, " ") {
			return fmt.Errorf("have %v, want %v", have, names)
		}
		return nil
	})
	return list.Items
}

// bind plays the scheduler.
func (s *space) bind(pod corev1.Pod, node string) {
	s.t.Helper()
	err := s.admin.SubResource("binding").Create(s.t.Context(), &pod, &corev1.Binding{
		ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Name},
		Target:     corev1.ObjectReference{Kind: "Node", Name: node},
	})
	if err != nil {
		s.t.Fatalf("bind: %v", err)
	}
}

// status plays the kubelet, or the scheduler that says why a Pod is
// unschedulable.
func (s *space) status(pod corev1.Pod, change func(*corev1.PodStatus)) {
	s.t.Helper()
	s.eventually("status of "+pod.Name, func() error {
		s.get(pod.Name, &pod)
		change(&pod.Status)
		return s.admin.Status().Update(s.t.Context(), &pod)
	})
}

// run lets a Pod be scheduled and run.
func (s *space) run(pod corev1.Pod, node string) {
	s.t.Helper()
	s.bind(pod, node)
	s.status(pod, func(st *corev1.PodStatus) {
		st.Phase = corev1.PodRunning
		now := metav1.Now()
		st.StartTime = &now
		st.Conditions = append(st.Conditions, corev1.PodCondition{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: now})
	})
}

// fail ends a Pod some time ago.
func (s *space) fail(pod corev1.Pod, ago time.Duration) {
	s.t.Helper()
	s.status(pod, func(st *corev1.PodStatus) {
		st.Phase = corev1.PodFailed
		st.ContainerStatuses = []corev1.ContainerStatus{{Name: "broker", Image: "i", ImageID: "i", State: corev1.ContainerState{
			Terminated: &corev1.ContainerStateTerminated{ExitCode: 3, FinishedAt: metav1.NewTime(time.Now().Add(-ago))},
		}}}
	})
}

// kill plays the kubelet that ends a Pod which is being deleted.
func (s *space) kill(pod corev1.Pod) {
	s.t.Helper()
	s.eventually("deletion of "+pod.Name, func() error {
		s.get(pod.Name, &pod)
		if pod.DeletionTimestamp == nil {
			return fmt.Errorf("not asked for")
		}
		return nil
	})
	zero := int64(0)
	if err := s.admin.Delete(s.t.Context(), &pod, &client.DeleteOptions{GracePeriodSeconds: &zero}); err != nil {
		s.t.Fatal(err)
	}
}

// podsSeen waits until the controller has seen the current Pods: all come in
// order through one watch, and it reports one that has failed.
func (s *space) podsSeen() {
	s.t.Helper()
	w := s.space(s.t, s.ns+"-witness")
	w.instance(w.configuration("witness", brokerSpec), "witness-000000", 1, false, "node-c")
	pod := w.pod("witness-000000-pod")
	w.run(pod, "node-c")
	w.fail(pod, time.Minute)
	w.event("witness-000000", "BrokerFailed")
}

// event waits for an Event with a reason about an object.
func (s *space) event(about, reason string) eventsv1.Event {
	s.t.Helper()
	var found eventsv1.Event
	s.eventually("Event "+reason+" about "+about, func() error {
		list := &eventsv1.EventList{}
		if err := s.admin.List(s.t.Context(), list, client.InNamespace(s.ns)); err != nil {
			return err
		}
		for _, e := range list.Items {
			if e.Regarding.Name == about && e.Reason == reason {
				found = e
				return nil
			}
		}
		return fmt.Errorf("not among %d", len(list.Items))
	})
	return found
}
