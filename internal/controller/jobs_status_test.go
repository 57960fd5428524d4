//go:build integration

package controller_test

import (
	"fmt"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v0 "github.com/akri-go/akri/api/v0"
)

func testOffline(s *space) {
	conf := s.configuration("cam", brokerSpec)
	inst := s.instance(conf, "cam-4294ea", 1, false, "node-a")
	pod := s.pod("cam-4294ea-pod")
	s.run(pod, "node-a")
	away := func(state v0.DeviceState) {
		s.eventually("status", func() error {
			s.get(inst.Name, inst)
			inst.Status.Nodes = []v0.InstanceNode{{Name: "node-a", State: state}}
			return s.admin.Status().Update(s.t.Context(), inst)
		})
	}
	online := func(want metav1.ConditionStatus) {
		s.eventually("condition Online", func() error {
			s.get(inst.Name, inst)
			if c := meta.FindStatusCondition(inst.Status.Conditions, "Online"); c == nil || c.Status != want {
				return fmt.Errorf("have %+v, want %s", c, want)
			}
			return nil
		})
	}
	if len(inst.Status.Conditions) > 0 {
		s.t.Errorf("a plain new device has conditions: %+v", inst.Status.Conditions)
	}
	away(v0.DeviceOffline)
	online(metav1.ConditionFalse)
	if now := s.pod(pod.Name); now.UID != pod.UID {
		s.t.Error("the broker of a device that is away for a moment was replaced")
	}
	away(v0.DeviceOnline)
	online(metav1.ConditionTrue)
}

// While a finalizer holds a Configuration, its status does not show devices and
// brokers that are gone.
func testHeldConfiguration(s *space) {
	conf := s.configuration("cam", brokerSpec)
	inst := s.instance(conf, "cam-4294ea", 1, false, "node-a")
	counts := func(devices int32, brokers string) {
		s.t.Helper()
		s.eventually("counts", func() error {
			s.get("cam", conf)
			if conf.Status.Devices != devices || conf.Status.Brokers != brokers {
				return fmt.Errorf("have %d devices and %q brokers, want %d and %q", conf.Status.Devices, conf.Status.Brokers, devices, brokers)
			}
			return nil
		})
	}
	s.run(s.pod("cam-4294ea-pod"), "node-a")
	counts(1, "1/1")
	update(s, "cam", conf, func(c *v0.Configuration) { c.Finalizers = append(c.Finalizers, "example.org/held") })
	for _, o := range []client.Object{conf, inst} { // nobody else collects garbage here
		if err := s.admin.Delete(s.t.Context(), o); err != nil {
			s.t.Fatal(err)
		}
	}
	counts(0, "0/0")
	update(s, "cam", conf, func(c *v0.Configuration) { c.Finalizers = nil })
	s.gone(conf)
}

const jobSpec = `
brokerSpec:
  brokerJobSpec:
    template:
      spec:
        restartPolicy: Never
        containers: [{name: broker, image: one, resources: {limits: {"{{PLACEHOLDER}}": "1"}}}]
`

func testJob(s *space) {
	const spec = jobSpec
	conf := s.configuration("cam", spec)
	inst := s.instance(conf, "cam-4294ea", 1, false, "node-a")
	job := func(generation int) *batchv1.Job {
		j := &batchv1.Job{}
		s.eventually("Job", func() error {
			return s.admin.Get(s.t.Context(), client.ObjectKey{Namespace: s.ns, Name: fmt.Sprintf("cam-4294ea-%d-job", generation)}, j)
		})
		return j
	}
	first := job(1)
	if first.Spec.Template.Labels[v0.LabelInstance] != "cam-4294ea" {
		s.t.Errorf("labels of the Job's Pods: %v", first.Spec.Template.Labels)
	}
	recorded := func() {
		s.eventually("record", func() error {
			s.get(inst.Name, inst)
			if inst.Annotations["akri.sh/broker-job-hash"] == "" {
				return fmt.Errorf("not there")
			}
			return nil
		})
	}
	recorded()
	// Finished, and removed as by its time to live: not made again, though
	// the Instance and the Configuration change.
	background := metav1.DeletePropagationBackground
	if err := s.admin.Delete(s.t.Context(), first, &client.DeleteOptions{PropagationPolicy: &background}); err != nil {
		s.t.Fatal(err)
	}
	s.gone(first)
	update(s, inst.Name, inst, func(i *v0.Instance) { i.Spec.DeviceUsage = map[string]string{"cam-4294ea-0": "node-a"} })
	s.edit("cam", "capacity: 2\n"+spec)
	s.edit("cam", strings.ReplaceAll(spec, "image: one", "image: two"))
	third := job(3)
	list := &batchv1.JobList{}
	if err := s.admin.List(s.t.Context(), list, client.InNamespace(s.ns)); err != nil {
		s.t.Fatal(err)
	}
	if len(list.Items) != 1 {
		s.t.Errorf("%d Jobs, want the one of the last spec", len(list.Items))
	}
	// From Job to Pod.
	s.edit("cam", brokerSpec)
	s.gone(third)
	s.pod("cam-4294ea-pod")
}

