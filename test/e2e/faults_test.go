//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	podresources "k8s.io/kubelet/pkg/apis/podresources/v1"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/devcluster"
)

// uids returns the Instances and brokers of a Configuration, name to UID, which
// shows whether a device was lost and found again.
func uids(ctx context.Context, ns, configuration string) (map[string]types.UID, error) {
	all := map[string]types.UID{}
	instances, err := instancesOf(ctx, ns, configuration)
	if err != nil {
		return nil, err
	}
	for _, i := range instances {
		all["instance "+i.Name] = i.UID
	}
	pods, err := brokersOf(ctx, ns, configuration)
	for _, p := range pods {
		all["pod "+p.Name] = p.UID
	}
	return all, err
}

// unchanged complains if anything from before is gone or was replaced.
func unchanged(ns, configuration string, before map[string]types.UID) func(context.Context) error {
	return func(ctx context.Context) error {
		now, err := uids(ctx, ns, configuration)
		if err == nil && !maps.Equal(before, now) {
			err = fmt.Errorf("before %v, now %v", before, now)
		}
		return err
	}
}

// running makes a Configuration with brokers and waits for them.
func running(t *testing.T, c *v0.Configuration, n int) map[string]types.UID {
	t.Helper()
	c.Spec.BrokerSpec = brokerPod(t)
	create(t, c)
	eventually(t, waitTimeout, both(hasInstances(c.Namespace, c.Name, n), hasBrokers(c.Namespace, c.Name, n)))
	before, err := uids(t.Context(), c.Namespace, c.Name)
	if err != nil {
		t.Fatal(err)
	}
	return before
}

func TestAgentKilled(t *testing.T) {
	ns := namespace(t)
	device := plug(t)
	real := udevConfiguration(ns, "e2e-killed", `KERNEL=="`+device+`"`)
	echo := echoConfiguration(ns, "e2e-killed-echo", 2, "a", "b")
	before, beforeEcho := running(t, real, 1), running(t, echo, 2)
	for range 2 {
		restarts := agentRestarts(t)
		kill(t, "akri-agent")
		throughout(t, 5*time.Second, both(unchanged(ns, real.Name, before), unchanged(ns, echo.Name, beforeEcho)))
		eventually(t, waitTimeout, func(context.Context) error {
			if agentRestarts(t) == restarts {
				return fmt.Errorf("the agent has not been restarted")
			}
			return nil
		})
	}
	eventually(t, waitTimeout, both(offers(instanceOf(t, ns, real.Name, device).Name, 1), offers(echo.Name, 2)))
	throughout(t, 5*time.Second, both(unchanged(ns, real.Name, before), unchanged(ns, echo.Name, beforeEcho)))
	unplug(t, device)
	eventually(t, waitTimeout, both(hasInstances(ns, real.Name, 0), hasBrokers(ns, real.Name, 0)))
}

func agentRestarts(t *testing.T) int32 {
	t.Helper()
	var pods corev1.PodList
	if err := api.List(t.Context(), &pods, client.InNamespace(releaseNamespace), client.MatchingLabels{"app.kubernetes.io/name": "akri-agent"}); err != nil {
		t.Fatal(err)
	}
	var n int32
	for _, p := range pods.Items {
		for _, c := range p.Status.ContainerStatuses {
			n += c.RestartCount
		}
	}
	return n
}

// kill ends the processes of a component with SIGKILL.
func kill(t *testing.T, component string) {
	t.Helper()
	var pods corev1.PodList
	if err := api.List(t.Context(), &pods, client.InNamespace(releaseNamespace), client.MatchingLabels{"app.kubernetes.io/name": component}); err != nil {
		t.Fatal(err)
	}
	var uids []string
	for _, p := range pods.Items {
		uids = append(uids, string(p.UID))
	}
	pids := processesOf(t, "akri", uids...)
	if len(pids) == 0 {
		t.Fatalf("no process of %s is running", component)
	}
	for _, pid := range pids {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatalf("kill %s: %v", component, err)
		}
	}
}

func TestKubeletRestarted(t *testing.T) {
	ns := namespace(t)
	echo := echoConfiguration(ns, "e2e-kubelet", 2, "a", "b")
	before := running(t, echo, 2)
	kubelet, err := cluster.NodePath(1, "/var/lib/kubelet")
	if err != nil {
		t.Fatal(err)
	}
	if err := cluster.RestartKubelet(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	restarted := time.Now()
	// The Node's status alone may be the old kubelet's.
	eventually(t, waitTimeout, both(kubeletHas(kubelet, v0.ResourceName(echo.Name)), offers(echo.Name, 2)))
	t.Logf("the resources are back after %v", time.Since(restarted).Round(time.Millisecond))
	throughout(t, 5*time.Second, unchanged(ns, echo.Name, before))
	// The kubelet that came back really has the plugins: it admits a new Pod.
	pod := create(t, &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "after"},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{container(v0.ResourceName(echo.Name), 1)}},
	})
	eventually(t, waitTimeout, func(ctx context.Context) error {
		err := api.Get(ctx, client.ObjectKeyFromObject(pod), pod)
		if err == nil && !isReady(pod) {
			err = fmt.Errorf("pod is %s %s %s", pod.Status.Phase, pod.Status.Reason, pod.Status.Message)
		}
		return err
	})
}

