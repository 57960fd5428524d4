package charts

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/akri-go/akri/internal/handlers"
)

// processes returns which of our handlers each DaemonSet runs.
func processes(t *testing.T, r rendered) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, key := range r.names() {
		if name, is := strings.CutPrefix(key, "DaemonSet/"); is && name != "akri-agent-daemonset" {
			out[strings.TrimSuffix(name, "-daemonset")] = strings.Join(r.daemonSet(t, name).Spec.Template.Spec.Containers[0].Args, " ")
		}
	}
	return out
}

func TestTogether(t *testing.T) {
	four := []string{"udev.discovery.enabled=true", "debugEcho.discovery.enabled=true", "onvif.discovery.enabled=true", "opcua.discovery.enabled=true"}
	apart := map[string]string{"akri-udev-discovery": "udev", "akri-debug-echo-discovery": "debugEcho",
		"akri-onvif-discovery": "onvif", "akri-opcua-discovery": "opcua"}
	for _, c := range []struct {
		name string
		set  []string
		want map[string]string
	}{
		{"by default", nil, apart},
		{"false", []string{"discovery.together=false"}, apart},
		{"true", []string{"discovery.together=true"}, map[string]string{"akri-udev-discovery": "udev",
			"akri-debug-echo-opcua-discovery": "debugEcho opcua", "akri-onvif-discovery": "onvif"}},
		{"on the node's network", []string{"discovery.together=true", "opcua.discovery.hostNetwork=true"}, map[string]string{
			"akri-udev-discovery": "udev", "akri-debug-echo-discovery": "debugEcho", "akri-onvif-opcua-discovery": "onvif opcua"}},
		{"no folders", []string{"discovery.together=true", "udev.discovery.host.udev=", "udev.discovery.host.mounts="}, map[string]string{
			"akri-udev-debug-echo-opcua-discovery": "udev debugEcho opcua", "akri-onvif-discovery": "onvif"}},
		{"all", []string{"discovery.together=all"}, map[string]string{
			"akri-udev-debug-echo-onvif-opcua-discovery": "udev debugEcho onvif opcua"}},
		{"other nodes", []string{"discovery.together=all", "udev.discovery.nodeSelectors.site=mill", "onvif.discovery.nodeSelectors.site=mill"},
			map[string]string{"akri-udev-onvif-discovery": "udev onvif", "akri-debug-echo-opcua-discovery": "debugEcho opcua"}},
		{"another user", []string{"discovery.together=all", "onvif.discovery.securityContext.runAsUser=7"},
			map[string]string{"akri-udev-debug-echo-opcua-discovery": "udev debugEcho opcua", "akri-onvif-discovery": "onvif"}},
		{"another image", []string{"discovery.together=all", "onvif.discovery.image.tag=x"},
			map[string]string{"akri-udev-debug-echo-opcua-discovery": "udev debugEcho opcua", "akri-onvif-discovery": "onvif"}},
		{"over the network", []string{"discovery.together=all", "udev.discovery.useNetworkConnection=true", "opcua.discovery.useNetworkConnection=true"},
			map[string]string{"akri-udev-discovery": "udev", "akri-opcua-discovery": "opcua", "akri-debug-echo-onvif-discovery": "debugEcho onvif"}},
		{"one", []string{"discovery.together=all", "udev.discovery.enabled=false", "debugEcho.discovery.enabled=false", "opcua.discovery.enabled=false"},
			map[string]string{"akri-onvif-discovery": "onvif"}},
	} {
		if d := cmp.Diff(c.want, processes(t, render(t, append(slices.Clone(four), c.set...)...))); d != "" {
			t.Errorf("%s: %s", c.name, d)
		}
	}
}

// Together or not, every handler runs once, and with together=true none has more
// rights than it would have alone.
func TestTogetherHasTheSameRights(t *testing.T) {
	var enabled, names []string
	for _, kind := range handlers.Kinds() {
		names = append(names, kind.Name)
		enabled = append(enabled, kind.Name+".discovery.enabled=true")
	}
	slices.Sort(names)
	for _, together := range []string{"true", "all"} {
		r := render(t, append(slices.Clone(enabled), "discovery.together="+together)...)
		var run []string
		for name, args := range processes(t, r) {
			if len(name) > 63 {
				t.Errorf("the label %s has %d characters", name, len(name))
			}
			pod := r.daemonSet(t, name+"-daemonset").Spec.Template.Spec
			for _, what := range loose(pod) {
				t.Errorf("%s: %s", name, what)
			}
			for _, handler := range strings.Fields(args) {
				run = append(run, handler)
				for _, e := range alone(t, handler).Containers[0].Env {
					if got := envOf(pod.Containers[0], e.Name); got == nil || e.Name != "METRICS_PORT" && got.Value != e.Value {
						t.Errorf("%s: the variable %s is %v, want %s", name, e.Name, got, e.Value)
					}
				}
				if together == "all" {
					continue
				}
				if lone := alone(t, handler); pod.HostNetwork != lone.HostNetwork || !cmp.Equal(hostPaths(pod), hostPaths(lone)) {
					t.Errorf("%s: %s has host network %v and folders %v, alone %v and %v", name, handler,
						pod.HostNetwork, hostPaths(pod), lone.HostNetwork, hostPaths(lone))
				}
			}
		}
		slices.Sort(run)
		if !slices.Equal(run, names) {
			t.Errorf("together=%s: %q run, want %q", together, run, names)
		}
	}
	r := render(t, append(slices.Clone(enabled), "discovery.together=all", "discovery.resources.memoryLimit=99Mi")...)
	for name := range processes(t, r) {
		pod := r.daemonSet(t, name+"-daemonset").Spec.Template.Spec
		if got := pod.Containers[0].Resources.Limits.Memory().String(); !pod.HostNetwork || hostPaths(pod)["/run/udev"] == "" || got != "99Mi" {
			t.Errorf("%s: host network %v, folders %v, memory %s", name, pod.HostNetwork, hostPaths(pod), got)
		}
	}
}

// alone is the Pod of a handler that has a process of its own.
func alone(t *testing.T, handler string) corev1.PodSpec {
	t.Helper()
	r := render(t, handler+".discovery.enabled=true")
	for name := range processes(t, r) {
		return r.daemonSet(t, name+"-daemonset").Spec.Template.Spec
	}
	t.Fatalf("%s has no DaemonSet", handler)
	return corev1.PodSpec{}
}
