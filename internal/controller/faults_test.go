//go:build integration

package controller_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/controller"
	"github.com/akri-go/akri/internal/devcluster/kubetest"
	"github.com/akri-go/akri/internal/workload"
)

func testForeignPods(s *space) {
	for i, labels := range []map[string]string{
		{v0.LabelConfiguration: "cam"},
		{v0.LabelConfiguration: ""},
		{v0.LabelConfiguration: "cam", v0.LabelInstance: "cam-4294ea"},
		{v0.LabelConfiguration: "cam", v0.LabelInstance: "cam-4294ea", v0.LabelTargetNode: "node-a"},
	} {
		pod := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: s.ns, Name: fmt.Sprint("user-", i), Labels: labels},
			Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "a", Image: "b"}}},
		}
		if err := s.admin.Create(s.t.Context(), pod); err != nil {
			s.t.Fatal(err)
		}
		s.run(*pod, "node-a")
	}
	conf := s.configuration("cam", brokerSpec)
	inst := s.instance(conf, "cam-4294ea", 1, false, "node-a")
	pod := s.pod("cam-4294ea-pod")
	if err := s.admin.Delete(s.t.Context(), inst); err != nil {
		s.t.Fatal(err)
	}
	s.gone(&pod)
	for i := range 4 {
		s.pod(fmt.Sprint("user-", i))
	}
	// One of them may even have the name of a broker.
	taken := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.ns, Name: "cam-4294ea-pod"},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "a", Image: "b"}}},
	}
	if err := s.admin.Create(s.t.Context(), taken); err != nil {
		s.t.Fatal(err)
	}
	s.instance(conf, "cam-4294ea", 1, false, "node-a")
	s.event("cam-4294ea", "BrokerNameTaken")
	if now := s.pod(taken.Name); now.UID != taken.UID {
		s.t.Error("a user's Pod was replaced")
	}
}

func testRefused(s *space) {
	conf := s.configuration("cam", strings.ReplaceAll(brokerSpec, "image: broker", `image: ""`))
	for i := range 5 {
		s.instance(conf, fmt.Sprintf("cam-00000%d", i), 1, false, "node-a")
	}
	s.event("cam", "BrokerSpecRefused")
	condition := func(want metav1.ConditionStatus) {
		s.eventually("condition BrokerSpecAccepted", func() error {
			s.get("cam", conf)
			if c := meta.FindStatusCondition(conf.Status.Conditions, "BrokerSpecAccepted"); c == nil || c.Status != want {
				return fmt.Errorf("have %+v, want %s", c, want)
			}
			return nil
		})
	}
	condition(metav1.ConditionFalse)
	// Broken in a way that is found without the API server.
	s.edit("cam", "brokerSpec: {brokerPodSpec: {containers: none}}")
	s.eventually("the other complaint", func() error {
		s.get("cam", conf)
		if c := meta.FindStatusCondition(conf.Status.Conditions, "BrokerSpecAccepted"); c == nil || !strings.Contains(c.Message, "not a PodSpec") {
			return fmt.Errorf("have %+v", c)
		}
		return nil
	})
	s.edit("cam", brokerSpec)
	condition(metav1.ConditionTrue)
	for i := range 5 {
		s.pod(fmt.Sprintf("cam-00000%d-pod", i))
	}
}

func testWhileDown(s *space, stop func()) {
	conf := s.configuration("cam", brokerSpec+"instanceServiceSpec: {ports: [{port: 80}]}\n")
	unplugged := s.instance(conf, "cam-000001", 1, false, "node-a")
	stays := s.instance(conf, "cam-000002", 1, false, "node-a")
	gonePod, staysPod := s.pod("cam-000001-pod"), s.pod("cam-000002-pod")
	s.run(gonePod, "node-a")
	s.run(staysPod, "node-a")
	for _, name := range []string{"cam-000001-svc", "cam-000002-svc"} {
		s.eventually("Service "+name, func() error {
			return s.admin.Get(s.t.Context(), client.ObjectKey{Namespace: s.ns, Name: name}, &corev1.Service{})
		})
	}
	stop()
	if err := s.admin.Delete(s.t.Context(), unplugged); err != nil {
		s.t.Fatal(err)
	}
	s.instance(conf, "cam-000003", 1, false, "node-b")
	// Upstream's controller ran meanwhile.
	inst := s.instance(conf, "cam-000004", 1, false, "node-b")
	upstream := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: s.ns, Name: "cam-000004-pod",
			Labels: map[string]string{
				v0.LabelApp: "cam-000004-pod", v0.LabelController: "akri.sh", v0.LabelConfiguration: "cam",
				v0.LabelInstance: "cam-000004", v0.LabelTargetNode: "node-b",
			},
			OwnerReferences: []metav1.OwnerReference{workload.OwnerRef(inst)},
		},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "broker", Image: "older"}}},
	}
	if err := s.admin.Create(s.t.Context(), upstream); err != nil {
		s.t.Fatal(err)
	}
	s.run(*upstream, "node-b")

	s.start(s.t)
	s.kill(gonePod)
	s.gone(&gonePod)
	s.gone(&corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: s.ns, Name: "cam-000001-svc"}})
	s.pod("cam-000003-pod")
	s.eventually("the Service of an adopted Pod", func() error {
		return s.admin.Get(s.t.Context(), client.ObjectKey{Namespace: s.ns, Name: "cam-000004-svc"}, &corev1.Service{})
	})
	if now := s.pod("cam-000002-pod"); now.UID != staysPod.UID {
		s.t.Errorf("the broker of %s was replaced", stays.Name)
	}
	if now := s.pod("cam-000004-pod"); now.UID != upstream.UID {
		s.t.Error("the Pod of upstream's controller was replaced")
	}
}

func TestLeader(t *testing.T) {
	t.Parallel()
	c := newFixture(t, kubetest.WithControllerManager())
	c.nodes(t, "node-a")
	elect := func(o *controller.Options) { o.LeaderElection, o.Namespace = true, "default" }
	stopFirst := c.start(t, elect)
	s := c.space(t, "leader")
	conf := s.configuration("cam", brokerSpec)
	s.instance(conf, "cam-000001", 1, false, "node-a")
	pod := s.pod("cam-000001-pod")
	c.start(t, elect)
	stopFirst()
	s.instance(conf, "cam-000002", 1, false, "node-a")
	s.pod("cam-000002-pod")
	if now := s.pod(pod.Name); now.UID != pod.UID {
		t.Error("a new leader replaced a broker")
	}
	// There is a garbage collector here: all goes with the Configuration.
	if err := s.admin.Delete(t.Context(), conf); err != nil {
		t.Fatal(err)
	}
	s.brokers()
}

func TestAPIServerAway(t *testing.T) {
	t.Parallel()
	c := newFixture(t)
	c.nodes(t, "node-a")
	c.start(t)
	s := c.space(t, "away")
	s.waitTimeout = 3 * time.Minute // the watches' back-off goes up to one minute
	conf := s.configuration("cam", brokerSpec)
	inst := s.instance(conf, "cam-000001", 1, false, "node-a")
	pod := s.pod("cam-000001-pod")
	s.run(pod, "node-a")
	for range 2 {
		c.server.Stop()
		if err := c.server.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	s.instance(conf, "cam-000002", 1, false, "node-a")
	s.pod("cam-000002-pod")
	if now := s.pod(pod.Name); now.UID != pod.UID {
		t.Error("a broker was replaced")
	}
	if err := s.admin.Delete(t.Context(), inst); err != nil {
		t.Fatal(err)
	}
	s.kill(pod)
	s.gone(&pod)
}
