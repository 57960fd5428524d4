//go:build e2e

package edge

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/akri-go/akri/test/testcluster"
)

var cutFor = flag.Duration("cut-for", 0, "how long TestLongCut cuts the link, 10m for instance; 0 leaves out the `tests` that take minutes")

// takesMinutes skips a test that is not for every run.
func takesMinutes(t *testing.T) {
	t.Helper()
	if *cutFor == 0 {
		t.Skip("it takes minutes: make test-long LONG=edge-cut")
	}
}

// longPause is the longest time between two things that happen during a long cut.
const longPause = 20 * time.Second

// TestLongCut cuts an edge node off for minutes. Meanwhile each thing happens that
// happens in histories, at least once: at the node and in the cluster, whose API
// server restarts and whose etcd forgets what has been. In the end both ends have
// the same.
func TestLongCut(t *testing.T) {
	takesMinutes(t)
	e := joined(t)
	h := begin(t, e, firstSeed())
	table := lay(t, e)
	testcluster.Eventually(t, settleTimeout, testcluster.All(table.serves, table.reads("first")))

	h.toggle()
	end := time.Now().Add(*cutFor)
	acts := h.acts()
	h.rng.Shuffle(len(acts), func(i, j int) { acts[i], acts[j] = acts[j], acts[i] })
	for _, a := range acts {
		h.play(a, longPause)
	}
	table.change(t, "second")
	for time.Now().Before(end) {
		h.play(acts[h.rng.IntN(len(acts))], longPause)
	}
	testcluster.Eventually(t, settleTimeout, testcluster.All(table.serves, table.reads("first")))
	if s := status(t, e); !strings.Contains(s, "CUT") {
		t.Errorf("edgecore status:\n%s", s)
	}
	table.endCourse(t)

	h.toggle()
	h.judge()
	testcluster.Eventually(t, settleTimeout, testcluster.All(table.reads("second"), table.completed(done, course)))
	if n := table.noted(done, "ran"); n != 1 {
		t.Errorf("a Job that had ended before the link was cut has run %d times", n)
	}
}

// TestEtcdRestored gives the cluster back what it had some time ago: objects have
// older versions, some are there again, others have never been. The edge node ends
// up with what the cluster has, and what did not change runs on.
func TestEtcdRestored(t *testing.T) {
	takesMinutes(t)
	e := joined(t)
	t.Run("connected", func(t *testing.T) { restored(t, begin(t, e, 1), false) })
	t.Run("cut", func(t *testing.T) { restored(t, begin(t, e, 1), true) })
}

func restored(t *testing.T, h *teller, cut bool) {
	others := bed.NewNamespace(t)
	h.simple(others, "older")
	testcluster.Eventually(t, settleTimeout, h.simpleRuns(others, "older"))
	testcluster.Eventually(t, settleTimeout, h.right)
	kept := h.running()
	backup := filepath.Join(t.TempDir(), "etcd")
	if err := bed.BackupEtcd(t.Context(), backup); err != nil {
		t.Fatal(err)
	}

	t.Log("after the backup")
	h.editConfig()
	h.editSecret()
	if err := api.Delete(t.Context(), &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "older", Namespace: others}}); err != nil {
		t.Fatal(err)
	}
	h.simple(others, "younger")
	testcluster.Eventually(t, settleTimeout, testcluster.All(h.simpleRuns(others, "younger"), h.simpleGone(others, "older"), func(context.Context) error {
		if got := h.local(t, h.e); got != "edit-1" {
			return fmt.Errorf("the local API has the ConfigMap %q", got)
		}
		return nil
	}))
	if cut {
		h.toggle()
	}
	t.Log("etcd is restored")
	if err := bed.RestoreEtcd(t.Context(), backup); err != nil {
		t.Fatal(err)
	}
	if cut {
		h.toggle()
	}
	testcluster.Eventually(t, settleTimeout, testcluster.All(h.settled, h.simpleRuns(others, "older"), h.simpleGone(others, "younger"), func(context.Context) error {
		if got := h.local(t, h.e); got != "first" {
			return fmt.Errorf("the local API has the ConfigMap %q", got)
		}
		return nil
	}))
	h.judge()
	if now := h.running(); !slices.Equal(now, kept) {
		t.Errorf("the containers of Pods that did not change were\n%q\nand are\n%q", kept, now)
	}
}

// running are the containers of the history's own Pods, as the cluster has them.
func (h *teller) running() []string {
	h.t.Helper()
	pods, err := h.pods(h.t.Context())
	if err != nil {
		h.t.Fatal(err)
	}
	var ids []string
	for _, p := range pods {
		for _, s := range p.Status.ContainerStatuses {
			ids = append(ids, containerID(s))
		}
	}
	slices.Sort(ids)
	return ids
}

// simple makes a Pod in another namespace.
func (h *teller) simple(ns, name string) {
	h.t.Helper()
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: ns}, Spec: corev1.PodSpec{
		NodeName: h.node, AutomountServiceAccountToken: ptr.To(false), EnableServiceLinks: ptr.To(false), TerminationGracePeriodSeconds: ptr.To[int64](1),
		Containers: []corev1.Container{{Name: "show", Image: image}},
	}}
	if err := api.Create(h.t.Context(), p); err != nil {
		h.t.Fatal(err)
	}
}

// simpleRuns checks that the cluster has the Pod, and its container runs.
func (h *teller) simpleRuns(ns, name string) testcluster.Check {
	return func(ctx context.Context) error {
		p := &corev1.Pod{}
		if err := api.Get(ctx, client.ObjectKey{Namespace: ns, Name: name}, p); err != nil {
			return err
		}
		if !testcluster.IsReady(p) {
			return fmt.Errorf("Pod %s is not ready: %+v", name, p.Status)
		}
		running, err := h.ask(ctx, h.e.Binary("ctr"), "-n", "k8s.io", "tasks", "ls", "-q")
		if err != nil {
			return err
		}
		for _, s := range p.Status.ContainerStatuses {
			if !slices.Contains(strings.Fields(running), containerID(s)) {
				return fmt.Errorf("the container %.12s of Pod %s does not run", containerID(s), name)
			}
		}
		return nil
	}
}

// simpleGone checks that neither end has the Pod.
func (h *teller) simpleGone(ns, name string) testcluster.Check {
	return func(ctx context.Context) error {
		if err := api.Get(ctx, client.ObjectKey{Namespace: ns, Name: name}, &corev1.Pod{}); !apierrors.IsNotFound(err) {
			return fmt.Errorf("the cluster still has Pod %s: %v", name, err)
		}
		text, err := h.ask(ctx, h.e.Binary("kubectl"), "--kubeconfig", etc+"/kubelet/kubelet.kubeconfig", "get", "pods", "--all-namespaces",
			"--field-selector", "spec.nodeName="+h.node, "-o", "json")
		if err != nil {
			return err
		}
		var list corev1.PodList
		if err := json.Unmarshal([]byte(text), &list); err != nil {
			return err
		}
		if slices.ContainsFunc(list.Items, func(p corev1.Pod) bool { return p.Namespace == ns && p.Name == name }) {
			return errors.New("the edge node still has Pod " + name)
		}
		return nil
	}
}
