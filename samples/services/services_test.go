package services

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func service(name, ip string, ports ...corev1.ServicePort) *corev1.Service {
	return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name}, Spec: corev1.ServiceSpec{ClusterIP: ip, Ports: ports}}
}

func TestOf(t *testing.T) {
	grpc := corev1.ServicePort{Name: "grpc", Port: 80}
	http := corev1.ServicePort{Name: "http", Port: 8080}
	for _, c := range []struct {
		name     string
		services []*corev1.Service
		want     string
	}{
		{"nothing", nil, "[]"},
		{"the Configuration's first, then by name", []*corev1.Service{
			service("c-ffffff-svc", "10.0.0.3", grpc), service("c-0ab12f-svc", "10.0.0.2", http, grpc), service("c-svc", "10.0.0.1", grpc),
		}, "[{main 10.0.0.1:80} {c-0ab12f 10.0.0.2:80} {c-ffffff 10.0.0.3:80}]"},
		{"others' Services", []*corev1.Service{
			service("kubernetes", "10.0.0.1", grpc), service("c-d-0ab12f-svc", "10.0.0.2", grpc), service("xc-svc", "10.0.0.3", grpc),
			service("c-0ab12fx-svc", "10.0.0.4", grpc), service("c-0AB12F-svc", "10.0.0.5", grpc), service("c-0ab12f", "10.0.0.6", grpc),
		}, "[]"},
		{"no port for brokers", []*corev1.Service{service("c-svc", "10.0.0.1", http)}, "[]"},
		{"the only port has no name", []*corev1.Service{service("c-svc", "10.0.0.1", corev1.ServicePort{Port: 80})}, "[{main 10.0.0.1:80}]"},
		{"one of several has none", []*corev1.Service{service("c-svc", "10.0.0.1", corev1.ServicePort{Port: 80}, http)}, "[]"},
		{"headless, and IPv6", []*corev1.Service{service("c-svc", "None", grpc), service("c-0ab12f-svc", "fd00::1", grpc)},
			"[{main c-svc.ns.svc:80} {c-0ab12f [fd00::1]:80}]"},
	} {
		if got := fmt.Sprint(Of("c", c.services)); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
	var many []*corev1.Service
	for i := range 1000 {
		many = append(many, service(fmt.Sprintf("c-%06x-svc", i), "10.0.0.1", grpc))
	}
	if n := len(Of("c", many)); n != MaxInstances+1 {
		t.Errorf("%d feeds", n)
	}
	if n := len(Of("a.*", []*corev1.Service{service("abc-0ab12f-svc", "10.0.0.1", grpc)})); n != 0 {
		t.Error("the Configuration's name is a pattern")
	}
}
