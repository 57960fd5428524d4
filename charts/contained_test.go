package charts

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// A discovery handler reads what strangers send and is not trusted. Whatever is
// enabled, it cannot reach the API server or become root on the node.
func TestHandlersAreContained(t *testing.T) {
	network := []string{"udev.discovery.useNetworkConnection=true", "udev.discovery.hostNetwork=true", "opcua.discovery.hostNetwork=true", "modbus.discovery.hostNetwork=true",
		"mqtt.discovery.hostNetwork=true",
		"udev.discovery.securityContext.runAsUser=7", "custom.discovery.useNetworkConnection=true"}
	for name, set := range map[string][]string{"all": everything, "all, on the network": append(slices.Clone(everything), network...)} {
		r := render(t, set...)
		handlers := 0
		for _, key := range r.names() {
			if !strings.HasPrefix(key, "DaemonSet/") || key == "DaemonSet/akri-agent-daemonset" {
				continue
			}
			handlers++
			pod := r.daemonSet(t, strings.TrimPrefix(key, "DaemonSet/")).Spec.Template.Spec
			for _, what := range loose(pod) {
				t.Errorf("%s: %s: %s", name, key, what)
			}
			// Somebody else's handler keeps its image's user.
			sc := pod.Containers[0].SecurityContext
			if custom := key == "DaemonSet/akri-custom-discovery-daemonset"; !custom &&
				(sc.RunAsNonRoot == nil || !*sc.RunAsNonRoot || sc.RunAsUser == nil || *sc.RunAsUser == 0 ||
					sc.ReadOnlyRootFilesystem == nil || !*sc.ReadOnlyRootFilesystem) {
				t.Errorf("%s: %s: runs as %v", name, key, sc)
			}
		}
		if handlers != 7 {
			t.Errorf("%s: %d handlers", name, handlers)
		}
	}
}

// loose returns in which ways a handler's Pod is not contained.
func loose(pod corev1.PodSpec) []string {
	var out []string
	unless := func(ok bool, what string) {
		if !ok {
			out = append(out, what)
		}
	}
	is := func(b *bool, want bool) bool { return b != nil && *b == want }
	unless(is(pod.AutomountServiceAccountToken, false), "has a token of the API server")
	unless(pod.ServiceAccountName == "", "has a service account")
	unless(!pod.HostPID && !pod.HostIPC, "shares namespaces with the host")
	unless(pod.SecurityContext.SeccompProfile.Type == corev1.SeccompProfileTypeRuntimeDefault, "has no seccomp profile")
	unless(len(pod.InitContainers) == 0 && len(pod.Containers) == 1, "has other containers")
	c := pod.Containers[0]
	unless(is(c.SecurityContext.AllowPrivilegeEscalation, false), "may escalate")
	unless(c.SecurityContext.Privileged == nil, "is privileged")
	unless(slices.Equal(c.SecurityContext.Capabilities.Drop, []corev1.Capability{"ALL"}) && len(c.SecurityContext.Capabilities.Add) == 0, "has capabilities")
	for _, v := range pod.Volumes {
		unless(v.Secret == nil && v.Projected == nil, "mounts "+v.Name)
	}
	for _, m := range c.VolumeMounts {
		switch m.MountPath {
		case "/var/lib/akri", "/tmp":
		default:
			unless(m.ReadOnly && (m.MountPath == "/run/udev" || m.MountPath == "/run/node-mounts"), "can write to "+m.MountPath)
		}
	}
	return out
}

// containerd starts no container with a group but no user. This checks every
// Pod of every rendering, including brokers.
func TestGroupsHaveUsers(t *testing.T) {
	pods := 0
	for _, set := range [][]string{
		nil, everything, {"agent.full=true", "agent.allowDebugEcho=true"},
		append(slices.Clone(everything), "udev.discovery.securityContext.runAsGroup=7", "custom.discovery.securityContext.runAsUser=7",
			"custom.discovery.securityContext.runAsGroup=7", "udev.configuration.brokerPod.securityContext.runAsUser=7",
			"udev.configuration.brokerPod.securityContext.runAsGroup=7"),
		{"debugEcho.configuration.enabled=true", "debugEcho.configuration.brokerJob.image.repository=b"},
	} {
		for key, doc := range render(t, set...).objects {
			var u unstructured.Unstructured
			if err := yaml.Unmarshal(doc, &u.Object); err != nil {
				t.Fatal(err)
			}
			for _, pod := range podSpecs(u.Object) {
				pods++
				of := func(parent map[string]any) (user, group bool) {
					sc, _ := parent["securityContext"].(map[string]any)
					return sc["runAsUser"] != nil, sc["runAsGroup"] != nil
				}
				user, group := of(pod)
				if group && !user {
					t.Errorf("%v: the Pod of %s has a group and no user", set, key)
				}
				for _, kind := range []string{"initContainers", "containers"} {
					list, _ := pod[kind].([]any)
					for _, c := range list {
						if theirs, group := of(c.(map[string]any)); group && !theirs && !user {
							t.Errorf("%v: a container of %s has a group and no user", set, key)
						}
					}
				}
			}
		}
	}
	if pods < 20 {
		t.Errorf("looked at %d Pods", pods)
	}
}

// podSpecs finds the parts of an object that are Pod specs.
func podSpecs(object map[string]any) []map[string]any {
	var out []map[string]any
	for _, value := range object {
		child, ok := value.(map[string]any)
		if !ok {
			continue
		}
		if child["containers"] != nil {
			out = append(out, child)
		}
		out = append(out, podSpecs(child)...)
	}
	return out
}

// The selectors of workloads cannot be changed. They are upstream's, so that a
// release of upstream's chart can be upgraded to this one.
func TestUpgradeFromUpstream(t *testing.T) {
	r := render(t, everything...)
	for key, name := range map[string]string{
		"DaemonSet/akri-agent-daemonset":                "akri-agent",
		"DaemonSet/akri-udev-discovery-daemonset":       "akri-udev-discovery",
		"DaemonSet/akri-debug-echo-discovery-daemonset": "akri-debug-echo-discovery",
		"DaemonSet/akri-opcua-discovery-daemonset":      "akri-opcua-discovery",
		"Deployment/akri-controller-deployment":         "akri-controller",
	} {
		var workload struct {
			Spec struct {
				Selector struct {
					MatchLabels map[string]string `json:"matchLabels"`
				} `json:"selector"`
			} `json:"spec"`
		}
		if err := yaml.Unmarshal(r.objects[key], &workload); err != nil {
			t.Fatal(err)
		}
		want := map[string]string{
			"app.kubernetes.io/part-of": "akri", "app.kubernetes.io/instance": "akri", "app.kubernetes.io/name": name,
		}
		if d := cmp.Diff(want, workload.Spec.Selector.MatchLabels); d != "" {
			t.Errorf("%s: %s", key, d)
		}
	}
}
