//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	v0 "github.com/akri-go/akri/api/v0"
)

// raw turns a spec into what a Configuration holds.
func raw(t *testing.T, spec any) *runtime.RawExtension {
	t.Helper()
	b, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	return &runtime.RawExtension{Raw: b}
}

// container asks for n units of a resource and shows what it is given.
func container(resourceName string, n int64) corev1.Container {
	units := corev1.ResourceList{corev1.ResourceName(resourceName): *resource.NewQuantity(n, resource.DecimalSI)}
	return corev1.Container{
		Name:            "broker",
		Image:           brokerImage,
		ImagePullPolicy: corev1.PullNever,
		Ports:           []corev1.ContainerPort{{Name: "http", ContainerPort: 8083}},
		ReadinessProbe: &corev1.Probe{
			ProbeHandler:  corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/healthz", Port: intstr.FromInt(8083)}},
			PeriodSeconds: 1,
		},
		Resources: corev1.ResourceRequirements{Requests: units, Limits: units},
		// Device nodes belong to root; nothing else of root's is needed.
		SecurityContext: &corev1.SecurityContext{
			RunAsUser: ptr.To[int64](0), AllowPrivilegeEscalation: ptr.To(false),
			Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		},
	}
}

func brokerPod(t *testing.T) *v0.BrokerSpec {
	t.Helper()
	return &v0.BrokerSpec{BrokerPodSpec: raw(t, corev1.PodSpec{Containers: []corev1.Container{container(v0.Placeholder, 1)}})}
}

func service(t *testing.T) *runtime.RawExtension {
	t.Helper()
	return raw(t, corev1.ServiceSpec{Type: corev1.ServiceTypeClusterIP, Ports: []corev1.ServicePort{{
		Name: "http", Port: 80, TargetPort: intstr.FromInt(8083), Protocol: corev1.ProtocolTCP}}})
}

// udevConfiguration asks for the devices of rules.
func udevConfiguration(ns, name string, rules ...string) *v0.Configuration {
	var details strings.Builder
	details.WriteString("udevRules:\n")
	for _, r := range rules {
		fmt.Fprintf(&details, "- '%s'\n", r)
	}
	return &v0.Configuration{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name},
		Spec: v0.ConfigurationSpec{Capacity: 1, DiscoveryHandler: v0.DiscoveryHandlerInfo{
			Name: "udev", DiscoveryDetails: details.String()}},
	}
}

// echoConfiguration asks for made-up devices.
func echoConfiguration(ns, name string, capacity int32, descriptions ...string) *v0.Configuration {
	return &v0.Configuration{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name},
		Spec: v0.ConfigurationSpec{Capacity: capacity, DiscoveryHandler: v0.DiscoveryHandlerInfo{
			Name: "debugEcho", DiscoveryDetails: "descriptions: [" + strings.Join(descriptions, ", ") + "]"}},
	}
}

func create[T interface {
	metav1.Object
	runtime.Object
	DeepCopyObject() runtime.Object
}](t *testing.T, object T) T {
	t.Helper()
	if err := api.Create(t.Context(), object); err != nil {
		t.Fatalf("make %T %s: %v", object, object.GetName(), err)
	}
	return object
}

// plug adds a zram block device, gone after the test, and returns its name.
func plug(t *testing.T) string {
	t.Helper()
	n, err := os.ReadFile("/sys/class/zram-control/hot_add")
	if err != nil {
		t.Fatalf("plug a zram device: %v", err)
	}
	name := "zram" + strings.TrimSpace(string(n))
	t.Cleanup(func() {
		if _, err := os.Stat(filepath.Join("/sys/block", name)); err == nil {
			unplug(t, name)
		}
	})
	return name
}

func unplug(t *testing.T, name string) {
	t.Helper()
	err := os.WriteFile("/sys/class/zram-control/hot_remove", []byte(strings.TrimPrefix(name, "zram")), 0)
	if err != nil {
		t.Errorf("unplug %s: %v", name, err)
	}
}

// zrams returns how many zram devices the machine has.
func zrams(t *testing.T) int {
	t.Helper()
	all, err := filepath.Glob("/sys/block/zram*")
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

func gone(err error) error {
	if err == nil {
		return fmt.Errorf("it is still there")
	}
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
