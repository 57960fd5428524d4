//go:build integration

package controller_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/controller"
	"github.com/akri-go/akri/internal/controller/status"
)

// says checks a condition.
func says(conditions []metav1.Condition, kind string, want metav1.ConditionStatus, reason string) error {
	c := meta.FindStatusCondition(conditions, kind)
	if c == nil || c.Status != want || c.Reason != reason {
		return fmt.Errorf("condition %s is %+v, want %s, %s", kind, c, want, reason)
	}
	return nil
}

// A dead agent does not look healthy, and nothing is deleted because of it.
func testDeadAgent(t *testing.T) {
	c := fixtureOf(t, shared.Start(t))
	c.nodes(t, "node-a", "node-b")
	s := c.space(t, "dead-agent")
	c.start(t, func(o *controller.Options) { o.Namespace = s.ns })
	beat := func(node string) {
		t.Helper()
		lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{
			Namespace: s.ns, Name: v0.AgentLease(node), Labels: map[string]string{v0.LabelAgentLease: "true"},
		}}
		now := metav1.NowMicro()
		err := c.admin.Get(t.Context(), client.ObjectKeyFromObject(lease), lease)
		if lease.Spec.RenewTime = &now; err != nil {
			err = c.admin.Create(t.Context(), lease)
		} else {
			err = c.admin.Update(t.Context(), lease)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	alive, stop := context.WithCancel(t.Context())
	var beating sync.WaitGroup
	defer func() { stop(); beating.Wait() }()
	beat("node-b")
	// node-c has an older agent, which has no Lease.
	beating.Go(func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-alive.Done():
				return
			case <-tick.C:
				beat("node-b")
			}
		}
	})

	conf := s.configuration("cam", "")
	s.eventually("the agents' entries", func() error {
		s.get("cam", conf)
		conf.Status.Nodes = []v0.ConfigurationNode{{Name: "node-a", State: v0.DiscoveryActive}, {Name: "node-b", State: v0.DiscoveryActive}, {Name: "node-c", State: v0.DiscoveryActive}}
		return c.admin.Status().Update(t.Context(), conf)
	})
	local := s.instance(conf, "cam-00000a", 1, false, "node-a")
	shared := s.instance(conf, "cam-00000b", 1, true, "node-a", "node-b")
	s.eventually("all is well", func() error {
		beat("node-a") // which dies when all is well
		s.get("cam", conf)
		s.get(local.Name, local)
		return errors.Join(says(conf.Status.Conditions, status.Discovering, "True", status.ReasonAllNodes),
			says(local.Status.Conditions, status.Online, "True", status.ReasonSeen))
	})
	began := time.Now()
	s.eventually("node-a is said to be silent", func() error {
		s.get("cam", conf)
		s.get(local.Name, local)
		return errors.Join(says(conf.Status.Conditions, status.Discovering, "True", status.ReasonSomeNodes),
			says(local.Status.Conditions, status.Online, "Unknown", status.ReasonSilent))
	})
	t.Logf("said %s after all was well", time.Since(began).Round(time.Second))
	if m := meta.FindStatusCondition(conf.Status.Conditions, status.Discovering).Message; !strings.Contains(m, "no agent responds on node-a") {
		t.Errorf("the message is %q", m)
	}
	s.get(shared.Name, shared)
	if err := says(shared.Status.Conditions, status.Online, "True", status.ReasonSeen); err != nil {
		t.Errorf("another node sees the shared one: %v", err)
	}
	beat("node-a")
	s.eventually("node-a is back", func() error {
		s.get("cam", conf)
		s.get(local.Name, local)
		return errors.Join(says(conf.Status.Conditions, status.Discovering, "True", status.ReasonAllNodes),
			says(local.Status.Conditions, status.Online, "True", status.ReasonSeen))
	})
}

// A broker that keeps crashing is not reported as ready, nor is one without an
// image.
func testBrokenBroker(s *space) {
	conf := s.configuration("cam", brokerSpec)
	inst := s.instance(conf, "cam-4294ea", 1, false, "node-a")
	pod := s.pod("cam-4294ea-pod")
	s.run(pod, "node-a")
	columns := func(used, brokers string, ready metav1.ConditionStatus, reason string) {
		s.t.Helper()
		s.eventually("status", func() error {
			s.get(inst.Name, inst)
			s.get("cam", conf)
			err := errors.Join(says(inst.Status.Conditions, status.BrokersReady, ready, reason),
				says(conf.Status.Conditions, status.BrokersReady, ready, reason),
				says(inst.Status.Conditions, status.Online, "True", status.ReasonSeen))
			if inst.Status.Used != used || conf.Status.Brokers != brokers || conf.Status.Devices != 1 {
				err = errors.Join(err, fmt.Errorf("used %q, brokers %q, devices %d", inst.Status.Used, conf.Status.Brokers, conf.Status.Devices))
			}
			for _, c := range inst.Status.Conditions {
				if c.ObservedGeneration != inst.Generation {
					err = errors.Join(err, fmt.Errorf("%s is of generation %d, the Instance of %d", c.Type, c.ObservedGeneration, inst.Generation))
				}
			}
			return err
		})
	}
	columns("0/1", "1/1", "True", status.ReasonRunning)
	update(s, inst.Name, inst, func(i *v0.Instance) { i.Spec.DeviceUsage = map[string]string{"cam-4294ea-0": "node-a"} })
	columns("1/1", "1/1", "True", status.ReasonRunning)
	s.status(pod, func(st *corev1.PodStatus) {
		st.Conditions = nil
		st.ContainerStatuses = []corev1.ContainerStatus{{Name: "broker", Image: "i", ImageID: "i", RestartCount: 4,
			State:                corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff", Message: "back-off 40s"}},
			LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 3}},
		}}
	})
	columns("1/1", "0/1", "False", "CrashLoopBackOff")
	if e := s.event("cam-4294ea", "BrokerNotReady"); !strings.Contains(e.Note, "exit code 3, 4 restarts") {
		s.t.Errorf("the Event does not say why: %s", e.Note)
	}
	s.status(pod, func(st *corev1.PodStatus) {
		st.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.Now()}}
		st.ContainerStatuses[0].State = corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(time.Now().Add(-time.Hour))}}
	})
	columns("1/1", "1/1", "True", status.ReasonRunning)
}
