//go:build e2e

package e2e

import (
	"context"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/test/testcluster"
)

func raw(t *testing.T, spec any) *runtime.RawExtension {
	t.Helper()
	return testcluster.Raw(t, spec)
}

func container(resourceName string, n int64) corev1.Container {
	return testcluster.Container(resourceName, n)
}

func brokerPod(t *testing.T) *v0.BrokerSpec {
	t.Helper()
	return testcluster.BrokerPod(t)
}

func service(t *testing.T) *runtime.RawExtension {
	t.Helper()
	return raw(t, corev1.ServiceSpec{Type: corev1.ServiceTypeClusterIP, Ports: []corev1.ServicePort{{
		Name: "http", Port: 80, TargetPort: intstr.FromInt(8083), Protocol: corev1.ProtocolTCP}}})
}

func udevConfiguration(ns, name string, rules ...string) *v0.Configuration {
	return testcluster.UdevConfiguration(ns, name, rules...)
}

func echoConfiguration(ns, name string, capacity int32, descriptions ...string) *v0.Configuration {
	return testcluster.EchoConfiguration(ns, name, capacity, descriptions...)
}

func create[T interface {
	metav1.Object
	runtime.Object
	DeepCopyObject() runtime.Object
}](t *testing.T, object T) T {
	t.Helper()
	testcluster.Insist(t, func(ctx context.Context) error { return api.Create(ctx, object) })
	return object
}

func plug(t *testing.T) string {
	t.Helper()
	return testcluster.Plug(t)
}

func unplug(t *testing.T, name string) {
	t.Helper()
	testcluster.Unplug(t, name)
}

func zrams(t *testing.T) int {
	t.Helper()
	return testcluster.Zrams(t)
}
