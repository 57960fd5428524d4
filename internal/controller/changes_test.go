//go:build integration

package controller_test

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v0 "github.com/akri-go/akri/api/v0"
)

// sameAs reads an object again, and fails if it was replaced or is being
// deleted.
func (s *space) sameAs(o client.Object) {
	s.t.Helper()
	uid := o.GetUID()
	s.get(o.GetName(), o)
	if o.GetUID() != uid || o.GetDeletionTimestamp() != nil {
		s.t.Errorf("%T %s was replaced", o, o.GetName())
	}
}

// after makes another Instance and waits for its broker: then the controller
// has handled everything before.
func (s *space) after(conf *v0.Configuration, name string) {
	s.t.Helper()
	s.instance(conf, name, 1, false, "node-c")
	s.pod(name + "-pod")
}

// Changes that do not concern the broker do not touch it.
func testInPlace(s *space) {
	const more = "capacity: 3\nbrokerProperties: {COLOUR: red}\n"
	conf := s.configuration("cam", brokerSpec+"instanceServiceSpec: {ports: [{port: 80}]}\n")
	inst := s.instance(conf, "cam-4294ea", 1, false, "node-a")
	pod := s.pod("cam-4294ea-pod")
	s.run(pod, "node-a")
	svc := &corev1.Service{}
	s.eventually("Service", func() error {
		return s.admin.Get(s.t.Context(), client.ObjectKey{Namespace: s.ns, Name: "cam-4294ea-svc"}, svc)
	})
	s.edit("cam", more+brokerSpec+"instanceServiceSpec: {ports: [{port: 80}]}\n")
	update(s, inst.Name, inst, func(i *v0.Instance) {
		i.Spec.Capacity, i.Spec.BrokerProperties = 3, map[string]string{"COLOUR": "red"}
	})
	s.after(conf, "cam-000001")
	s.sameAs(&pod)
	s.sameAs(svc)
	// The Service goes with the broker spec: no backend is left.
	s.edit("cam", more+"instanceServiceSpec: {ports: [{port: 80}]}\n")
	s.kill(pod)
	s.gone(svc)
}

// From Pod to Job and back; and a Job that has ended is not made again by a
// change that does not concern it.
func testPodJobPod(s *space) {
	conf := s.configuration("cam", brokerSpec)
	inst := s.instance(conf, "cam-4294ea", 1, false, "node-a")
	pod := s.pod("cam-4294ea-pod")
	s.run(pod, "node-a")
	s.edit("cam", jobSpec)
	job := &batchv1.Job{}
	s.eventually("Job", func() error {
		return s.admin.Get(s.t.Context(), client.ObjectKey{Namespace: s.ns, Name: "cam-4294ea-2-job"}, job)
	})
	s.kill(pod)
	s.gone(&pod)

	now := metav1.Now()
	s.eventually("the Job has ended", func() error {
		s.get(job.Name, job)
		job.Status.StartTime, job.Status.CompletionTime, job.Status.Succeeded = &now, &now, 1
		job.Status.Conditions = []batchv1.JobCondition{
			{Type: batchv1.JobSuccessCriteriaMet, Status: corev1.ConditionTrue},
			{Type: batchv1.JobComplete, Status: corev1.ConditionTrue},
		}
		return s.admin.Status().Update(s.t.Context(), job)
	})
	s.eventually("an agent's entry, without which there are no conditions and no observedGeneration", func() error {
		s.get("cam", conf)
		conf.Status.Nodes = []v0.ConfigurationNode{{Name: "node-a", State: v0.DiscoveryActive}}
		return s.admin.Status().Update(s.t.Context(), conf)
	})
	s.edit("cam", "capacity: 2\nbrokerProperties: {A: b}\n"+jobSpec)
	update(s, inst.Name, inst, func(i *v0.Instance) {
		i.Spec.Capacity, i.Spec.BrokerProperties = 2, map[string]string{"A": "b"}
		i.Spec.DeviceUsage = map[string]string{"cam-4294ea-0": "node-a"}
	})
	s.eventually("status", func() error {
		s.get(inst.Name, inst)
		inst.Status.Nodes = []v0.InstanceNode{{Name: "node-a", State: v0.DeviceOffline}}
		return s.admin.Status().Update(s.t.Context(), inst)
	})
	s.eventually("the controller has seen the edit", func() error {
		s.get("cam", conf)
		if seen := conf.Status.ObservedGeneration; seen != 3 {
			return fmt.Errorf("observedGeneration is %d", seen)
		}
		return nil
	})
	s.instance(conf, "cam-000001", 1, false, "node-a")
	s.eventually("the Job of another Instance", func() error {
		return s.admin.Get(s.t.Context(), client.ObjectKey{Namespace: s.ns, Name: "cam-000001-3-job"}, &batchv1.Job{})
	})
	s.sameAs(job)
	jobs := &batchv1.JobList{}
	if err := s.admin.List(s.t.Context(), jobs, client.InNamespace(s.ns)); err != nil || len(jobs.Items) != 2 {
		s.t.Errorf("%d Jobs, %v; want one for each Instance", len(jobs.Items), err)
	}

	s.eventually("status", func() error {
		s.get(inst.Name, inst)
		inst.Status.Nodes = nil
		return s.admin.Status().Update(s.t.Context(), inst)
	})
	s.edit("cam", "capacity: 2\n"+brokerSpec)
	s.gone(job)
	s.pod("cam-4294ea-pod", pod)
}

