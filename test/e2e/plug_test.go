//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/explain"
)

// From a plugged-in device to a running broker, and back.
func TestPlugToBroker(t *testing.T) {
	ns := namespace(t)
	before := zrams(t)
	c := udevConfiguration(ns, "e2e-plug", `SUBSYSTEM=="block", KERNEL=="zram*"`)
	c.Spec.BrokerProperties = map[string]string{"PURPOSE": "test"}
	c.Spec.BrokerSpec = brokerPod(t)
	c.Spec.InstanceServiceSpec, c.Spec.ConfigurationServiceSpec = service(t), service(t)
	create(t, c)
	eventually(t, waitTimeout, both(hasInstances(ns, c.Name, before), hasBrokers(ns, c.Name, before)))

	device := plug(t)
	eventually(t, waitTimeout, both(
		hasInstances(ns, c.Name, before+1),
		hasBrokers(ns, c.Name, before+1),
	))
	instance := instanceOf(t, ns, c.Name, device)
	if got := instance.Spec; got.Shared || got.Capacity != 1 || len(got.Nodes) != 1 ||
		got.CdiName != "akri.sh/"+c.Name+"="+v0.HashOf(instance.Name) ||
		got.BrokerProperties["UDEV_DEVNODE"] != "/dev/"+device || got.BrokerProperties["PURPOSE"] != "test" {
		t.Errorf("Instance %+v", got)
	}
	// The broker holds the only slot: nothing is left for the Configuration's
	// own resource.
	eventually(t, waitTimeout, both(offers(instance.Name, 1), offers(c.Name, 0)))
	eventually(t, waitTimeout, func(ctx context.Context) error {
		var i v0.Instance
		err := api.Get(ctx, client.ObjectKeyFromObject(instance), &i)
		if slot := v0.SlotID(i.Name, 0); err == nil && i.Spec.DeviceUsage[slot] != i.Spec.Nodes[0] {
			err = fmt.Errorf("deviceUsage %v, want %s held by %s", i.Spec.DeviceUsage, slot, i.Spec.Nodes[0])
		}
		return err
	})

	var broker corev1.Pod
	key := types.NamespacedName{Namespace: ns, Name: instance.Name + "-pod"}
	if err := api.Get(t.Context(), key, &broker); err != nil {
		t.Fatalf("the broker by its name: %v", err)
	}
	given := show(t, &broker)
	hash := strings.ToUpper(v0.HashOf(instance.Name))
	for name, want := range map[string]string{
		"UDEV_DEVNODE": "/dev/" + device, "UDEV_DEVNODE_" + hash: "/dev/" + device,
		"UDEV_DEVPATH": "/devices/virtual/block/" + device, "PURPOSE": "test", "PURPOSE_" + hash: "test",
	} {
		if got := given.Env[name]; got != want {
			t.Errorf("in the broker %s is %q, want %q", name, got, want)
		}
	}
	if err := given.opened("/dev/" + device); err != nil {
		t.Errorf("the broker and its device node: %v", err)
	}
	eventually(t, waitTimeout, isWell(explain.Subject{Kind: explain.Device, Namespace: ns, Name: "/dev/" + device}, "is held on node", "by Pod "+ns+"/"+broker.Name))
	for _, name := range []string{instance.Name + "-svc", c.Name + "-svc"} {
		eventually(t, waitTimeout, func(ctx context.Context) error {
			return api.Get(ctx, types.NamespacedName{Namespace: ns, Name: name}, &corev1.Service{})
		})
	}

	unplug(t, device)
	eventually(t, waitTimeout, both(
		hasInstances(ns, c.Name, before),
		hasBrokers(ns, c.Name, before),
		offers(instance.Name, 0),
		func(ctx context.Context) error {
			return gone(api.Get(ctx, types.NamespacedName{Namespace: ns, Name: instance.Name + "-svc"}, &corev1.Service{}))
		},
	))
	if before == 0 {
		eventually(t, waitTimeout, func(ctx context.Context) error {
			return gone(api.Get(ctx, types.NamespacedName{Namespace: ns, Name: c.Name + "-svc"}, &corev1.Service{}))
		})
	}
}

