//go:build e2e

package edge

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/akri-go/akri/internal/devcluster"
	"github.com/akri-go/akri/test/edge/history"
	"github.com/akri-go/akri/test/testcluster"
)

var (
	histories = flag.Int("histories", 1, "how many random `histories` TestHistories makes")
	seed      = flag.Int64("seed", 0, "of the first history; 0 is another one each time")
)

const (
	steps = 10 // of a history
	// settleTimeout is how long both ends may take to be equal again: the kubelet
	// tries again after up to a minute what has failed often.
	settleTimeout = 10 * time.Minute
)

// TestHistories makes random histories of an edge node: its link is cut and comes
// back, programs die, the power goes, the API server restarts, and in the cloud
// somebody edits. In the end both ends have the same, nothing was restarted
// without need, no Pod evicted, and nothing deleted comes back.
func TestHistories(t *testing.T) {
	e := joined(t)
	began := firstSeed()
	for i := range int64(*histories) {
		t.Run(fmt.Sprint("seed=", began+i), func(t *testing.T) { tell(t, e, began+i) })
	}
}

// firstSeed is the flag's, or another one each time.
func firstSeed() int64 {
	if *seed != 0 {
		return *seed
	}
	return time.Now().UnixNano() & (1<<31 - 1)
}

// teller makes one history.
type teller struct {
	workload

	t      *testing.T
	e      *devcluster.EdgeNode
	rng    *rand.Rand
	record history.Record
	cut    bool
	edits  int
	step   int
}

// begin deploys a workload, of which nothing is cut yet.
func begin(t *testing.T, e *devcluster.EdgeNode, seed int64) *teller {
	t.Helper()
	h := &teller{
		t: t, e: e, rng: rand.New(rand.NewPCG(uint64(seed), 0)), workload: deploy(t, bed.NewNamespace(t), e.Name),
		record: history.Record{Born: map[string]int{}},
	}
	t.Logf("seed %d", seed)
	undone(t, e.Rejoin)
	undone(t, bed.StartAPIServer)
	h.bare()
	testcluster.Eventually(t, settleTimeout, h.settled)
	h.look(0)
	return h
}

func tell(t *testing.T, e *devcluster.EdgeNode, seed int64) {
	h := begin(t, e, seed)
	link := act{"cut the link", h.toggle}
	acts := append([]act{link, link, link}, h.acts()...)
	for range steps {
		a := acts[h.rng.IntN(len(acts))]
		if a.name == link.name && h.cut {
			a.name = "mend the link"
		}
		h.play(a, 3*time.Second)
	}
	if h.cut {
		h.toggle()
	}
	h.judge()
}

// play has something happen, and then nothing for a random time below pause, so
// that the next thing meets any state.
func (h *teller) play(a act, pause time.Duration) {
	h.t.Helper()
	h.step++
	h.t.Logf("%s step %d: %s", time.Now().Format("15:04:05.000"), h.step, a.name)
	before := h.record.Powers
	a.do()
	h.look(before)
	select {
	case <-time.After(time.Duration(h.rng.Int64N(int64(pause)))):
	case <-h.t.Context().Done():
	}
}

// judge waits until both ends have settled, and checks them.
func (h *teller) judge() {
	h.t.Helper()
	testcluster.Eventually(h.t, settleTimeout, h.settled)
	testcluster.Eventually(h.t, settleTimeout, h.right)
}

// right checks both ends.
func (h *teller) right(ctx context.Context) error {
	if err := h.read(ctx); err != nil {
		return err
	}
	if bad := history.Check(h.record); len(bad) > 0 {
		return errors.New(strings.Join(bad, "\n"))
	}
	return nil
}

// bare makes a Pod that no controller would make again.
func (h *teller) bare() {
	h.t.Helper()
	no, second := false, int64(1)
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "bare", Namespace: h.ns}, Spec: corev1.PodSpec{
		NodeName: h.node, AutomountServiceAccountToken: &no, EnableServiceLinks: &no, TerminationGracePeriodSeconds: &second,
		Containers: []corev1.Container{{Name: "show", Image: image}},
	}}
	if err := api.Create(h.t.Context(), p); err != nil {
		h.t.Fatal(err)
	}
	h.record.Kept = append(h.record.Kept, string(p.UID))
}

// insist repeats what the API server may not take while it restarts.
func (h *teller) insist(do func(context.Context) error) {
	h.t.Helper()
	testcluster.Eventually(h.t, testcluster.WaitTimeout, do)
}