// The API server accepts a Job whose Pods the namespace forbids. The condition
// says so until there is a Pod.
func testStuckJob(s *space) {
	ns := &corev1.Namespace{}
	s.eventually("the namespace gets its labels later", func() error {
		if err := s.admin.Get(s.t.Context(), client.ObjectKey{Name: s.ns}, ns); err != nil {
			return err
		}
		ns.Labels["pod-security.kubernetes.io/enforce"] = "restricted"
		return s.admin.Update(s.t.Context(), ns)
	})
	conf := s.configuration("cam", jobSpec)
	s.instance(conf, "cam-4294ea", 1, false, "node-a")
	accepted := func(want metav1.ConditionStatus, says string) {
		s.t.Helper()
		s.eventually("condition BrokerSpecAccepted", func() error {
			s.get("cam", conf)
			c := meta.FindStatusCondition(conf.Status.Conditions, "BrokerSpecAccepted")
			if c == nil || c.Status != want || !strings.Contains(c.Message, says) {
				return fmt.Errorf("have %+v, want %s %q", c, want, says)
			}
			return nil
		})
	}
	accepted(metav1.ConditionFalse, "Job cam-4294ea-1-job can make no Pod: ")
	accepted(metav1.ConditionFalse, "violates PodSecurity")
	s.event("cam", "BrokerSpecRefused")
	job := &batchv1.Job{}
	s.eventually("the Job has a Pod", func() error {
		s.get("cam-4294ea-1-job", job)
		job.Status.Active = 1
		return s.admin.Status().Update(s.t.Context(), job)
	})
	accepted(metav1.ConditionTrue, "")
}

func testConditions(s *space) {
	conf := s.configuration("cam", "{}")
	set := func(nodes ...v0.ConfigurationNode) {
		s.eventually("status", func() error {
			s.get("cam", conf)
			conf.Status.Nodes = nodes
			return s.admin.Status().Update(s.t.Context(), conf)
		})
	}
	want := func(status metav1.ConditionStatus, reason, message string) {
		s.t.Helper()
		s.eventually("condition Discovering", func() error {
			s.get("cam", conf)
			c := meta.FindStatusCondition(conf.Status.Conditions, "Discovering")
			if c == nil || c.Status != status || c.Reason != reason || !strings.Contains(c.Message, message) {
				return fmt.Errorf("have %+v, want %s %s %q", c, status, reason, message)
			}
			return nil
		})
	}
	set(v0.ConfigurationNode{Name: "node-a", State: v0.DiscoveryWaiting})
	want(metav1.ConditionFalse, "WaitingForHandler", "0 of 1")
	set(v0.ConfigurationNode{Name: "node-a", State: v0.DiscoveryActive}, v0.ConfigurationNode{Name: "node-b", State: v0.DiscoveryFailed, Message: "bad rule"})
	want(metav1.ConditionTrue, "SomeNodes", "node-b: bad rule")
	if conf.Status.ObservedGeneration != conf.Generation || len(conf.Status.Nodes) != 2 {
		s.t.Errorf("status %+v", conf.Status)
	}
	// More devices, but nothing else to say: not written.
	version := conf.ResourceVersion
	set(v0.ConfigurationNode{Name: "node-a", State: v0.DiscoveryActive, Devices: 7}, v0.ConfigurationNode{Name: "node-b", State: v0.DiscoveryActive})
	want(metav1.ConditionTrue, "AllNodes", "2 of 2")
	if conf.ResourceVersion == version {
		s.t.Error("nothing was written")
	}
	// Another generation, of which there is nothing new to say: seen all the same.
	s.eventually("generation seen", func() error {
		s.get("cam", conf)
		if conf.Generation == 1 {
			conf.Spec.Capacity = 3
			if err := s.admin.Update(s.t.Context(), conf); err != nil {
				return err
			}
		}
		if conf.Status.ObservedGeneration != conf.Generation {
			return fmt.Errorf("observedGeneration %d of %d", conf.Status.ObservedGeneration, conf.Generation)
		}
		return nil
	})
}

