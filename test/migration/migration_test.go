//go:build integration

package migration

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/agent/ledger"
	"github.com/akri-go/akri/internal/controller/broker"
	"github.com/akri-go/akri/internal/devcluster/kubetest/chartuser"
	"github.com/akri-go/akri/internal/workload"
)

const (
	camera = "cam-8120fe"  // shared, of both nodes
	usbA   = "usb-1d9613"  // local, of node-a
	usbB   = "usb-57fd3e"  // local, of node-b
	usbX   = "usb-53bfa5"  // local, of a node that is gone for good
	jobA   = "jobs-1d9613" // local, of node-a, with a Job
)

var (
	configurationKind = v0.GroupVersion.WithKind("Configuration")
	instanceKind      = v0.GroupVersion.WithKind("Instance")
	workloads         = []schema.GroupVersionKind{
		corev1.SchemeGroupVersion.WithKind("Pod"), corev1.SchemeGroupVersion.WithKind("Service"), batchv1.SchemeGroupVersion.WithKind("Job"),
	}
	everything = append([]schema.GroupVersionKind{configurationKind, instanceKind}, workloads...)
)

// TestTakeOver goes the way of docs/from-upstream.md: upstream's programs are
// gone, its objects stay; then CRDs, roles, controller, agents.
func TestTakeOver(t *testing.T) {
	for _, release := range []string{"v0.12", "v0.13"} {
		t.Run(release, func(t *testing.T) { takeOver(t, release) })
	}
}

func takeOver(t *testing.T, release string) {
	c := newFixture(t, release)
	before := c.objects(everything...)

	c.upgradeCRDs()
	if err := chartuser.Install(t.Context(), c.server.Config); err != nil {
		t.Fatal(err)
	}
	c.startController()
	// While upstream's agents may still run, their finalizers would come back.
	c.eventually("the lost node's finalizers go, the others stay", func() error {
		return c.finalizers(func(kind, name string, finalizers []string) bool {
			return release == "v0.12" || !slices.Contains(finalizers, "node-gone") &&
				(kind != "Configuration" || slices.Equal(finalizers, []string{"node-a", "node-b"}))
		})
	})

	a, b := c.startAgent("node-a"), c.startAgent("node-b")
	url, fast, dev := map[string]string{"URL": "rtsp://camera"}, map[string]string{"MODE": "fast"}, map[string]string{"DEV": "/dev/ttyUSB0"}
	// The follower of the shared device is first.
	b.sees("cam", "foo0", true, 3, url, fast)
	b.sees("usb", "bar", false, 2, dev, nil)
	a.sees("cam", "foo0", true, 3, url, fast)
	a.sees("usb", "bar", false, 2, dev, nil)
	a.sees("jobs", "bar", false, 1, dev, nil)
	// Of the third Configuration node-b has no device, but its agent knows it.
	b.ConfigurationStatus(client.ObjectKey{Namespace: "default", Name: "jobs"}, c.uid("Configuration", "jobs"), v0.ConfigurationNode{State: v0.DiscoveryActive})

	c.eventually("claims are taken over", func() error {
		for agent, want := range map[*agent][]string{a: {camera + "-0", jobA + "-0", usbA + "-0", usbA + "-1"}, b: {camera + "-1", usbB + "-0"}} {
			var have []string
			for _, claim := range agent.Claims() {
				have = append(have, claim.ID())
			}
			if !slices.Equal(have, want) {
				return fmt.Errorf("%s has %v, want %v", agent.node, have, want)
			}
		}
		return nil
	})
	// What the kubelets say: one of upstream's slots no longer has a container.
	use := func(resource, id string) ledger.Use { return ledger.Use{Resource: "akri.sh/" + resource, ID: id} }
	now := time.Now()
	for agent, uses := range map[*agent][]ledger.Use{
		a: {use(camera, camera+"-0"), use(usbA, usbA+"-0"), use(jobA, jobA+"-0")},
		b: {use("cam", "cam-0"), use(usbB, usbB+"-0")},
	} {
		agent.Reconcile(now, ledger.View{Uses: uses, Complete: true})
		agent.Reconcile(now.Add(ledger.IdleGrace+time.Second), ledger.View{Uses: uses, Complete: true})
	}
	for name, want := range map[string]struct {
		nodes    string
		capacity int64
		usage    map[string]string
		labels   string
	}{
		camera: {"node-a node-b", 3, map[string]string{camera + "-0": "node-a", camera + "-1": "C:cam-0:node-b"}, v0.LabelShared + "=true"},
		usbA:   {"node-a", 2, map[string]string{usbA + "-0": "node-a"}, v0.LabelNode + "=node-a"},
		usbB:   {"node-b", 2, map[string]string{usbB + "-0": "node-b"}, v0.LabelNode + "=node-b"},
		jobA:   {"node-a", 1, map[string]string{jobA + "-0": "node-a"}, v0.LabelNode + "=node-a"},
	} {
		c.eventually(name+" is taken over", func() error {
			o := &v0.Instance{}
			c.get(name, o)
			key, value, _ := strings.Cut(want.labels, "=")
			used := maps.Clone(o.Spec.DeviceUsage)
			maps.DeleteFunc(used, func(_, holder string) bool { return holder == "" }) // upstream's free slots
			switch {
			case string(o.UID) != before["Instance/"+name]:
				t.Fatalf("%s was replaced", name)
			case o.Labels[key] != value, o.Annotations[v0.AnnotationDeviceID] == "", len(o.Finalizers) > 0,
				strings.Join(o.Spec.Nodes, " ") != want.nodes, o.Spec.Capacity != want.capacity, o.Spec.CdiName == "",
				!maps.Equal(used, want.usage):
				return fmt.Errorf("it is %+v %+v", o.ObjectMeta, o.Spec)
			}
			return nil
		})
	}
	// The ledger hears by a watch of its own that it is free.
	c.eventually("the slot of the lost node is claimed", func() error {
		return b.Ledger.Claim(t.Context(), v0.DoorInstance, []string{camera + "-2"})
	})
	if err := a.Ledger.Claim(t.Context(), v0.DoorInstance, []string{camera + "-2"}); err == nil {
		t.Error("a slot was given twice")
	}
	c.eventually("no finalizer is left", func() error {
		return c.finalizers(func(_, _ string, finalizers []string) bool { return len(finalizers) == 0 })
	})

	c.eventually("the Job is known", func() error {
		o := &v0.Instance{}
		if c.get(jobA, o); o.Annotations[broker.AnnotationJob] == "" {
			return fmt.Errorf("annotations are %v", o.Annotations)
		}
		return nil
	})
	for _, name := range []string{camera + "-svc", "cam-svc"} {
		c.eventually("the Service is ours", func() error {
			svc := &corev1.Service{}
			if c.get(name, svc); svc.Annotations[workload.AnnotationServiceHash] == "" || svc.Spec.ClusterIP == "" {
				return fmt.Errorf("annotations are %v", svc.Annotations)
			}
			return nil
		})
	}
	// The controller does replace a broker that goes: so the others stayed
	// because they were adopted.
	c.kill(usbB + "-pod")
	c.eventually("a new broker", func() error {
		if uid := c.objects(workloads...)["Pod/"+usbB+"-pod"]; uid == "" || uid == "going" || uid == before["Pod/"+usbB+"-pod"] {
			return fmt.Errorf("it is %q", uid)
		}
		return nil
	})
	after := c.objects(everything...)
	for _, key := range slices.Sorted(maps.Keys(before)) {
		switch {
		case key == "Pod/"+usbB+"-pod":
		case key == "Instance/"+usbX: // no node has it
		case after[key] != before[key]:
			t.Errorf("%s had UID %s, has %q", key, before[key], after[key])
		}
		delete(after, key)
	}
	if len(after) > 0 {
		t.Errorf("there is more than before: %v", after)
	}

	c.deleteConfigurations()
}