// look notes which Pods there are, after a step before which the power had been
// cut so often.
func (h *teller) look(before int) {
	h.t.Helper()
	h.insist(func(ctx context.Context) error {
		pods, err := h.pods(ctx)
		for _, p := range pods {
			if _, seen := h.record.Born[string(p.UID)]; !seen {
				h.record.Born[string(p.UID)] = before
			}
		}
		return err
	})
}

// settled checks that the Deployment and the Pod beside it are as they should be.
func (h *teller) settled(ctx context.Context) error {
	if err := nodeIs(h.node, true)(ctx); err != nil {
		return err
	}
	d := &appsv1.Deployment{}
	if err := api.Get(ctx, client.ObjectKey{Namespace: h.ns, Name: "edge"}, d); err != nil {
		return err
	}
	want, s := *d.Spec.Replicas, d.Status
	if s.ObservedGeneration != d.Generation || s.Replicas != want || s.UpdatedReplicas != want || s.ReadyReplicas != want {
		return fmt.Errorf("the Deployment wants %d Pods of generation %d: %+v", want, d.Generation, s)
	}
	pods, err := h.pods(ctx)
	if err != nil {
		return err
	}
	if len(pods) != int(want)+1 {
		return fmt.Errorf("%d Pods, want %d", len(pods), want+1)
	}
	for _, p := range pods {
		if !testcluster.IsReady(&p) || p.Spec.NodeName != h.node {
			return fmt.Errorf("Pod %s on %q is not ready: %+v", p.Name, p.Spec.NodeName, p.Status)
		}
	}
	return nil
}

// ask runs a command on the edge node.
func (h *teller) ask(ctx context.Context, argv ...string) (string, error) {
	cmd, err := h.e.Command(ctx, argv...)
	if err != nil {
		return "", err
	}
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w", strings.Join(argv, " "), err)
	}
	return string(out), nil
}

// read records both ends.
func (h *teller) read(ctx context.Context) error {
	r := &h.record
	r.Cloud, r.Edge, r.Pods = map[string]string{}, map[string]string{}, nil
	for _, resource := range [][]string{
		{"pods", "--field-selector", "spec.nodeName=" + h.node}, {"configmaps", "--field-selector", "metadata.name=edge"},
		{"secrets", "--field-selector", "metadata.name=edge"},
	} {
		args := append([]string{"get", "--namespace", h.ns, "-o", "json", "--show-managed-fields"}, resource...)
		if resource[0] == "pods" { // all that the kubelet follows
			args = append([]string{"get", "--all-namespaces", "-o", "json", "--show-managed-fields"}, resource...)
		}
		near, err := h.ask(ctx, append([]string{h.e.Binary("kubectl"), "--kubeconfig", etc + "/kubelet/kubelet.kubeconfig"}, args...)...)
		if err != nil {
			return err
		}
		far, err := exec.CommandContext(ctx, bed.Binary("kubectl"), append([]string{"--kubeconfig", bed.Kubeconfig()}, args...)...).Output()
		if err != nil {
			return err
		}
		if err := errors.Join(items(r.Edge, resource[0], h.ns, near), items(r.Cloud, resource[0], h.ns, string(far))); err != nil {
			return err
		}
	}
	pods, err := h.pods(ctx)
	if err != nil {
		return err
	}
	for _, p := range pods {
		one := history.Pod{Name: p.Name, UID: string(p.UID), Reason: p.Status.Reason}
		for _, s := range p.Status.ContainerStatuses {
			one.Restarts += int(s.RestartCount)
			if s.LastTerminationState.Waiting != nil {
				one.NeverRan++
			}
			if s.State.Running != nil {
				one.Containers = append(one.Containers, containerID(s))
			}
		}
		r.Pods = append(r.Pods, one)
	}
	running, err := h.ask(ctx, h.e.Binary("ctr"), "-n", "k8s.io", "tasks", "ls", "-q")
	r.Running = strings.Fields(running)
	return err
}

// items adds the items of a list in a namespace.
func items(to map[string]string, resource, ns, text string) error {
	var list struct{ Items []json.RawMessage }
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		return fmt.Errorf("a list of %s: %w: %.200s", resource, err, text)
	}
	for _, raw := range list.Items {
		var o metav1.PartialObjectMetadata
		if err := json.Unmarshal(raw, &o); err != nil {
			return err
		}
		if o.Namespace == ns {
			to[resource+" "+o.Name] = string(raw)
		}
	}
	return nil
}