// instanceOf returns the Instance of a block device.
func instanceOf(t *testing.T, ns, configuration, device string) *v0.Instance {
	t.Helper()
	var found *v0.Instance
	eventually(t, waitTimeout, func(ctx context.Context) error {
		all, err := instancesOf(ctx, ns, configuration)
		for i := range all {
			if all[i].Annotations[v0.AnnotationDeviceID] == "/devices/virtual/block/"+device {
				found = &all[i]
			}
		}
		if err == nil && found == nil {
			err = fmt.Errorf("%s has no Instance", device)
		}
		return err
	})
	return found
}

// Simulated devices with two slots each: two units are two users.
func TestDebugEchoWithServices(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	c := echoConfiguration(ns, "e2e-echo", 2, "bar0", "bar1")
	c.Spec.BrokerSpec = brokerPod(t)
	c.Spec.InstanceServiceSpec, c.Spec.ConfigurationServiceSpec = service(t), service(t)
	create(t, c)
	eventually(t, waitTimeout, both(hasInstances(ns, c.Name, 2), hasBrokers(ns, c.Name, 2), hasServices(ns, 3)))
	pods, err := brokersOf(t.Context(), ns, c.Name)
	if err != nil {
		t.Fatal(err)
	}
	for i := range pods {
		if d := show(t, &pods[i]).Env["DEBUG_ECHO_DESCRIPTION"]; d != "bar0" && d != "bar1" {
			t.Errorf("broker %s has description %q", pods[i].Name, d)
		}
	}
	// The Configuration's Service has both brokers behind it.
	var svc corev1.Service
	if err := api.Get(t.Context(), types.NamespacedName{Namespace: ns, Name: c.Name + "-svc"}, &svc); err != nil {
		t.Fatal(err)
	}
	if svc.Spec.Selector[v0.LabelConfiguration] != c.Name {
		t.Errorf("selector %v", svc.Spec.Selector)
	}

	// A broker that is deleted is made again.
	old := pods[0].UID
	if err := api.Delete(t.Context(), &pods[0]); err != nil {
		t.Fatal(err)
	}
	eventually(t, waitTimeout, func(ctx context.Context) error {
		pods, err := brokersOf(ctx, ns, c.Name)
		for _, p := range pods {
			if p.UID == old {
				err = fmt.Errorf("broker %s is not gone yet", p.Name)
			}
		}
		if err != nil {
			return err
		}
		return hasBrokers(ns, c.Name, 2)(ctx)
	})

	if err := api.Delete(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	eventually(t, waitTimeout, both(hasInstances(ns, c.Name, 0), hasBrokers(ns, c.Name, 0), hasServices(ns, 0)))
}

func hasServices(ns string, n int) func(context.Context) error {
	return func(ctx context.Context) error {
		var list corev1.ServiceList
		err := api.List(ctx, &list, client.InNamespace(ns))
		if err == nil && len(list.Items) != n {
			err = fmt.Errorf("%d Services, want %d", len(list.Items), n)
		}
		return err
	}
}

// Two Configurations at once, with one handler and with two, do not interfere.
func TestTwoConfigurations(t *testing.T) {
	ns := namespace(t)
	device := plug(t)
	create(t, udevConfiguration(ns, "e2e-one", `KERNEL=="`+device+`"`))
	create(t, udevConfiguration(ns, "e2e-two", `SUBSYSTEM=="block", KERNEL=="`+device+`"`))
	create(t, echoConfiguration(ns, "e2e-three", 1, "a", "b"))
	eventually(t, waitTimeout, both(hasInstances(ns, "e2e-one", 1), hasInstances(ns, "e2e-two", 1), hasInstances(ns, "e2e-three", 2)))
	unplug(t, device)
	eventually(t, waitTimeout, both(hasInstances(ns, "e2e-one", 0), hasInstances(ns, "e2e-two", 0), hasInstances(ns, "e2e-three", 2)))
}

// A rule on hardware that is built in: whatever buses this machine has.
func TestBuiltInHardware(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	for _, c := range []struct{ name, rule, folder string }{
		{"e2e-mem", `SUBSYSTEM=="mem", KERNEL=="null|zero"`, ""},
		{"e2e-pci", `SUBSYSTEM=="pci"`, "/sys/bus/pci/devices"},
	} {
		want := 2
		if c.folder != "" {
			all, err := os.ReadDir(c.folder)
			if err != nil {
				t.Logf("no %s on this machine", c.folder)
				continue
			}
			want = len(all)
		}
		create(t, udevConfiguration(ns, c.name, c.rule))
		eventually(t, waitTimeout, hasInstances(ns, c.name, want))
	}
}

// The disk that the node itself uses is not given to anybody, and the status
// says so.
func TestNodesOwnDisk(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	var root unix.Stat_t
	if err := unix.Stat("/", &root); err != nil {
		t.Fatal(err)
	}
	disk, err := os.Readlink(fmt.Sprintf("/sys/dev/block/%d:%d", unix.Major(root.Dev), unix.Minor(root.Dev)))
	if err != nil {
		t.Skipf("/ is on no disk: %v", err)
	}
	name := filepath.Base(disk)
	create(t, udevConfiguration(ns, "e2e-disk", `SUBSYSTEM=="block", KERNEL=="`+name+`"`, `KERNEL=="kmsg"`))
	eventually(t, waitTimeout, status(ns, "e2e-disk", v0.DiscoveryActive, "left out, because the node itself needs it", "/dev/"+name+" (the node has it mounted at /)", "/dev/kmsg"))
	if err := hasInstances(ns, "e2e-disk", 0)(t.Context()); err != nil {
		t.Error(err)
	}
	eventually(t, waitTimeout, explained(explain.Subject{Kind: explain.Configuration, Namespace: ns, Name: "e2e-disk"}, explain.LeftOut,
		"/dev/"+name+" (the node has it mounted at /)", "udev.discovery.allowNodeDevices"))
}

// A container that asks for two units of a Configuration gets two devices.
func TestTwoDistinctDevices(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	c := create(t, echoConfiguration(ns, "e2e-pair", 3, "left", "right"))
	eventually(t, waitTimeout, offers(c.Name, 2))
	pod := create(t, &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "pair"},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{container(v0.ResourceName(c.Name), 2)}},
	})
	eventually(t, waitTimeout, func(ctx context.Context) error {
		if err := api.Get(ctx, client.ObjectKeyFromObject(pod), pod); err != nil {
			return err
		}
		if !isReady(pod) {
			return fmt.Errorf("pod is %s %s", pod.Status.Phase, pod.Status.Message)
		}
		return nil
	})
	given := show(t, pod)
	all, err := instancesOf(t.Context(), ns, c.Name)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, i := range all {
		seen[given.Env["DEBUG_ECHO_DESCRIPTION_"+strings.ToUpper(v0.HashOf(i.Name))]] = true
	}
	if !seen["left"] || !seen["right"] {
		t.Errorf("the container has %v, want both devices", given.Env)
	}
	if plain := given.Env["DEBUG_ECHO_DESCRIPTION"]; plain != "left" && plain != "right" {
		t.Errorf("DEBUG_ECHO_DESCRIPTION is %q", plain)
	}
	eventually(t, waitTimeout, func(ctx context.Context) error {
		all, err := instancesOf(ctx, ns, c.Name)
		for _, i := range all {
			held := 0
			for slot, holder := range i.Spec.DeviceUsage {
				if u, e := v0.ParseUsage(holder); e == nil && u.Door == v0.DoorConfiguration && u.VirtualDevice == slot {
					held++
				}
			}
			if held != 1 {
				err = fmt.Errorf("usage of %s is %v, want one slot taken through the Configuration", i.Name, i.Spec.DeviceUsage)
			}
		}
		return err
	})
	// The slots come back when the Pod has gone.
	if err := api.Delete(t.Context(), pod); err != nil {
		t.Fatal(err)
	}
	eventually(t, waitTimeout, func(ctx context.Context) error {
		all, err := instancesOf(ctx, ns, c.Name)
		for _, i := range all {
			if len(i.Spec.DeviceUsage) != 0 {
				err = fmt.Errorf("usage of %s is %v, want none", i.Name, i.Spec.DeviceUsage)
			}
		}
		return err
	})
}

// fetch reads a page of a Pod; the machine reaches the Pods of its cluster.
func fetch(ctx context.Context, p *corev1.Pod, path string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, waitTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.Status.PodIP+":8083"+path, nil)
	if err != nil {
		return nil, err
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", path, answer.Status)
	}
	return io.ReadAll(io.LimitReader(answer.Body, 1<<20))
}
