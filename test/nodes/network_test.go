//go:build e2e

package nodes

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/controller/status"
	onvif "github.com/akri-go/akri/internal/handlers/onvif/details"
	opcua "github.com/akri-go/akri/internal/handlers/opcua/details"
	"github.com/akri-go/akri/internal/handlers/opcua/opcuatest"
	"github.com/akri-go/akri/samples/simulators/camera/simulator"
	"github.com/akri-go/akri/test/testcluster"
)

// Cameras on a network that both nodes have come, move and go.
func TestCameras(t *testing.T) {
	t.Parallel()
	const name = "nodes-cameras"
	s := newCameraPlot(t, 3)
	var sim *simulator.Simulator
	there(t, s, func() (err error) {
		sim, err = simulator.New(simulator.Options{
			Addresses: s.addr[:2], Port: 80, NoRTSP: true, MaxDelay: 20 * time.Millisecond,
		})
		if err == nil {
			err = sim.Start()
		}
		return err
	})
	t.Cleanup(func() { there(t, s, sim.Close) })

	r := follow(t, bed.NewNamespace(t))
	c := testcluster.HandlerConfiguration(r.ns, name, onvif.Name, 1, "interval: 2s\ndiscoveryTimeoutSeconds: 1\n")
	c.Spec.BrokerSpec = testcluster.BrokerPod(t)
	create(t, c)
	r.await(waitTimeout, r.seen(name, 2, all()...), r.brokers(name, 1))
	cameras := sim.Cameras()
	instances := make([]string, len(cameras))
	for i, camera := range cameras {
		instances[i] = v0.InstanceName(name, v0.DeviceHash(camera.UUID, "", true))
		r.await(waitTimeout, r.online(instances[i], metav1.ConditionTrue))
		r.given(name, instances[i], map[string]string{
			onvif.PropertyURL: camera.XAddr(), onvif.PropertyUUID: camera.UUID, onvif.PropertySerial: camera.SerialNumber,
		})
	}

	// It is the same camera at another address, and the broker gets that.
	before := r.uids(name)
	there(t, s, func() error { return cameras[0].Move(s.addr[2]) })
	r.given(name, instances[0], map[string]string{onvif.PropertyURL: fmt.Sprintf("http://%s/onvif/device_service", s.addr[2])})
	r.await(waitTimeout, r.seen(name, 2, all()...), r.brokers(name, 1))
	after := r.uids(name)
	for _, instance := range instances {
		if key := "Instance " + instance; before[key] != after[key] {
			t.Errorf("%s is another object: %s, then %s", instance, before[key], after[key])
		}
	}

	// It says good-bye, and nobody waits for it: the grace period is an hour.
	change(t, c, `{"spec":{"discoveryHandler":{"offlineGracePeriod":"1h"}}}`)
	said := time.Now()
	there(t, s, cameras[0].Stop)
	r.await(waitTimeout, r.seen(name, 1, all()...), r.brokers(name, 1))
	t.Logf("gone %.1f s after its Bye", time.Since(said).Seconds())

	// The other is switched off: it may come back, so it is offline for as long as the
	// grace period says.
	there(t, s, cameras[1].Vanish)
	r.await(waitTimeout, r.online(instances[1], metav1.ConditionFalse), r.seen(name, 1, all()...))
	offline := time.Now()
	change(t, c, `{"spec":{"discoveryHandler":{"offlineGracePeriod":"1s"}}}`)
	r.await(waitTimeout, r.seen(name, 0), r.brokers(name, 0))
	t.Logf("gone %.1f s after it was offline", time.Since(offline).Seconds())
}

// A server that is asked by both nodes is one Instance.
func TestOPCUAServer(t *testing.T) {
	t.Parallel()
	const name = "nodes-opcua"
	dir := opcuatest.InstallNode(t)
	s := newPlot(t, 1)
	server := opcuatest.StartNode(t, dir, "ip", "netns", "exec", s.Name)
	server.Server("press", s.addr[0].String(), 4840, "")
	url := fmt.Sprintf("opc.tcp://%s:4840", s.addr[0])

	r := follow(t, bed.NewNamespace(t))
	c := testcluster.HandlerConfiguration(r.ns, name, opcua.Name, 1,
		"opcuaDiscoveryMethod: {standard: {discoveryUrls: ['"+url+"']}}\ninterval: 2s\n")
	c.Spec.BrokerSpec = testcluster.BrokerPod(t)
	c.Spec.DiscoveryHandler.OfflineGracePeriod = &metav1.Duration{Duration: time.Hour}
	create(t, c)
	r.await(waitTimeout, r.seen(name, 1, all()...), r.brokers(name, 1))
	var instance string
	r.read(func() { instance = r.instancesOf(name)[0].Name })
	r.await(waitTimeout, r.online(instance, metav1.ConditionTrue))
	r.given(name, instance, map[string]string{
		opcua.PropertyURL: url + "/press", opcua.PropertyURI: "urn:test:press", opcua.PropertyProduct: "urn:test:product",
	})
	server.Stop("press")
	r.await(waitTimeout, r.online(instance, metav1.ConditionFalse))
	change(t, c, `{"spec":{"discoveryHandler":{"offlineGracePeriod":"1s"}}}`)
	r.await(waitTimeout, r.seen(name, 0), r.brokers(name, 0))
}

// online complains unless an Instance's condition Online is as given.
func (r *record) online(instance string, want metav1.ConditionStatus) look {
	return func() error {
		i := r.instances[instance]
		if i == nil {
			return fmt.Errorf("there is no Instance %s", instance)
		}
		if c := meta.FindStatusCondition(i.Status.Conditions, status.Online); c == nil || c.Status != want {
			return fmt.Errorf("Instance %s: Online is %+v, want %s", instance, c, want)
		}
		return nil
	}
}

// given waits until an Instance and its one broker have these properties.
func (r *record) given(configuration, instance string, want map[string]string) {
	r.t.Helper()
	testcluster.Eventually(r.t, waitTimeout, func(context.Context) error {
		var i *v0.Instance
		var brokers []*corev1.Pod
		r.read(func() {
			i = r.instances[instance]
			brokers = slices.DeleteFunc(r.podsOf(configuration), func(p *corev1.Pod) bool {
				return p.Labels[v0.LabelInstance] != instance || !testcluster.IsReady(p)
			})
		})
		if i == nil || len(brokers) != 1 {
			return fmt.Errorf("Instance %s: there is one: %v; %d brokers are ready, want 1", instance, i != nil, len(brokers))
		}
		env, err := testcluster.EnvironmentOf("show", string(brokers[0].UID))
		if err != nil {
			return err
		}
		for key, value := range want {
			if i.Spec.BrokerProperties[key] != value || env[key] != value {
				return fmt.Errorf("%s of %s is %q, and its broker has %q, want %q", key, instance, i.Spec.BrokerProperties[key], env[key], value)
			}
		}
		return nil
	})
}