// TestGoneForGood has a cluster from which all of upstream's agents are gone,
// one together with its node, and that has no new ones yet.
func TestGoneForGood(t *testing.T) {
	c := newFixture(t, "v0.13")
	c.upgradeCRDs()
	if err := chartuser.Install(t.Context(), c.server.Config); err != nil {
		t.Fatal(err)
	}
	c.startController()
	node := &corev1.Node{}
	node.Name = "node-b"
	if err := c.admin.Delete(t.Context(), node); err != nil {
		t.Fatal(err)
	}
	c.eventually("its finalizers go with it", func() error {
		return c.finalizers(func(_, _ string, finalizers []string) bool { return !slices.Contains(finalizers, "node-b") })
	})
	c.deleteConfigurations()
}

// finalizers asks about those of all Configurations and Instances.
func (c *fixture) finalizers(right func(kind, name string, finalizers []string) bool) error {
	c.t.Helper()
	var configurations v0.ConfigurationList
	var instances v0.InstanceList
	c.list(&configurations)
	c.list(&instances)
	for _, o := range configurations.Items {
		if !right("Configuration", o.Name, o.Finalizers) {
			return fmt.Errorf("Configuration %s has %v", o.Name, o.Finalizers)
		}
	}
	for _, o := range instances.Items {
		if !right("Instance", o.Name, o.Finalizers) {
			return fmt.Errorf("Instance %s has %v", o.Name, o.Finalizers)
		}
	}
	return nil
}

// deleteConfigurations deletes all and waits until nothing is left of them,
// except Pods that a kubelet would have to stop.
func (c *fixture) deleteConfigurations() {
	c.t.Helper()
	if err := c.admin.DeleteAllOf(c.t.Context(), &v0.Configuration{}, client.InNamespace("default")); err != nil {
		c.t.Fatal(err)
	}
	c.eventually("all goes", func() error {
		left := c.objects(everything...)
		maps.DeleteFunc(left, func(key, uid string) bool { return strings.HasPrefix(key, "Pod/") && uid == "going" })
		if len(left) > 0 {
			return fmt.Errorf("%v is left", left)
		}
		return nil
	})
}

// kill deletes a Pod as its kubelet would.
func (c *fixture) kill(name string) {
	c.t.Helper()
	pod := &corev1.Pod{}
	c.get(name, pod)
	if err := c.admin.Delete(c.t.Context(), pod, client.GracePeriodSeconds(0)); err != nil {
		c.t.Fatal(err)
	}
}
