//go:build e2e

package edge

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/akri-go/akri/internal/devcluster"
	"github.com/akri-go/akri/test/testcluster"
)

// The controllers' objects of TestControllers, by name. There are two DaemonSets:
// one that replaces one Pod at a time, which is the default, and one that replaces
// all at once.
const (
	deployment, statefulSet, job = "deployment", "stateful-set", "job"
	oneByOne, allAtOnce          = "one-by-one", "all-at-once"
	revision                     = "revision" // a label of Pods
)

// TestControllers sees what becomes of the Pods of Kubernetes' controllers while
// their node is cut off, and the controllers' objects are changed.
// docs/edge/while-cut.md has it as a table.
func TestControllers(t *testing.T) {
	takesMinutes(t)
	e := joined(t)
	c := controllers{bed.NewNamespace(t), e.Name}
	c.make(t)
	testcluster.Eventually(t, testcluster.WaitTimeout, c.settled("1"))
	before := c.uids(t)

	if err := e.Cut(t.Context()); err != nil {
		t.Fatal(err)
	}
	undone(t, e.Rejoin)
	testcluster.Eventually(t, testcluster.WaitTimeout, testcluster.All(nodeIs(e.Name, false), c.unready))
	if now := c.uids(t); now != before {
		t.Errorf("the node is cut off, and its Pods were replaced:\n%s\nbefore:\n%s", now, before)
	}

	t.Log("cut off; all are changed")
	c.change(t, "2")
	testcluster.Eventually(t, testcluster.WaitTimeout, func(ctx context.Context) error {
		pods, err := c.pods(ctx)
		if err != nil {
			return err
		}
		for what, ok := range map[string]bool{
			"the Deployment's next Pod waits, and the present one stays": pods.has(deployment, "2", "", false) && pods.has(deployment, "1", e.Name, false),
			"the StatefulSet's Pod stays":                                pods.has(statefulSet, "1", e.Name, false),
			"the DaemonSet's Pod is to go, and the other node waits":     pods.has(oneByOne, "1", e.Name, true) && pods.has(oneByOne, "1", other, false),
			"the DaemonSet's Pod is to go, and the other node does not wait": pods.has(allAtOnce, "1", e.Name, true) &&
				pods.has(allAtOnce, "2", other, false),
		} {
			if !ok {
				return fmt.Errorf("not so: %s\n%s", what, pods)
			}
		}
		return c.observed(ctx)
	})

	t.Log("cut off; the Job's Pod ends")
	c.end(t, e)

	if err := e.Rejoin(t.Context()); err != nil {
		t.Fatal(err)
	}
	testcluster.Eventually(t, testcluster.WaitTimeout, testcluster.All(nodeIs(e.Name, true), c.settled("2"), c.complete))
}

// other is the node of the cluster that is no edge node.
var other = devcluster.NodeName(1)

// controllers are a Deployment, a StatefulSet and a Job whose Pod may run on the
// edge node alone, and two DaemonSets.
type controllers struct{ ns, node string }

func (c controllers) make(t *testing.T) {
	t.Helper()
	meta := func(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Name: name, Namespace: c.ns} }
	template := func(name string, here bool) corev1.PodTemplateSpec {
		no, grace := false, int64(1)
		p := corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": name, revision: "1"}},
			Spec: corev1.PodSpec{AutomountServiceAccountToken: &no, EnableServiceLinks: &no, TerminationGracePeriodSeconds: &grace,
				Containers: []corev1.Container{{Name: "show", Image: image}}},
		}
		if here {
			p.Spec.NodeSelector = map[string]string{corev1.LabelHostname: c.node}
		}
		return p
	}
	selector := func(name string) *metav1.LabelSelector {
		return &metav1.LabelSelector{MatchLabels: map[string]string{"app": name}}
	}
	// More than there are nodes. Of a percentage the controller takes the nodes that are
	// connected, and counts those that are not as unavailable: with half of the nodes
	// cut off, 100% would let none of the others be updated.
	many := intstr.FromInt32(10)
	once := batchv1.Job{ObjectMeta: meta(job), Spec: batchv1.JobSpec{Template: template(job, true)}}
	once.Spec.Template.Spec.RestartPolicy = corev1.RestartPolicyNever
	for _, o := range []client.Object{
		&appsv1.Deployment{ObjectMeta: meta(deployment), Spec: appsv1.DeploymentSpec{
			Selector: selector(deployment), Template: template(deployment, true)}},
		&appsv1.StatefulSet{ObjectMeta: meta(statefulSet), Spec: appsv1.StatefulSetSpec{
			Selector: selector(statefulSet), Template: template(statefulSet, true), ServiceName: statefulSet}},
		&appsv1.DaemonSet{ObjectMeta: meta(oneByOne), Spec: appsv1.DaemonSetSpec{
			Selector: selector(oneByOne), Template: template(oneByOne, false)}},
		&appsv1.DaemonSet{ObjectMeta: meta(allAtOnce), Spec: appsv1.DaemonSetSpec{
			Selector: selector(allAtOnce), Template: template(allAtOnce, false),
			UpdateStrategy: appsv1.DaemonSetUpdateStrategy{Type: appsv1.RollingUpdateDaemonSetStrategyType,
				RollingUpdate: &appsv1.RollingUpdateDaemonSet{MaxUnavailable: &many}}}},
		&once,
	} {
		if err := api.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
}