func TestControllerDownWhileDevicesComeAndGo(t *testing.T) {
	ns := namespace(t)
	device := plug(t)
	c := udevConfiguration(ns, "e2e-absent", `KERNEL=="zram*"`)
	others := zrams(t) - 1
	running(t, c, others+1)
	var controller appsv1.Deployment
	key := types.NamespacedName{Namespace: releaseNamespace, Name: "akri-controller-deployment"}
	if err := api.Get(t.Context(), key, &controller); err != nil {
		t.Fatal(err)
	}
	replicas := *controller.Spec.Replicas
	scale(t, &controller, 0)
	restored := false
	defer func() {
		if !restored {
			scale(t, &controller, replicas)
		}
	}()
	unplug(t, device)
	came := []string{plug(t), plug(t)}
	eventually(t, waitTimeout, func(ctx context.Context) error {
		all, err := instancesOf(ctx, ns, c.Name)
		ids := map[string]bool{}
		for _, i := range all {
			ids[filepath.Base(i.Annotations[v0.AnnotationDeviceID])] = true
		}
		if err == nil && (len(all) != others+2 || !ids[came[0]] || !ids[came[1]]) {
			err = fmt.Errorf("Instances of %v, want those of %v", ids, came)
		}
		return err
	})
	scale(t, &controller, replicas)
	restored = true
	eventually(t, waitTimeout, hasBrokers(ns, c.Name, others+2))
}

func scale(t *testing.T, d *appsv1.Deployment, n int32) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), waitTimeout)
	defer cancel()
	patch := fmt.Appendf(nil, `{"spec":{"replicas":%d}}`, n)
	if err := api.Patch(ctx, d, client.RawPatch(types.MergePatchType, patch)); err != nil {
		t.Fatalf("scale %s: %v", d.Name, err)
	}
	err := wait.PollUntilContextCancel(ctx, 200*time.Millisecond, true, func(ctx context.Context) (bool, error) {
		var pods corev1.PodList
		err := api.List(ctx, &pods, client.InNamespace(d.Namespace), client.MatchingLabels(d.Spec.Selector.MatchLabels))
		return err == nil && len(pods.Items) == int(n), nil
	})
	if err != nil {
		t.Fatalf("%s did not get %d replicas: %v", d.Name, n, err)
	}
}

// The API server is away for longer than a controller tries to keep its Lease,
// so the controller starts again: what runs goes on, devices that come are
// offered to the kubelet, and afterwards brokers of new devices are made.
func TestAPIServerStopped(t *testing.T) {
	ns := namespace(t)
	device := plug(t)
	others := zrams(t) - 1
	real := udevConfiguration(ns, "e2e-cut-off", `KERNEL=="zram*"`)
	echo := echoConfiguration(ns, "e2e-cut-off-echo", 2, "a", "b")
	before, beforeEcho := running(t, real, others+1), running(t, echo, 2)
	pods, err := brokersOf(t.Context(), ns, echo.Name)
	if err != nil {
		t.Fatal(err)
	}
	kubelet, err := cluster.NodePath(1, "/var/lib/kubelet")
	if err != nil {
		t.Fatal(err)
	}
	if err := cluster.StopAPIServer(t.Context()); err != nil {
		t.Fatal(err)
	}
	stopped := time.Now()
	started := false
	defer func() {
		if !started {
			if err := cluster.StartAPIServer(context.Background()); err != nil {
				t.Errorf("start the API server again: %v", err)
			}
		}
	}()
	plugged := plug(t)
	throughout(t, *outage-time.Since(stopped), func(ctx context.Context) error {
		for i := range pods {
			if _, err := fetch(ctx, &pods[i], "/healthz"); err != nil {
				return fmt.Errorf("broker %s does not run on: %w", pods[i].Name, err)
			}
		}
		return nil
	})
	// The kubelet is offered what was plugged meanwhile: its device plugins work.
	late := v0.InstanceName(real.Name, v0.DeviceHash("/devices/virtual/block/"+plugged, devcluster.NodeName(1), false))
	eventually(t, waitTimeout, kubeletHas(kubelet, v0.ResourceName(late)))
	if err := cluster.StartAPIServer(t.Context()); err != nil {
		t.Fatal(err)
	}
	started = true
	// Kubernetes' own parts look again after a minute at the latest.
	eventually(t, 4*time.Minute, both(hasInstances(ns, real.Name, others+2), hasBrokers(ns, real.Name, others+2)))
	instanceOf(t, ns, real.Name, plugged)
	if err := unchanged(ns, echo.Name, beforeEcho)(t.Context()); err != nil {
		t.Error(err)
	}
	now, err := uids(t.Context(), ns, real.Name)
	if err != nil {
		t.Fatal(err)
	}
	for name, uid := range before {
		if now[name] != uid {
			t.Errorf("%s was deleted or replaced", name)
		}
	}
	unplug(t, device)
	eventually(t, waitTimeout, hasInstances(ns, real.Name, others+1))
}

// kubeletHas complains unless the kubelet knows devices of a resource.
func kubeletHas(folder, resource string) func(context.Context) error {
	return func(ctx context.Context) error {
		conn, err := grpc.NewClient("unix://"+filepath.Join(folder, "pod-resources", "kubelet.sock"),
			grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithAuthority("localhost"))
		if err != nil {
			return err
		}
		defer conn.Close()
		all, err := podresources.NewPodResourcesListerClient(conn).GetAllocatableResources(ctx, &podresources.AllocatableResourcesRequest{})
		if err != nil {
			return fmt.Errorf("ask the kubelet: %w", err)
		}
		for _, d := range all.Devices {
			if d.ResourceName == resource && len(d.DeviceIds) > 0 {
				return nil
			}
		}
		return fmt.Errorf("the kubelet has no %s", resource)
	}
}
