//go:build integration

package controller_test

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v0 "github.com/akri-go/akri/api/v0"
)

func testInstanceService(s *space) {
	spec := brokerSpec + "instanceServiceSpec: {ports: [{name: http, port: 80, targetPort: 8083}], selector: {extra: x}}\n"
	conf := s.configuration("cam", spec)
	inst := s.instance(conf, "cam-4294ea", 1, false, "node-a")
	pod := s.pod("cam-4294ea-pod")
	if err := s.admin.Get(s.t.Context(), client.ObjectKey{Namespace: s.ns, Name: "cam-4294ea-svc"}, &corev1.Service{}); err == nil {
		s.t.Error("the Service is there before its broker runs")
	}
	s.run(pod, "node-a")
	svc := &corev1.Service{}
	s.eventually("Service", func() error {
		return s.admin.Get(s.t.Context(), client.ObjectKey{Namespace: s.ns, Name: "cam-4294ea-svc"}, svc)
	})
	if ref := metav1.GetControllerOf(svc); ref == nil || ref.UID != inst.UID {
		s.t.Errorf("owner %+v, want the Instance", ref)
	}
	for k, want := range map[string]string{"extra": "x", v0.LabelController: "akri.sh", v0.LabelInstance: "cam-4294ea"} {
		if svc.Spec.Selector[k] != want {
			s.t.Errorf("selector %v, want %s=%s", svc.Spec.Selector, k, want)
		}
	}
	if svc.Labels[v0.LabelApp] != "cam-4294ea-svc" || svc.Labels[v0.LabelInstance] != "cam-4294ea" {
		s.t.Errorf("labels %v", svc.Labels)
	}
	// A changed spec: another port, and one key of the selector less.
	ip := svc.Spec.ClusterIP
	s.edit("cam", brokerSpec+"instanceServiceSpec: {ports: [{name: http, port: 81, targetPort: 8083}]}\n")
	s.eventually("the new port", func() error {
		s.get("cam-4294ea-svc", svc)
		if len(svc.Spec.Ports) != 1 || svc.Spec.Ports[0].Port != 81 || svc.Spec.Selector["extra"] != "" {
			return fmt.Errorf("ports %v, selector %v", svc.Spec.Ports, svc.Spec.Selector)
		}
		return nil
	})
	if svc.Spec.ClusterIP != ip {
		s.t.Error("the Service was replaced, not updated")
	}
	// A broker that is replaced does not take the Service with it.
	if err := s.admin.Delete(s.t.Context(), &pod); err != nil {
		s.t.Fatal(err)
	}
	s.kill(pod)
	next := s.pod(pod.Name, pod)
	s.run(next, "node-a")
	now := &corev1.Service{}
	s.get("cam-4294ea-svc", now)
	if now.UID != svc.UID {
		s.t.Error("the Service was replaced for a replaced broker")
	}
	// A bad one is refused and told; the old one stays.
	s.edit("cam", brokerSpec+"instanceServiceSpec: {ports: [{port: 99999}]}\n")
	s.event("cam", "ServiceSpecRefused")
	s.get("cam-4294ea-svc", now)
	if now.UID != svc.UID {
		s.t.Error("a bad spec cost the Service")
	}
	accepted := func(want, says string) {
		s.eventually("the condition says "+want, func() error {
			s.get("cam", conf)
			c := meta.FindStatusCondition(conf.Status.Conditions, "ServicesAccepted")
			if c == nil || string(c.Status)+" "+c.Reason != want || !strings.Contains(c.Message, says) {
				return fmt.Errorf("it is %+v", c)
			}
			return nil
		})
	}
	accepted("False ServiceSpecRefused", "spec.ports[0].port: Invalid value: 99999")
	s.edit("cam", brokerSpec+"instanceServiceSpec: {ports: [{name: http, port: 82}]}\n")
	accepted("True Accepted", "")
	if err := s.admin.Delete(s.t.Context(), inst); err != nil {
		s.t.Fatal(err)
	}
	s.gone(svc)
}

