package charts

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

func hookObjects(names ...string) []string {
	var out []string
	for _, n := range names {
		hook := "akri-helm-" + n + "-hook"
		out = append(out, "Job/akri-"+n, "ServiceAccount/"+hook+"-sa", "ClusterRole/"+hook+"-role", "ClusterRoleBinding/"+hook+"-binding")
	}
	slices.Sort(out)
	return out
}

func TestWhichHooks(t *testing.T) {
	for _, c := range []struct {
		name string
		set  []string
		want []string
	}{
		{"defaults", nil, []string{"cleanup", "crds"}},
		{"no cleanup", []string{"cleanupHook.enabled=false"}, []string{"crds"}},
		{"no update of CRDs", []string{"crds.update.enabled=false"}, []string{"cleanup"}},
		{"no rights", []string{"rbac.enabled=false"}, nil},
		// A release without agents has made no Instances: Configurations stay.
		{"no agent", []string{"agent.enabled=false"}, []string{"crds"}},
		{"a Configuration alone", []string{"agent.enabled=false", "controller.enabled=false", "debugEcho.configuration.enabled=true"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			if d := cmp.Diff(hookObjects(c.want...), render(t, c.set...).hooks()); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestHooks(t *testing.T) {
	r := render(t, "imagePullSecrets[0].name=pull", "controller.tolerations[0].key=k", "controller.nodeSelectors.site=mill",
		"controller.onlyOnControlPlane=true", "controller.priorityClassName=high", "controller.image.tag=z", "cleanupHook.timeoutSeconds=30")
	for _, c := range []struct {
		name, events string
		deadline     int64
		args         []string
		rules        []rbacv1.PolicyRule
	}{
		{"crds", "pre-install,pre-upgrade", 240, []string{"crds"}, []rbacv1.PolicyRule{
			{APIGroups: []string{"apiextensions.k8s.io"}, Resources: []string{"customresourcedefinitions"},
				ResourceNames: []string{"configurations.akri.sh", "instances.akri.sh"}, Verbs: []string{"get", "create", "patch"}}}},
		{"cleanup", "pre-delete", 30, []string{"cleanup", "--release=akri", "--timeout=15s"}, []rbacv1.PolicyRule{
			{APIGroups: []string{"akri.sh"}, Resources: []string{"configurations"}, Verbs: []string{"list", "delete"}},
			{APIGroups: []string{"akri.sh"}, Resources: []string{"instances"}, Verbs: []string{"list"}},
			{APIGroups: []string{"apps"}, Resources: []string{"daemonsets"}, ResourceNames: []string{"akri-agent-daemonset"}, Verbs: []string{"get"}}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			job := decode[batchv1.Job](t, r, "Job/akri-"+c.name)
			pod := job.Spec.Template.Spec
			ctr := pod.Containers[0]
			if *job.Spec.ActiveDeadlineSeconds != c.deadline || *job.Spec.BackoffLimit > 5 {
				t.Errorf("it may take %d s and %d attempts", *job.Spec.ActiveDeadlineSeconds, *job.Spec.BackoffLimit)
			}
			if ctr.Image != "ghcr.io/akri-go/akri/controller:z" || cmp.Diff(c.args, ctr.Args) != "" {
				t.Errorf("runs %s %v", ctr.Image, ctr.Args)
			}
			confined(t, pod, ctr)
			if !*ctr.SecurityContext.RunAsNonRoot || pod.ServiceAccountName != "akri-helm-"+c.name+"-hook-sa" {
				t.Errorf("service account %s, %v", pod.ServiceAccountName, ctr.SecurityContext)
			}
			if len(pod.Tolerations) != 3 || pod.NodeSelector["site"] != "mill" || pod.Affinity.NodeAffinity == nil ||
				pod.PriorityClassName != "high" || pod.ImagePullSecrets[0].Name != "pull" {
				t.Errorf("placed otherwise than the controller: %+v", pod)
			}
			if d := cmp.Diff(c.rules, r.clusterRole(t, "akri-helm-"+c.name+"-hook-role").Rules); d != "" {
				t.Error(d)
			}
			for _, key := range hookObjects(c.name) {
				var u unstructured.Unstructured
				if err := yaml.Unmarshal(r.objects[key], &u.Object); err != nil {
					t.Fatal(err)
				}
				a := u.GetAnnotations()
				if a["helm.sh/hook"] != c.events || a["helm.sh/hook-delete-policy"] != "before-hook-creation,hook-succeeded" {
					t.Errorf("%s: %v", key, a)
				}
				// Rights are created before what needs them.
				if first := a["helm.sh/hook-weight"] == "-10"; first == strings.HasPrefix(key, "Job/") {
					t.Errorf("%s has weight %s", key, a["helm.sh/hook-weight"])
				}
			}
		})
	}
}
