//go:build e2e

package edge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/akri-go/akri/internal/devcluster"
	"github.com/akri-go/akri/internal/edge/metamanager/tokens"
	"github.com/akri-go/akri/test/testcluster"
)

const (
	image   = "ghcr.io/akri-go/akri/show-broker:v0.1.0"
	message = "MESSAGE" // a key of the ConfigMap and the Secret, and so a variable
)

// TestEdgeNode joins a machine as an edge node, runs workloads of each kind there,
// and takes away, one after another, the link, edgecore with its kubelet, and the
// power.
func TestEdgeNode(t *testing.T) {
	e := joined(t)
	w := deploy(t, bed.NewNamespace(t), e.Name)
	table := lay(t, e)
	ran := table.completed(done)
	testcluster.Eventually(t, settleTimeout, testcluster.All(w.runs, table.serves, table.reads("first"), ran))
	before := containers(t, e)
	if len(before) == 0 {
		t.Fatal("no containers on the edge node")
	}

	if err := e.Cut(t.Context()); err != nil {
		t.Fatal(err)
	}
	undone(t, e.Rejoin)
	testcluster.Eventually(t, testcluster.WaitTimeout, nodeIs(e.Name, false))

	if got := w.local(t, e); got != "first" {
		t.Errorf("the local API has the ConfigMap %q", got)
	}
	t.Log("cut off; edgecore and its kubelet are killed, and start again")
	kill(t, e)
	start(t, e)
	testcluster.Eventually(t, testcluster.WaitTimeout, func(context.Context) error {
		if s := status(t, e); !strings.Contains(s, w.ns) || !strings.Contains(s, "1/1 ready") || !strings.Contains(s, "CUT") {
			return fmt.Errorf("edgecore status:\n%s", s)
		}
		return nil
	})
	if after := containers(t, e); after != before {
		t.Errorf("the containers changed:\n%s\nnow:\n%s", before, after)
	}

	if err := table.serves(t.Context()); err != nil {
		t.Error(err)
	}
	t.Log("cut off; a container is ill")
	table.heal(t)
	table.cron(t) // its first Pod waits for the node

	t.Log("cut off; the power goes and comes")
	if err := e.PowerOff(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := e.PowerOn(t.Context()); err != nil {
		t.Fatal(err)
	}
	testcluster.Eventually(t, testcluster.WaitTimeout, func(context.Context) error {
		if now := containers(t, e); now == "" || now == before {
			return fmt.Errorf("containers: %q", now)
		}
		if of := issuers(t, e); !slices.Equal(of, []string{tokens.Issuer}) {
			return fmt.Errorf("the Pod's token is of %q", of)
		}
		return nil
	})
	testcluster.Eventually(t, settleTimeout, table.serves)
	table.endCourse(t)

	t.Log("in the cloud the ConfigMaps change; then the link is back")
	w.change(t, "second")
	table.change(t, "second")
	if got := w.local(t, e); got != "first" {
		t.Errorf("the local API has the ConfigMap %q while the link is cut", got)
	}
	if err := e.Rejoin(t.Context()); err != nil {
		t.Fatal(err)
	}
	testcluster.Eventually(t, testcluster.WaitTimeout, testcluster.All(nodeIs(e.Name, true), w.runs, w.restartedOnce,
		func(context.Context) error {
			if got := w.local(t, e); got != "second" {
				return fmt.Errorf("the local API has the ConfigMap %q", got)
			}
			return nil
		}))
	testcluster.Eventually(t, settleTimeout, testcluster.All(table.completed(done, course), func(context.Context) error {
		if table.noted(repeat, "ran") == 0 {
			return errors.New("the CronJob has not run")
		}
		return nil
	}))
	if n := table.noted(done, "ran"); n != 1 {
		t.Errorf("a Job that had ended before the power cut has run %d times", n)
	}
	gone := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: web, Namespace: table.ns}}
	if err := api.Delete(t.Context(), gone); err != nil {
		t.Fatal(err)
	}
	testcluster.Eventually(t, testcluster.WaitTimeout, func(context.Context) error {
		if n := table.noted(web, "preStop"); n != 2 {
			return fmt.Errorf("the preStop hooks of two Pods have run %d times", n)
		}
		return nil
	})
}