func testConfigurationService(s *space) {
	conf := s.configuration("cam.x", brokerSpec+"configurationServiceSpec: {type: NodePort, ports: [{port: 80}]}\n")
	one := s.instance(conf, "cam.x-000001", 1, false, "node-a")
	two := s.instance(conf, "cam.x-000002", 1, false, "node-b")
	s.run(s.pod("cam-x-000001-pod"), "node-a")
	svc := &corev1.Service{}
	s.eventually("Service", func() error {
		return s.admin.Get(s.t.Context(), client.ObjectKey{Namespace: s.ns, Name: "cam-x-svc"}, svc)
	})
	if ref := metav1.GetControllerOf(svc); ref == nil || ref.UID != conf.UID {
		s.t.Errorf("owner %+v, want the Configuration", ref)
	}
	if svc.Spec.Selector[v0.LabelConfiguration] != "cam.x" || svc.Spec.Type != corev1.ServiceTypeNodePort {
		s.t.Errorf("spec %+v", svc.Spec)
	}
	pod := s.pod("cam-x-000001-pod")
	if err := s.admin.Delete(s.t.Context(), one); err != nil {
		s.t.Fatal(err)
	}
	s.kill(pod)
	s.gone(&pod)
	s.get("cam-x-svc", svc) // the other broker is still there
	if err := s.admin.Delete(s.t.Context(), two); err != nil {
		s.t.Fatal(err)
	}
	s.gone(svc)
}

func testForeignService(s *space) {
	foreign := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.ns, Name: "cam-4294ea-svc"},
		Spec:       corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 5, TargetPort: intstr.FromInt32(6)}}},
	}
	if err := s.admin.Create(s.t.Context(), foreign); err != nil {
		s.t.Fatal(err)
	}
	conf := s.configuration("cam", brokerSpec+"instanceServiceSpec: {ports: [{port: 80}]}\n")
	inst := s.instance(conf, "cam-4294ea", 1, false, "node-a")
	pod := s.pod("cam-4294ea-pod")
	s.run(pod, "node-a")
	s.event("cam", "ServiceNameTaken")
	if err := s.admin.Delete(s.t.Context(), inst); err != nil {
		s.t.Fatal(err)
	}
	s.kill(pod)
	s.gone(&pod)
	now := &corev1.Service{}
	s.get(foreign.Name, now)
	if now.UID != foreign.UID || now.ResourceVersion != foreign.ResourceVersion {
		s.t.Errorf("the user's Service was touched: %+v", now)
	}
}

func testTwoNamespaces(a, b *space) {
	spec := brokerSpec + "configurationServiceSpec: {ports: [{port: 80}]}\ninstanceServiceSpec: {ports: [{port: 80}]}\n"
	var pods [2]corev1.Pod
	var insts [2]*v0.Instance
	for i, s := range []*space{a, b} {
		s.t = a.t
		conf := s.configuration("cam", spec)
		insts[i] = s.instance(conf, "cam-4294ea", 1, false, "node-a")
		pods[i] = s.pod("cam-4294ea-pod")
		s.run(pods[i], "node-a")
		for _, name := range []string{"cam-svc", "cam-4294ea-svc"} {
			s.eventually("Service "+name, func() error {
				return s.admin.Get(s.t.Context(), client.ObjectKey{Namespace: s.ns, Name: name}, &corev1.Service{})
			})
		}
	}
	if err := a.admin.Delete(a.t.Context(), insts[0]); err != nil {
		a.t.Fatal(err)
	}
	a.kill(pods[0])
	for _, name := range []string{"cam-svc", "cam-4294ea-svc"} {
		a.gone(&corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: a.ns, Name: name}})
		b.get(name, &corev1.Service{})
	}
	if now := b.pod("cam-4294ea-pod"); now.UID != pods[1].UID {
		b.t.Error("the other namespace's broker was replaced")
	}
}
