//go:build e2e

package edge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/akri-go/akri/internal/cloud/edgecontroller/autonomy"
	"github.com/akri-go/akri/test/testcluster"
)

// everyKind are the kinds whose Pods TestOptOut looks at.
var everyKind = []string{"Deployment", "StatefulSet", "DaemonSet", "Job"}

// TestOptOut cuts an edge node off. Its Pods stay, and those that the annotation
// opts out go as from any other node, although all have the same tolerations.
func TestOptOut(t *testing.T) {
	takesMinutes(t)
	e := joined(t)
	stay, leave := prefer(t, e.Name, ""), prefer(t, e.Name, "false")
	testcluster.Eventually(t, settleTimeout, testcluster.All(stay.run(everyKind...), leave.run(everyKind...), stay.unlimited))
	stay.note(t)
	leave.note(t)
	before := containers(t, e)

	if err := e.Cut(t.Context()); err != nil {
		t.Fatal(err)
	}
	undone(t, e.Rejoin)
	// The Pods of both have been noticed at the same time: when those are gone that
	// go, those that stay are to stay.
	testcluster.Eventually(t, settleTimeout, testcluster.All(nodeIs(e.Name, false),
		leave.replaced("Deployment"), // elsewhere, beside the one that may still run at the edge
		leave.replaced("Job"),        // so it may run twice
		leave.deleted("StatefulSet"), // and not replaced, for it may still run at the edge
		leave.untouched("DaemonSet"), // tolerates it by itself
	))
	for _, check := range []testcluster.Check{stay.untouched(everyKind...), leave.untouched("DaemonSet"), leave.alone("StatefulSet")} {
		if err := check(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if now := containers(t, e); now != before {
		t.Errorf("the containers at the edge were\n%s\nand are\n%s", before, now)
	}

	t.Log("while cut off, a Deployment that stays is made larger: its second Pod runs elsewhere")
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "deployment", Namespace: stay.ns}}
	if err := api.Patch(t.Context(), d, client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"replicas":2}}`))); err != nil {
		t.Fatal(err)
	}
	testcluster.Eventually(t, settleTimeout, testcluster.All(stay.untouched("Deployment"), stay.elsewhere("Deployment")))

	if err := e.Rejoin(t.Context()); err != nil {
		t.Fatal(err)
	}
	testcluster.Eventually(t, settleTimeout, testcluster.All(nodeIs(e.Name, true), stay.untouched(everyKind...),
		stay.run("StatefulSet", "DaemonSet", "Job"), leave.gone("Deployment", "Job", "StatefulSet"), leave.run(everyKind...), leave.untouched("DaemonSet")))
	after := containers(t, e)
	for _, id := range stay.ids {
		if !slices.Contains(lines(after), id) {
			t.Errorf("the container %.12s of a Pod that stays does not run any more", id)
		}
	}
}

// kinds is a Deployment, a StatefulSet, a DaemonSet and a Job, of one Pod each, in
// a namespace. They would rather run on one node, and may run on any.
type kinds struct {
	ns, node string
	uids     map[string]string // of the Pods by kind, when all was well
	ids      []string          // of their containers
}

// prefer makes them; autonomous is the annotation of the namespace, if any.
func prefer(t *testing.T, node, autonomous string) *kinds {
	t.Helper()
	k := &kinds{ns: bed.NewNamespace(t), node: node, uids: map[string]string{}}
	if autonomous != "" {
		ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: k.ns}}
		patch := fmt.Appendf(nil, `{"metadata":{"annotations":{%q:%q}}}`, autonomy.Annotation, autonomous)
		if err := api.Patch(t.Context(), ns, client.RawPatch("application/merge-patch+json", patch)); err != nil {
			t.Fatal(err)
		}
	}
	pods := func(kind string) corev1.PodTemplateSpec {
		at := func(taint string) corev1.Toleration {
			return corev1.Toleration{Key: taint, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: ptr.To[int64](1)}
		}
		term := corev1.NodeSelectorTerm{MatchExpressions: []corev1.NodeSelectorRequirement{
			{Key: corev1.LabelHostname, Operator: corev1.NodeSelectorOpIn, Values: []string{node}}}}
		affinity := &corev1.NodeAffinity{PreferredDuringSchedulingIgnoredDuringExecution: []corev1.PreferredSchedulingTerm{{Weight: 100, Preference: term}}}
		if kind == "DaemonSet" {
			affinity = &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{term}}}
		}
		spec := corev1.PodSpec{
			Affinity:                     &corev1.Affinity{NodeAffinity: affinity},
			Tolerations:                  []corev1.Toleration{at(corev1.TaintNodeNotReady), at(corev1.TaintNodeUnreachable)},
			AutomountServiceAccountToken: ptr.To(false), EnableServiceLinks: ptr.To(false),
			Containers: []corev1.Container{{Name: "show", Image: image,
				Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1m")}}}},
		}
		if kind == "Job" {
			spec.RestartPolicy = corev1.RestartPolicyOnFailure
		}
		return corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"kind": kind}}, Spec: spec}
	}
	selector := func(kind string) *metav1.LabelSelector {
		return &metav1.LabelSelector{MatchLabels: map[string]string{"kind": kind}}
	}
	meta := func(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Name: name, Namespace: k.ns} }
	for _, o := range []client.Object{
		&appsv1.Deployment{ObjectMeta: meta("deployment"), Spec: appsv1.DeploymentSpec{Selector: selector("Deployment"), Template: pods("Deployment")}},
		&appsv1.StatefulSet{ObjectMeta: meta("statefulset"), Spec: appsv1.StatefulSetSpec{Selector: selector("StatefulSet"), Template: pods("StatefulSet")}},
		&appsv1.DaemonSet{ObjectMeta: meta("daemonset"), Spec: appsv1.DaemonSetSpec{Selector: selector("DaemonSet"), Template: pods("DaemonSet")}},
		&batchv1.Job{ObjectMeta: meta("job"), Spec: batchv1.JobSpec{Template: pods("Job")}},
	} {
		if err := api.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	return k
}

// pods are those of a kind in the cluster.
func (k *kinds) pods(ctx context.Context, kind string) ([]corev1.Pod, error) {
	var list corev1.PodList
	err := api.List(ctx, &list, client.InNamespace(k.ns), client.MatchingLabels{"kind": kind})
	return list.Items, err
}

// of makes a check of the Pods of each kind.
func (k *kinds) of(kinds []string, what string, is func(kind string, pods []corev1.Pod) bool) testcluster.Check {
	return func(ctx context.Context) error {
		for _, kind := range kinds {
			pods, err := k.pods(ctx, kind)
			if err != nil {
				return err
			}
			if is(kind, pods) {
				continue
			}
			var all []error
			for _, p := range pods {
				all = append(all, fmt.Errorf("%s (%s) on %q: %s, ready: %v, deleted: %v", p.Name, p.UID, p.Spec.NodeName, p.Status.Phase, testcluster.IsReady(&p), p.DeletionTimestamp))
			}
			return fmt.Errorf("%s of %s is not %s: %w", kind, k.ns, what, errors.Join(all...))
		}
		return nil
	}
}

// first finds the Pod that was noted.
func (k *kinds) first(kind string, pods []corev1.Pod) *corev1.Pod {
	for i := range pods {
		if string(pods[i].UID) == k.uids[kind] {
			return &pods[i]
		}
	}
	return nil
}

// run checks that each has one Pod, which is ready; before any is noted, on the
// preferred node.
func (k *kinds) run(kinds ...string) testcluster.Check {
	return k.of(kinds, "running", func(_ string, pods []corev1.Pod) bool {
		return len(pods) == 1 && testcluster.IsReady(&pods[0]) && (len(k.uids) > 0 || pods[0].Spec.NodeName == k.node)
	})
}

// note remembers the Pods that there are.
func (k *kinds) note(t *testing.T) {
	t.Helper()
	for _, kind := range everyKind {
		pods, err := k.pods(t.Context(), kind)
		if err != nil || len(pods) != 1 {
			t.Fatalf("%d Pods of %s, %v", len(pods), kind, err)
		}
		k.uids[kind] = string(pods[0].UID)
		for _, s := range pods[0].Status.ContainerStatuses {
			k.ids = append(k.ids, containerID(s))
		}
	}
}

// unlimited checks that cloudcore has taken the limits off the Pods.
func (k *kinds) unlimited(ctx context.Context) error {
	return k.of(everyKind, "without a limit", func(_ string, pods []corev1.Pod) bool {
		for _, p := range pods {
			for _, t := range p.Spec.Tolerations {
				if (t.Key == corev1.TaintNodeNotReady || t.Key == corev1.TaintNodeUnreachable) && t.TolerationSeconds != nil {
					return false
				}
			}
		}
		return true
	})(ctx)
}

// untouched checks that the Pod that was noted is there and stays.
func (k *kinds) untouched(kinds ...string) testcluster.Check {
	return k.of(kinds, "untouched", func(kind string, pods []corev1.Pod) bool {
		p := k.first(kind, pods)
		return p != nil && p.DeletionTimestamp == nil && p.Status.Reason == "" && p.Spec.NodeName == k.node
	})
}

// deleted checks that the Pod that was noted is to go.
func (k *kinds) deleted(kinds ...string) testcluster.Check {
	return k.of(kinds, "deleted", func(kind string, pods []corev1.Pod) bool {
		p := k.first(kind, pods)
		return p != nil && p.DeletionTimestamp != nil
	})
}

// elsewhere checks that there is a Pod that runs on another node.
func (k *kinds) elsewhere(kinds ...string) testcluster.Check {
	return k.of(kinds, "running elsewhere", func(_ string, pods []corev1.Pod) bool {
		return slices.ContainsFunc(pods, func(p corev1.Pod) bool { return p.Spec.NodeName != k.node && testcluster.IsReady(&p) })
	})
}

// replaced checks that the Pod that was noted is to go, and another one runs
// elsewhere.
func (k *kinds) replaced(kinds ...string) testcluster.Check {
	return testcluster.All(k.deleted(kinds...), k.elsewhere(kinds...))
}

// alone checks that there is no other Pod than the one that was noted.
func (k *kinds) alone(kinds ...string) testcluster.Check {
	return k.of(kinds, "alone", func(kind string, pods []corev1.Pod) bool { return len(pods) == 1 && k.first(kind, pods) != nil })
}

// gone checks that the Pod that was noted is not there any more.
func (k *kinds) gone(kinds ...string) testcluster.Check {
	return k.of(kinds, "gone", func(kind string, pods []corev1.Pod) bool { return k.first(kind, pods) == nil })
}
