package charts

import (
	"maps"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/utils/ptr"
)

func TestDisruptions(t *testing.T) {
	const key = "PodDisruptionBudget/akri-controller"
	on := "controller.podDisruptionBudget.enabled=true"
	pdb := decode[policyv1.PodDisruptionBudget](t, render(t, on), key)
	labels := render(t).deployment(t, "akri-controller-deployment").Spec.Template.Labels
	for k, v := range pdb.Spec.Selector.MatchLabels {
		if labels[k] != v {
			t.Errorf("the budget selects %s=%s, the controller has %q", k, v, labels[k])
		}
	}
	for _, set := range [][]string{nil, {on, "controller.replicas=1"}} {
		if _, there := render(t, set...).objects[key]; there {
			t.Errorf("%v: there is a budget, and no drain of the only node would end", set)
		}
	}
}

func TestController(t *testing.T) {
	d := render(t).deployment(t, "akri-controller-deployment")
	pod := d.Spec.Template.Spec
	confined(t, pod, pod.Containers[0])
	if *d.Spec.Replicas != 2 || len(pod.Volumes) != 0 || !*pod.Containers[0].SecurityContext.RunAsNonRoot {
		t.Errorf("replicas %d, volumes %v", *d.Spec.Replicas, pod.Volumes)
	}
	if len(pod.Tolerations) != 2+2 {
		t.Errorf("allowOnControlPlane: %v", pod.Tolerations)
	}
	if got := nodeTerms(pod); !slices.Equal([]string{"!node-role.kubernetes.io/edge"}, got) {
		t.Errorf("it may run on nodes %q", got)
	}
	pod = render(t, "controller.onlyOnControlPlane=true", "controller.tolerations[0].key=k", "controller.priorityClassName=high").deployment(t, "akri-controller-deployment").Spec.Template.Spec
	if len(pod.Tolerations) != 3+2 || pod.PriorityClassName != "high" {
		t.Errorf("onlyOnControlPlane: %v, %q", pod.Tolerations, pod.PriorityClassName)
	}
	if got := nodeTerms(pod); !slices.Equal(got, []string{"!node-role.kubernetes.io/edge node-role.kubernetes.io/control-plane",
		"!node-role.kubernetes.io/edge node-role.kubernetes.io/master"}) {
		t.Errorf("it may run on nodes %q", got)
	}
	pod = render(t, "controller.allowOnControlPlane=false").deployment(t, "akri-controller-deployment").Spec.Template.Spec
	if len(pod.Tolerations) != 2 {
		t.Errorf("allowOnControlPlane=false: %v", pod.Tolerations)
	}
}

// nodeTerms are the terms of a Pod's node affinity: labels that a node has, and
// after "!" those that it has not.
func nodeTerms(pod corev1.PodSpec) (terms []string) {
	for _, term := range pod.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms {
		var labels []string
		for _, e := range term.MatchExpressions {
			labels = append(labels, map[corev1.NodeSelectorOperator]string{corev1.NodeSelectorOpExists: "", corev1.NodeSelectorOpDoesNotExist: "!"}[e.Operator]+e.Key)
		}
		terms = append(terms, strings.Join(labels, " "))
	}
	return terms
}

// The controller tolerates a lost node only for a short time, unless values say
// otherwise.
func TestControllerLeavesLostNodes(t *testing.T) {
	const notReady, unreachable = corev1.TaintNodeNotReady, corev1.TaintNodeUnreachable
	const first = "controller.tolerations[0]."
	for _, c := range []struct {
		set  []string
		want map[string]int64 // seconds by taint, -1 for ever
	}{
		{nil, map[string]int64{notReady: 30, unreachable: 30}},
		{[]string{first + "key=" + notReady, first + "operator=Exists", first + "effect=NoSchedule"}, map[string]int64{notReady: 30, unreachable: 30}},
		{[]string{first + "key=" + unreachable, first + "operator=Exists", first + "effect=NoExecute", first + "tolerationSeconds=5"}, map[string]int64{notReady: 30, unreachable: 5}},
		{[]string{first + "key=" + unreachable, first + "operator=Exists"}, map[string]int64{notReady: 30, unreachable: -1}},
		{[]string{first + "operator=Exists"}, map[string]int64{"": -1}},
	} {
		got := map[string]int64{}
		for _, o := range render(t, append(c.set, "controller.allowOnControlPlane=false")...).deployment(t, "akri-controller-deployment").Spec.Template.Spec.Tolerations {
			if o.Effect == "" || o.Effect == corev1.TaintEffectNoExecute {
				got[o.Key] = ptr.Deref(o.TolerationSeconds, -1)
			}
		}
		if !maps.Equal(got, c.want) {
			t.Errorf("%v: %v, want %v", c.set, got, c.want)
		}
	}
}

func TestRoles(t *testing.T) {
	r := render(t)
	for _, c := range []struct {
		role      string
		forbidden []string // "resource verb"
	}{
		{"akri-agent-role", []string{"configurations patch", "configurations update", "pods create", "pods delete", "pods patch",
			"pods get", "pods watch", "services create", "secrets get", "secrets list", "configmaps get", "nodes get", "nodes list",
			"nodes patch", "nodes/status patch", "instances update", "instances deletecollection", "events list", "events patch"}},
		{"akri-controller-role", []string{"secrets get", "secrets list", "configurations update",
			"configurations delete", "nodes patch", "nodes delete", "pods patch"}},
	} {
		role := r.clusterRole(t, c.role)
		for _, rule := range role.Rules {
			for _, word := range slices.Concat(rule.APIGroups, rule.Resources, rule.Verbs) {
				if word == "*" {
					t.Errorf("%s has a wildcard: %v", c.role, rule)
				}
			}
			for _, f := range c.forbidden {
				resource, verb, _ := strings.Cut(f, " ")
				if slices.Contains(rule.Resources, resource) && slices.Contains(rule.Verbs, verb) {
					t.Errorf("%s may %s %s", c.role, verb, resource)
				}
			}
		}
	}
}