// nodeIs checks whether a node is ready.
func nodeIs(name string, ready bool) testcluster.Check {
	return func(ctx context.Context) error {
		n := &corev1.Node{}
		if err := api.Get(ctx, client.ObjectKey{Name: name}, n); err != nil {
			return err
		}
		for _, c := range n.Status.Conditions {
			if c.Type == corev1.NodeReady {
				if (c.Status == corev1.ConditionTrue) == ready {
					return nil
				}
				return fmt.Errorf("node %s: Ready is %s: %s", name, c.Status, c.Message)
			}
		}
		return fmt.Errorf("node %s says nothing of being ready", name)
	}
}

// workload is a Deployment on the edge node, with a ConfigMap, a Secret, and the
// token that every Pod has by default.
type workload struct{ ns, node string }

func deploy(t *testing.T, ns, node string) workload {
	t.Helper()
	w := workload{ns, node}
	meta := metav1.ObjectMeta{Name: "edge", Namespace: ns}
	labels := map[string]string{"app": "edge"}
	no := false
	from := []corev1.EnvFromSource{
		{Prefix: "CONFIG_", ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: meta.Name}}},
		{Prefix: "SECRET_", SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: meta.Name}}},
	}
	for _, o := range []client.Object{
		&corev1.ConfigMap{ObjectMeta: meta, Data: map[string]string{message: "first"}},
		&corev1.Secret{ObjectMeta: meta, Data: map[string][]byte{message: []byte("hidden")}},
		&appsv1.Deployment{ObjectMeta: meta, Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec: corev1.PodSpec{
					NodeSelector:       map[string]string{"kubernetes.io/hostname": node},
					EnableServiceLinks: &no,
					Containers:         []corev1.Container{{Name: "show", Image: image, EnvFrom: from}},
				}},
		}},
	} {
		if err := api.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

func (w workload) pods(ctx context.Context) ([]corev1.Pod, error) {
	var list corev1.PodList
	err := api.List(ctx, &list, client.InNamespace(w.ns))
	return list.Items, err
}

// runs checks that there is one Pod, on the edge node, and that it is ready.
func (w workload) runs(ctx context.Context) error {
	pods, err := w.pods(ctx)
	if err != nil {
		return err
	}
	if len(pods) != 1 {
		return fmt.Errorf("%d Pods, want 1", len(pods))
	}
	p := pods[0]
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue && p.Spec.NodeName == w.node {
			return nil
		}
	}
	return fmt.Errorf("Pod %s on %q: %s %s %+v", p.Name, p.Spec.NodeName, p.Status.Phase, p.Status.Message, p.Status.ContainerStatuses)
}

// restartedOnce checks that the cloud knows of the power cut.
func (w workload) restartedOnce(ctx context.Context) error {
	pods, err := w.pods(ctx)
	if err != nil {
		return err
	}
	for _, p := range pods {
		for _, s := range p.Status.ContainerStatuses {
			if s.RestartCount != 1 {
				return fmt.Errorf("container %s of %s: %d restarts, want 1", s.Name, p.Name, s.RestartCount)
			}
		}
	}
	return nil
}

func (w workload) change(t *testing.T, to string) {
	t.Helper()
	c := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "edge", Namespace: w.ns}}
	patch := client.RawPatch("application/merge-patch+json", fmt.Appendf(nil, `{"data":{%q:%q}}`, message, to))
	if err := api.Patch(t.Context(), c, patch); err != nil {
		t.Fatal(err)
	}
}

// local returns what the edge node's API has of the ConfigMap.
func (w workload) local(t *testing.T, e *devcluster.EdgeNode) string {
	t.Helper()
	return on(t, e, e.Binary("kubectl"), "--kubeconfig", etc+"/kubelet/kubelet.kubeconfig", "-n", w.ns,
		"get", "configmap", "edge", "-o", "jsonpath={.data."+message+"}")
}

// containerID is the id of a container as containerd has it.
func containerID(s corev1.ContainerStatus) string {
	return s.ContainerID[strings.LastIndex(s.ContainerID, "/")+1:]
}

func lines(text string) []string { return strings.Split(text, "\n") }

// containers are the ids of what runs on the edge node.
func containers(t *testing.T, e *devcluster.EdgeNode) string {
	t.Helper()
	ids := strings.Fields(on(t, e, e.Binary("ctr"), "-n", "k8s.io", "tasks", "ls", "-q"))
	slices.Sort(ids)
	return strings.Join(ids, "\n")
}

func status(_ *testing.T, e *devcluster.EdgeNode) string {
	out, err := e.EdgecoreStatus(context.Background())
	if err != nil {
		return err.Error()
	}
	return string(out)
}
