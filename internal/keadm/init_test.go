package keadm

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/rest"

	"github.com/akri-go/akri/internal/cloud/edgecontroller/kube"
)

func TestWayTo(t *testing.T) {
	node := func(edge bool, kind corev1.NodeAddressType, address string) corev1.Node {
		n := corev1.Node{Status: corev1.NodeStatus{Addresses: []corev1.NodeAddress{{Type: corev1.NodeHostName, Address: "n"}, {Type: kind, Address: address}}}}
		if edge {
			n.Labels = map[string]string{edgeLabel: ""}
		}
		return n
	}
	nodes := []corev1.Node{node(true, corev1.NodeExternalIP, "10.0.0.9"), node(false, corev1.NodeInternalIP, "10.0.0.1"), node(false, corev1.NodeInternalIP, "10.0.0.2")}
	public := append(nodes, node(false, corev1.NodeExternalIP, "192.0.2.7"))
	for _, c := range []struct {
		name      string
		kind      corev1.ServiceType
		ingress   corev1.LoadBalancerIngress
		advertise string
		nodes     []corev1.Node
		want      string
	}{
		{"a load balancer's address", "LoadBalancer", corev1.LoadBalancerIngress{IP: "192.0.2.1"}, "", nodes, "keadm join --cloudcore-ipport 192.0.2.1:10000 --edgenode-name shop --token T"},
		{"a load balancer's name", "LoadBalancer", corev1.LoadBalancerIngress{Hostname: "lb.example.org"}, "", nodes, "keadm join --cloudcore-ipport lb.example.org:10000 --edgenode-name shop --token T"},
		{"K3s, whose load balancer is on edge nodes too", "LoadBalancer", corev1.LoadBalancerIngress{IP: "10.0.0.9"}, "", nodes, "keadm join --cloudcore-ipport 10.0.0.77:10000 --edgenode-name shop --token T"},
		{"another name for it", "LoadBalancer", corev1.LoadBalancerIngress{IP: "10.1.1.1"}, "cloud.example.org", nodes, "keadm join --cloudcore-ipport cloud.example.org:10000 --edgenode-name shop --token T"},
		{"nobody makes load balancers", "LoadBalancer", corev1.LoadBalancerIngress{}, "", nodes, "keadm join --cloudcore-ipport 10.0.0.1:30000 --certport 30002 --edgenode-name shop --token T"},
		{"nobody makes them, and an address from outside", "LoadBalancer", corev1.LoadBalancerIngress{}, "2001:db8::1", nodes, "keadm join --cloudcore-ipport [2001:db8::1]:30000 --certport 30002 --edgenode-name shop --token T"},
		{"ports of nodes", "NodePort", corev1.LoadBalancerIngress{}, "", public, "keadm join --cloudcore-ipport 192.0.2.7:30000 --certport 30002 --edgenode-name shop --token T"},
		{"a way of one's own", "ClusterIP", corev1.LoadBalancerIngress{}, "cloud.example.org", nodes, "keadm join --cloudcore-ipport cloud.example.org:10000 --edgenode-name shop --token T"},
		{"no way", "ClusterIP", corev1.LoadBalancerIngress{}, "", nodes, "--advertise-address"},
		{"no nodes", "NodePort", corev1.LoadBalancerIngress{}, "", nodes[:1], "--advertise-address"},
	} {
		s := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "cloudcore", Namespace: "kubeedge", Annotations: map[string]string{}}, Spec: corev1.ServiceSpec{
			Type: c.kind, Ports: []corev1.ServicePort{{Name: "hub", Port: 10000, NodePort: 30000}, {Name: "join", Port: 10002, NodePort: 30002}}}}
		if c.ingress.IP+c.ingress.Hostname != "" {
			s.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{c.ingress, {IP: "10.0.0.77"}}
		}
		if c.advertise != "" {
			s.Annotations[advertised] = c.advertise
		}
		way, err := wayTo(s, c.nodes)
		got := way.Command("shop", "T")
		if err != nil {
			got = err.Error()
		}
		if got != c.want && (err == nil || !strings.Contains(got, c.want)) {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// A cluster without load balancers is waited for, and then reached otherwise. The
// API server is client-go's pretended one: what is tested is who waits for what.
func TestFindWay(t *testing.T) {
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n"}, Status: corev1.NodeStatus{Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "10.0.0.1"}}}}
	service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: Release, Namespace: "kubeedge"}, Spec: corev1.ServiceSpec{
		Type: corev1.ServiceTypeLoadBalancer, Ports: []corev1.ServicePort{{Name: "hub", Port: 10000, NodePort: 30000}, {Name: "join", Port: 10002, NodePort: 30002}}}}
	way, err := findWay(t.Context(), fake.NewClientset(node, service), "kubeedge", 20*time.Millisecond)
	if err != nil || way != (Way{"10.0.0.1", 30000, 30002}) {
		t.Errorf("%+v, %v", way, err)
	}
	if _, err := findWay(t.Context(), fake.NewClientset(node), "kubeedge", time.Minute); err == nil || !strings.Contains(err.Error(), "keadm init installs it") {
		t.Errorf("no cloudcore: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := FindWay(ctx, fake.NewClientset(node, service), "kubeedge"); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
}

// A cluster has one cloudcore; who installs another hears where it is.
func TestElsewhere(t *testing.T) {
	role := func(namespace string) *rbacv1.ClusterRole {
		r := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: Release}}
		if namespace != "" {
			r.Annotations = map[string]string{"meta.helm.sh/release-namespace": namespace}
		}
		return r
	}
	for _, client := range []*fake.Clientset{fake.NewClientset(), fake.NewClientset(role("")), fake.NewClientset(role("mine"))} {
		if err := elsewhere(t.Context(), client, "mine"); err != nil {
			t.Error(err)
		}
	}
	if err := elsewhere(t.Context(), fake.NewClientset(role("other")), "mine"); err == nil || !strings.Contains(err.Error(), "--namespace other") {
		t.Errorf("another namespace: %v", err)
	}
}

// What keadm init says of a cluster that limits nobody, as MicroK8s is at first.
func TestTellLimits(t *testing.T) {
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, `{"status":{"allowed":true}}`)
	}))
	client, err := kube.New(&rest.Config{Host: api.URL})
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	tellLimits(t.Context(), client, &out)
	for _, want := range []string{"WARNING", "microk8s enable rbac", "NodeRestriction"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in %q", want, out.String())
		}
	}
	api.Close()
	out.Reset()
	if tellLimits(t.Context(), client, &out); !strings.Contains(out.String(), "it is not known") {
		t.Errorf("nobody answers: %q", out.String())
	}
}

func TestInitValues(t *testing.T) {
	i, err := InitOptions{Advertise: "cloud.example.org", Set: []string{"service.type=NodePort", "service.annotations.a=b"}}.install()
	if err != nil || i.Chart == nil {
		t.Fatal(err)
	}
	service := i.Values["service"].(map[string]any)
	annotations := service["annotations"].(map[string]any)
	if service["type"] != "NodePort" || annotations["a"] != "b" || annotations[advertised] != "cloud.example.org" {
		t.Errorf("%v", i.Values)
	}
	if _, err := (InitOptions{Set: []string{"x"}}).install(); err == nil {
		t.Error("a value without a key was accepted")
	}
}
