package testcluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	v0 "github.com/akri-go/akri/api/v0"
)

// BrokerImage is the name of the sample broker that `make images` builds.
func BrokerImage() string {
	var chart struct {
		AppVersion string `json:"appVersion"`
	}
	b, err := os.ReadFile(filepath.Join("..", "..", "charts", "akri", "Chart.yaml"))
	if err == nil {
		err = yaml.Unmarshal(b, &chart)
	}
	if err != nil {
		chart.AppVersion = err.Error() // shows in the name of the image that is not found
	}
	return "ghcr.io/akri-go/akri/show-broker:v" + chart.AppVersion
}

// Raw encodes a spec as a Configuration holds it.
func Raw(t *testing.T, spec any) *runtime.RawExtension {
	t.Helper()
	b, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	return &runtime.RawExtension{Raw: b}
}

// Container asks for n units of a resource and shows what it is given.
func Container(resourceName string, n int64) corev1.Container {
	units := corev1.ResourceList{corev1.ResourceName(resourceName): *resource.NewQuantity(n, resource.DecimalSI)}
	return corev1.Container{
		Name:            "broker",
		Image:           BrokerImage(),
		ImagePullPolicy: corev1.PullNever,
		Ports:           []corev1.ContainerPort{{Name: "http", ContainerPort: 8083}},
		ReadinessProbe: &corev1.Probe{
			ProbeHandler:  corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/healthz", Port: intstr.FromInt(8083)}},
			PeriodSeconds: 1,
			// A machine that stalls for some seconds is not the broker's fault.
			TimeoutSeconds: 5, FailureThreshold: 12,
		},
		Resources: corev1.ResourceRequirements{Requests: units, Limits: units},
		// It says no user: the image's can open device nodes without anything else of
		// root's.
		SecurityContext: &corev1.SecurityContext{
			AllowPrivilegeEscalation: ptr.To(false),
			Capabilities:             &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		},
	}
}

// BrokerPod is a broker with one slot.
func BrokerPod(t *testing.T) *v0.BrokerSpec {
	t.Helper()
	return &v0.BrokerSpec{BrokerPodSpec: Raw(t, corev1.PodSpec{Containers: []corev1.Container{Container(v0.Placeholder, 1)}})}
}

// UdevConfiguration makes a Configuration with udev rules.
func UdevConfiguration(ns, name string, rules ...string) *v0.Configuration {
	var details strings.Builder
	details.WriteString("udevRules:\n")
	for _, r := range rules {
		fmt.Fprintf(&details, "- '%s'\n", r)
	}
	return HandlerConfiguration(ns, name, "udev", 1, details.String())
}

// EchoConfiguration makes a Configuration with simulated devices.
func EchoConfiguration(ns, name string, capacity int32, descriptions ...string) *v0.Configuration {
	return HandlerConfiguration(ns, name, "debugEcho", capacity, "descriptions: ["+strings.Join(descriptions, ", ")+"]")
}

// HandlerConfiguration makes a Configuration for any handler.
func HandlerConfiguration(ns, name, handler string, capacity int32, details string) *v0.Configuration {
	return &v0.Configuration{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name},
		Spec: v0.ConfigurationSpec{Capacity: capacity, DiscoveryHandler: v0.DiscoveryHandlerInfo{
			Name: handler, DiscoveryDetails: details}},
	}
}

// Instances returns the Instances of a Configuration, by name.
func (b *Bed) Instances(ctx context.Context, ns, configuration string) ([]v0.Instance, error) {
	var list v0.InstanceList
	if err := b.API.List(ctx, &list, client.InNamespace(ns)); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(list.Items, func(i v0.Instance) bool { return i.Spec.ConfigurationName != configuration }), nil
}

// Brokers returns the Pods of a Configuration's brokers.
func (b *Bed) Brokers(ctx context.Context, ns, configuration string) ([]corev1.Pod, error) {
	var list corev1.PodList
	err := b.API.List(ctx, &list, client.InNamespace(ns), client.MatchingLabels{v0.LabelConfiguration: configuration})
	return list.Items, err
}

// IsReady reports whether a Pod is ready and not being deleted.
func IsReady(p *corev1.Pod) bool {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady && p.DeletionTimestamp == nil {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// Plug adds a zram block device, gone after the test, and returns its name.
func Plug(t *testing.T) string {
	t.Helper()
	n, err := os.ReadFile("/sys/class/zram-control/hot_add")
	if err != nil {
		t.Fatalf("plug a zram device: %v", err)
	}
	name := "zram" + strings.TrimSpace(string(n))
	t.Cleanup(func() {
		if _, err := os.Stat(filepath.Join("/sys/block", name)); err == nil {
			Unplug(t, name)
		}
	})
	return name
}

// Unplug removes a zram block device. A broker that looks at it may hold it
// open for a moment.
func Unplug(t *testing.T, name string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), WaitTimeout) // also from a cleanup
	defer cancel()
	for {
		err := os.WriteFile("/sys/class/zram-control/hot_remove", []byte(strings.TrimPrefix(name, "zram")), 0)
		if err == nil {
			return
		}
		select {
		case <-time.After(50 * time.Millisecond):
			if errors.Is(err, syscall.EBUSY) {
				continue
			}
		case <-ctx.Done():
		}
		t.Errorf("unplug %s: %v", name, err)
		return
	}
}

// Zrams returns how many zram devices the machine has.
func Zrams(t *testing.T) int {
	t.Helper()
	all, err := filepath.Glob("/sys/block/zram*")
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}