func testMetric(s *space, registry *prometheus.Registry) {
	count := func(want float64) {
		s.t.Helper()
		s.eventually("metric", func() error {
			families, err := registry.Gather()
			if err != nil {
				return err
			}
			var have float64
			for _, f := range families {
				for _, m := range f.GetMetric() {
					l := m.GetLabel() // sorted by name
					if f.GetName() == "akri_broker_pod_count" && l[0].GetValue() == "metered" && l[1].GetValue() == "node-b" {
						have += m.GetGauge().GetValue()
					}
				}
			}
			if have != want {
				return fmt.Errorf("akri_broker_pod_count is %v, want %v", have, want)
			}
			return nil
		})
	}
	conf := s.configuration("metered", brokerSpec)
	one := s.instance(conf, "metered-000001", 1, false, "node-b")
	s.instance(conf, "metered-000002", 1, false, "node-b")
	count(2)
	if err := s.admin.Delete(s.t.Context(), one); err != nil {
		s.t.Fatal(err)
	}
	count(1)
}

// Two Configurations that find one device both get the condition, until it is
// over.
func testTwins(s, elsewhere *space) {
	one, two := s.configuration("one", "{}"), s.configuration("two", "{}")
	other := elsewhere.configuration("three", "{}")
	device := func(s *space, conf *v0.Configuration, name, node string) *v0.Instance {
		inst := s.instance(conf, name, 1, false, node)
		update(s, name, inst, func(i *v0.Instance) {
			metav1.SetMetaDataAnnotation(&i.ObjectMeta, v0.AnnotationDeviceID, "/devices/usb1")
		})
		return inst
	}
	exclusive := func(s *space, name string, want metav1.ConditionStatus, says string) {
		s.t.Helper()
		conf := &v0.Configuration{}
		s.eventually("condition DevicesExclusive of "+name, func() error {
			s.get(name, conf)
			c := meta.FindStatusCondition(conf.Status.Conditions, "DevicesExclusive")
			if c == nil || c.Status != want || !strings.Contains(c.Message, says) {
				return fmt.Errorf("have %+v, want %s %q", c, want, says)
			}
			return nil
		})
	}
	device(s, one, "one-000001", "node-a")
	device(s, two, "two-000002", "node-b") // as like as two nodes
	device(s, two, "two-000001", "node-a")
	exclusive(s, "one", metav1.ConditionFalse, "Instance one-000001 (/devices/usb1) is the same device as Instance two-000001 of Configuration two")
	exclusive(s, "two", metav1.ConditionFalse, "Instance two-000001 (/devices/usb1) is the same device as Instance one-000001 of Configuration one")
	third := device(elsewhere, other, "three-000001", "node-b")
	exclusive(elsewhere, "three", metav1.ConditionFalse, "another namespace")
	if err := s.admin.Delete(s.t.Context(), third); err != nil {
		s.t.Fatal(err)
	}
	exclusive(elsewhere, "three", metav1.ConditionTrue, "")
	inst := &v0.Instance{}
	s.get("one-000001", inst)
	if err := s.admin.Delete(s.t.Context(), inst); err != nil {
		s.t.Fatal(err)
	}
	exclusive(s, "one", metav1.ConditionTrue, "")
	exclusive(s, "two", metav1.ConditionTrue, "")
}