// Our objects have no finalizers, so their deletion cannot hang.
func testNoFinalizers(s *space) {
	both := brokerSpec + "instanceServiceSpec: {ports: [{port: 80}]}\nconfigurationServiceSpec: {ports: [{port: 80}]}\n"
	inst := s.instance(s.configuration("cam", both), "cam-4294ea", 1, false, "node-a")
	s.instance(s.configuration("job", jobSpec), "job-4294ea", 1, false, "node-a")
	s.run(s.pod("cam-4294ea-pod"), "node-a")
	objects := map[string]client.Object{
		"cam-4294ea-pod": &corev1.Pod{}, "cam-4294ea-svc": &corev1.Service{}, "cam-svc": &corev1.Service{},
		"job-4294ea-1-job": &batchv1.Job{}, inst.Name: &v0.Instance{}, "cam": &v0.Configuration{},
	}
	for name, o := range objects {
		s.eventually(name, func() error {
			return s.admin.Get(s.t.Context(), client.ObjectKey{Namespace: s.ns, Name: name}, o)
		})
		if f := o.GetFinalizers(); len(f) > 0 {
			s.t.Errorf("%T %s has finalizers %v", o, name, f)
		}
	}
}

// Only the first broker of an Instance is measured, however often it is
// replaced.
func testLatency(s *space, registry *prometheus.Registry) {
	count := func() (n uint64, sum float64) {
		families, err := registry.Gather()
		if err != nil {
			s.t.Fatal(err)
		}
		for _, f := range families {
			for _, m := range f.GetMetric() {
				if f.GetName() == "akri_instance_to_broker_seconds" && m.GetLabel()[0].GetValue() == "timed" {
					n, sum = n+m.GetHistogram().GetSampleCount(), sum+m.GetHistogram().GetSampleSum()
				}
			}
		}
		return n, sum
	}
	conf := s.configuration("timed", brokerSpec)
	for i := range 2 {
		name := fmt.Sprintf("timed-%06d", i)
		s.instance(conf, name, 1, false, "node-a")
		pod := s.pod(name + "-pod")
		s.run(pod, "node-a")
		s.eventually("metric", func() error {
			if n, _ := count(); n != uint64(i+1) {
				return fmt.Errorf("%d samples, want %d", n, i+1)
			}
			return nil
		})
		if err := s.admin.Delete(s.t.Context(), &pod); err != nil {
			s.t.Fatal(err)
		}
		s.kill(pod)
		s.run(s.pod(pod.Name, pod), "node-a")
	}
	if n, sum := count(); n != 2 || sum <= 0 || sum > 2*waitTimeout.Seconds() {
		s.t.Errorf("%d samples, %v s", n, sum)
	}
}
