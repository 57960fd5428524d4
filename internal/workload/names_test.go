package workload

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/validation"
)

func TestPodName(t *testing.T) {
	long := strings.Repeat("n", 250)
	for _, tt := range []struct {
		instance, node string
		shared         bool
		want           string
	}{
		{"cam-4294ea", "node-a", false, "cam-4294ea-pod"},
		{"cam-4294ea", "node-a", true, "node-a-cam-4294ea-pod"},
		{"my.cam-4294ea", "node.example.com", true, "node.example.com-my-cam-4294ea-pod"},
		{"cam-4294ea", long, true, ""},
	} {
		got := PodName(tt.instance, tt.node, tt.shared)
		if tt.node != long && got != tt.want {
			t.Errorf("PodName(%q, %q) = %q, want %q", tt.instance, tt.node, got, tt.want)
		}
		if errs := validation.IsDNS1123Subdomain(got); len(errs) > 0 {
			t.Errorf("%q is not a Pod name: %v", got, errs)
		}
		if errs := validation.IsValidLabelValue(got); len(errs) > 0 {
			t.Errorf("%q is not a label value: %v", got, errs)
		}
	}
	if PodName("cam-000001", long, true) == PodName("cam-000002", long, true) {
		t.Error("two Instances share a shortened Pod name")
	}
}

func TestServiceName(t *testing.T) {
	for _, owner := range []string{"cam", "cam.x-4294ea", strings.Repeat("a", 63), strings.Repeat("b.", 30)} {
		if errs := validation.IsDNS1035Label(ServiceName(owner)); len(errs) > 0 {
			t.Errorf("ServiceName(%q) = %q is not a Service name: %v", owner, ServiceName(owner), errs)
		}
	}
}
