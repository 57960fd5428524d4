//go:build vm

package vm

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/browsertest"
	"github.com/akri-go/akri/internal/eventually"
	"github.com/akri-go/akri/internal/freeport"
	"github.com/akri-go/akri/internal/testlog"
	"github.com/akri-go/akri/test/vm/guest"
)

// A guest is a node of a cluster: its camera becomes an Instance and has a broker,
// whose pictures a page on this machine shows; sticks come and go.
func TestNode(t *testing.T) {
	c := startCluster(t)
	spec, err := json.Marshal(corev1.PodSpec{
		HostNetwork: true, // the guest has no other
		Containers: []corev1.Container{{
			Name: "broker", Image: brokerImage,
			Env:       []corev1.EnvVar{{Name: "RESOLUTION_WIDTH", Value: "320"}, {Name: "RESOLUTION_HEIGHT", Value: "180"}},
			Resources: corev1.ResourceRequirements{Limits: corev1.ResourceList{"{{PLACEHOLDER}}": resource.MustParse("1")}},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	c.configuration("camera", `udevRules: ['KERNEL=="video[0-9]*"']`, &v0.BrokerSpec{BrokerPodSpec: &runtime.RawExtension{Raw: spec}})
	c.configuration("stick", serialPorts+"\nidentifyBy: serial\ndescribe: hardware", nil)

	b := connectBroker(t, c.node)
	page := openPage(t, c.node.Forward(t, "tcp", "127.0.0.1:8083"))
	for round := range 2 {
		if i := c.instances("camera", 1)[0]; i.Spec.BrokerProperties["UDEV_DEVNODE"] != "/dev/video0" {
			t.Errorf("the camera's properties are %v", i.Spec.BrokerProperties)
		}
		c.brokers(1)
		b.frame(after(b.frame(anything)))
		pageMoves(page)
		if round > 0 {
			break
		}
		c.node.Run(t, "/init", "write", vividDriver+"unbind", "vivid.0")
		c.instances("camera", 0)
		c.brokers(0)
		page.Wait(`document.querySelector("li[data-id=camera1]").classList.contains("lost")`)
		c.node.Run(t, "/init", "write", vividDriver+"bind", "vivid.0")
	}

	c.node.Plug(t, "stick", guest.SerialAdapter, "1", map[string]string{"serial": "FT0AKRI"})
	i := c.instances("stick", 1)[0]
	for name, want := range map[string]string{"UDEV_DEVNODE": "/dev/ttyUSB0", "UDEV_SERIAL": "FT0AKRI", "UDEV_VENDOR_ID": "0403"} {
		if got := i.Spec.BrokerProperties[name]; got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if len(i.Spec.Nodes) != 1 || i.Spec.Nodes[0] != nodeName {
		t.Errorf("nodes %v", i.Spec.Nodes)
	}
	c.node.Unplug(t, "stick")
	c.instances("stick", 0)
	page.Quiet()
}

// openPage opens the page of the video streaming application in a browser, with one
// camera, whose broker has an address of this machine.
func openPage(t *testing.T, broker string) *browsertest.Browser {
	t.Helper()
	address := freeport.Address(t)
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	onThisMachine(t, guest.Build(t, "samples/apps/video-streaming")["video-streaming"],
		[]string{"CAMERA_COUNT=1", "CAMERA1_SOURCE_SVC=" + broker, "PORT=" + port})
	eventually.Succeeds(t, nodePatience, func(ctx context.Context) error {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err != nil {
			return err
		}
		return conn.Close()
	})
	return browsertest.Open(t, "http://"+address)
}

// pageMoves waits until the page shows three pictures of the camera that differ.
func pageMoves(page *browsertest.Browser) {
	const canvas = "li[data-id=camera1] canvas"
	page.Wait(`document.getElementById("sum").textContent === "1 camera, 1 live"`)
	page.Wait(fmt.Sprintf("document.querySelector(%q).width === 320", canvas))
	for range 2 {
		browsertest.Ask[any](page, fmt.Sprintf("window.shown = document.querySelector(%q).toDataURL(); null", canvas))
		page.Wait(fmt.Sprintf("document.querySelector(%q).toDataURL() !== window.shown", canvas))
	}
}

func (c *cluster) configuration(name, details string, broker *v0.BrokerSpec) {
	c.Helper()
	err := c.api.Create(c.Context(), &v0.Configuration{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: metav1.NamespaceDefault},
		Spec:       v0.ConfigurationSpec{DiscoveryHandler: v0.DiscoveryHandlerInfo{Name: "udev", DiscoveryDetails: details}, Capacity: 1, BrokerSpec: broker},
	})
	if err != nil {
		c.Fatal(err)
	}
}

// instances waits until a Configuration has n Instances.
func (c *cluster) instances(configuration string, n int) (found []v0.Instance) {
	c.Helper()
	eventually.Succeeds(c, nodePatience, func(ctx context.Context) error {
		var list v0.InstanceList
		if err := c.api.List(ctx, &list, client.InNamespace(metav1.NamespaceDefault)); err != nil {
			return err
		}
		found = nil
		for _, i := range list.Items {
			if i.Spec.ConfigurationName == configuration {
				found = append(found, i)
			}
		}
		if len(found) != n {
			return fmt.Errorf("%s has %d Instances, want %d", configuration, len(found), n)
		}
		return nil
	})
	return found
}

// brokers waits until there are so many Pods, and they run.
func (c *cluster) brokers(wantPods int) {
	c.Helper()
	eventually.Succeeds(c, nodePatience, func(ctx context.Context) error {
		var pods corev1.PodList
		if err := c.api.List(ctx, &pods, client.InNamespace(metav1.NamespaceDefault)); err != nil {
			return err
		}
		if n := len(pods.Items); n != wantPods {
			return fmt.Errorf("there are %d brokers, want %d", n, wantPods)
		}
		for _, p := range pods.Items {
			if p.Status.Phase != corev1.PodRunning || p.DeletionTimestamp != nil {
				return fmt.Errorf("%s is %s: %v", p.Name, p.Status.Phase, p.Status)
			}
		}
		return nil
	})
}

// onThisMachine runs a program beside the test, with more environment than the
// test's. If the test fails, its log is shown.
func onThisMachine(t *testing.T, program string, env []string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Env = append(os.Environ(), env...)
	var said testlog.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Wait() // the test's end has killed it
		if t.Failed() {
			t.Logf("%s says:\n%s", program, end(said.String()))
		}
	})
}

// end is what a log ends with.
func end(text string) string {
	const most = 8 << 10
	return strings.TrimSpace(text[max(0, len(text)-most):])
}