// rolled are the objects that change gives another revision.
func (c controllers) rolled() []client.Object {
	meta := func(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Name: name, Namespace: c.ns} }
	return []client.Object{
		&appsv1.Deployment{ObjectMeta: meta(deployment)}, &appsv1.StatefulSet{ObjectMeta: meta(statefulSet)},
		&appsv1.DaemonSet{ObjectMeta: meta(oneByOne)}, &appsv1.DaemonSet{ObjectMeta: meta(allAtOnce)},
	}
}

func (c controllers) change(t *testing.T, to string) {
	t.Helper()
	patch := client.RawPatch("application/merge-patch+json", fmt.Appendf(nil, `{"spec":{"template":{"metadata":{"labels":{%q:%q}}}}}`, revision, to))
	for _, o := range c.rolled() {
		if err := api.Patch(t.Context(), o, patch); err != nil {
			t.Fatal(err)
		}
	}
}

// observed checks that the controllers have seen the last change.
func (c controllers) observed(ctx context.Context) error {
	for _, o := range c.rolled() {
		if err := api.Get(ctx, client.ObjectKeyFromObject(o), o); err != nil {
			return err
		}
		var seen int64
		switch o := o.(type) {
		case *appsv1.Deployment:
			seen = o.Status.ObservedGeneration
		case *appsv1.StatefulSet:
			seen = o.Status.ObservedGeneration
		case *appsv1.DaemonSet:
			seen = o.Status.ObservedGeneration
		}
		if seen != o.GetGeneration() {
			return fmt.Errorf("the controller of %s has not seen its change", o.GetName())
		}
	}
	return nil
}

// pods are those of the controllers.
type pods []corev1.Pod

func (c controllers) pods(ctx context.Context) (pods, error) {
	var list corev1.PodList
	err := api.List(ctx, &list, client.InNamespace(c.ns))
	return list.Items, err
}

// has tells whether there is exactly one such Pod. deleting is whether it is to go,
// and a Pod that waits is on the node "".
func (all pods) has(app, rev, node string, deleting bool) bool {
	n := 0
	for _, p := range all {
		if p.Labels["app"] == app && p.Labels[revision] == rev && p.Spec.NodeName == node && (p.DeletionTimestamp != nil) == deleting {
			n++
		}
	}
	return n == 1
}

func (all pods) String() string {
	var b strings.Builder
	for _, p := range all {
		fmt.Fprintf(&b, "%s revision %s on %q: %s, ready %v, to go %v\n", p.Name, p.Labels[revision], p.Spec.NodeName, p.Status.Phase, testcluster.IsReady(&p), p.DeletionTimestamp != nil)
	}
	return b.String()
}

// uids are the identities of the Pods on the edge node.
func (c controllers) uids(t *testing.T) string {
	t.Helper()
	all, err := c.pods(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, p := range all {
		if p.Spec.NodeName == c.node {
			out = append(out, fmt.Sprintf("%s %s %v", p.Name, p.UID, p.DeletionTimestamp))
		}
	}
	slices.Sort(out)
	return strings.Join(out, "\n")
}

// settled checks that there are the Pods of a revision, all ready, and no others. The
// Job's has started.
func (c controllers) settled(rev string) testcluster.Check {
	return func(ctx context.Context) error {
		all, err := c.pods(ctx)
		if err != nil {
			return err
		}
		for _, p := range all {
			done := p.Labels["app"] == job && p.Status.Phase != corev1.PodPending
			if !done && (p.Labels[revision] != rev || !testcluster.IsReady(&p) || p.DeletionTimestamp != nil) {
				return fmt.Errorf("not all are of revision %s and ready:\n%s", rev, all)
			}
		}
		if len(all) != 7 { // each DaemonSet has two
			return fmt.Errorf("%d Pods, want 7:\n%s", len(all), all)
		}
		return nil
	}
}

// unready checks that the cluster takes none of the edge node's Pods for ready.
func (c controllers) unready(ctx context.Context) error {
	all, err := c.pods(ctx)
	if err != nil {
		return err
	}
	for _, p := range all {
		if p.Spec.NodeName == c.node && testcluster.IsReady(&p) {
			return fmt.Errorf("%s is ready:\n%s", p.Name, all)
		}
	}
	return nil
}

// end ends the container of the Job on the edge node, which then has done its work.
func (c controllers) end(t *testing.T, e *devcluster.EdgeNode) {
	t.Helper()
	all, err := c.pods(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range all {
		if p.Labels["app"] == job {
			id := strings.TrimPrefix(p.Status.ContainerStatuses[0].ContainerID, "containerd://")
			on(t, e, e.Binary("ctr"), "-n", "k8s.io", "tasks", "kill", "-s", "SIGTERM", id)
			return
		}
	}
	t.Fatalf("the Job has no Pod:\n%s", all)
}

// complete checks that the cluster knows that the Job has done its work, with one
// Pod.
func (c controllers) complete(ctx context.Context) error {
	j := &batchv1.Job{}
	if err := api.Get(ctx, client.ObjectKey{Namespace: c.ns, Name: job}, j); err != nil {
		return err
	}
	if j.Status.Succeeded != 1 || j.Status.Failed != 0 || j.Status.CompletionTime == nil {
		return fmt.Errorf("the Job: %+v", j.Status)
	}
	return nil
}
