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
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
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
	began := *seed
	if began == 0 {
		began = time.Now().UnixNano() & (1<<31 - 1)
	}
	for i := range int64(*histories) {
		t.Run(fmt.Sprint("seed=", began+i), func(t *testing.T) { tell(t, e, began+i) })
	}
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
}

func tell(t *testing.T, e *devcluster.EdgeNode, seed int64) {
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
	acts := []struct {
		name string
		do   func()
	}{
		{"cut the link", h.toggle}, {"cut the link", h.toggle}, {"cut the link", h.toggle}, {"kill edgecore", h.killEdgecore},
		{"kill the kubelet", h.killKubelet}, {"cut the power", h.power}, {"change the ConfigMap", h.editConfig},
		{"change the Secret", h.editSecret}, {"roll out", h.rollOut}, {"scale", h.scale}, {"delete a Pod", h.deletePod},
		{"restart the API server", h.restartAPIServer},
	}
	for step := range steps {
		act := acts[h.rng.IntN(len(acts))]
		name := act.name
		if name == "cut the link" && h.cut {
			name = "mend the link"
		}
		t.Logf("%s step %d: %s", time.Now().Format("15:04:05.000"), step+1, name)
		before := h.record.Powers
		act.do()
		h.look(before)
		select {
		case <-time.After(time.Duration(h.rng.Int64N(int64(3 * time.Second)))): // so that it goes on in any state
		case <-t.Context().Done():
		}
	}
	if h.cut {
		h.toggle()
	}
	testcluster.Eventually(t, settleTimeout, h.settled)
	testcluster.Eventually(t, settleTimeout, func(ctx context.Context) error {
		if err := h.read(ctx); err != nil {
			return err
		}
		if bad := history.Check(h.record); len(bad) > 0 {
			return errors.New(strings.Join(bad, "\n"))
		}
		return nil
	})
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

func (h *teller) toggle() {
	h.t.Helper()
	do := h.e.Cut
	if h.cut {
		do = h.e.Rejoin
	}
	if err := do(h.t.Context()); err != nil {
		h.t.Fatal(err)
	}
	h.cut = !h.cut
	if !h.cut || h.rng.IntN(2) == 0 {
		return
	}
	// Else it may be back before anybody has noticed.
	h.insist(func(context.Context) error {
		if s := status(h.t, h.e); !strings.Contains(s, "CUT") {
			return fmt.Errorf("edgecore status:\n%s", s)
		}
		return nil
	})
}

func (h *teller) killEdgecore() {
	h.t.Helper()
	kill(h.t, h.e)
	start(h.t, h.e)
}

func (h *teller) killKubelet() {
	h.t.Helper()
	var s struct {
		Kubelet struct{ PID int }
	}
	h.insist(func(ctx context.Context) error {
		text, err := h.ask(ctx, h.e.Program(devcluster.Edgecore), "status", "-o", "json", "--config", etc+"/config/edgecore.yaml")
		if err == nil {
			err = json.Unmarshal([]byte(text), &s)
		}
		if err == nil && s.Kubelet.PID == 0 {
			err = errors.New("the kubelet does not run")
		}
		return err
	})
	on(h.t, h.e, "sh", "-c", "kill -KILL "+strconv.Itoa(s.Kubelet.PID))
}

func (h *teller) power() {
	h.t.Helper()
	if err := h.e.PowerOff(h.t.Context()); err != nil {
		h.t.Fatal(err)
	}
	h.record.Powers++
	if err := h.e.PowerOn(h.t.Context()); err != nil {
		h.t.Fatal(err)
	}
	start(h.t, h.e)
}

func (h *teller) editConfig() { h.edit(&corev1.ConfigMap{}, `{"data":{"MESSAGE":"edit-%d"}}`) }
func (h *teller) editSecret() { h.edit(&corev1.Secret{}, `{"stringData":{"MESSAGE":"edit-%d"}}`) }
func (h *teller) rollOut() {
	h.edit(&appsv1.Deployment{}, `{"spec":{"template":{"metadata":{"annotations":{"edit":"%d"}}}}}`)
}
func (h *teller) scale() {
	h.edit(&appsv1.Deployment{}, `{"spec":{"replicas":`+strconv.Itoa(1+h.rng.IntN(2))+`},"metadata":{"annotations":{"edit":"%d"}}}`)
}

// edit patches the object of the workload that has this kind.
func (h *teller) edit(o client.Object, format string) {
	h.t.Helper()
	h.edits++
	o.SetName("edge")
	o.SetNamespace(h.ns)
	patch := client.RawPatch("application/merge-patch+json", fmt.Appendf(nil, format, h.edits))
	h.insist(func(ctx context.Context) error { return api.Patch(ctx, o, patch) })
}

// deletePod deletes one of the Deployment's Pods.
func (h *teller) deletePod() {
	h.t.Helper()
	which, force := h.rng.IntN(100), h.rng.IntN(2) == 0
	h.insist(func(ctx context.Context) error {
		pods, err := h.pods(ctx)
		if err != nil {
			return err
		}
		pods = slices.DeleteFunc(pods, func(p corev1.Pod) bool { return p.Name == "bare" || p.DeletionTimestamp != nil })
		if len(pods) == 0 {
			return nil // a rollout is under way
		}
		slices.SortFunc(pods, func(a, b corev1.Pod) int { return strings.Compare(a.Name, b.Name) })
		p := pods[which%len(pods)]
		var options []client.DeleteOption
		if force {
			options = append(options, client.GracePeriodSeconds(0))
		}
		if err := api.Delete(ctx, &p, options...); err != nil && !apierrors.IsNotFound(err) {
			return err
		}
		h.record.Deleted = append(h.record.Deleted, string(p.UID))
		return nil
	})
}

func (h *teller) restartAPIServer() {
	h.t.Helper()
	if err := bed.StopAPIServer(h.t.Context()); err != nil {
		h.t.Fatal(err)
	}
	if err := bed.StartAPIServer(h.t.Context()); err != nil {
		h.t.Fatal(err)
	}
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
			if s.State.Running != nil {
				one.Containers = append(one.Containers, s.ContainerID[strings.LastIndex(s.ContainerID, "/")+1:])
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
