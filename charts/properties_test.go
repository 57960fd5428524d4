package charts

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"
)

// The agent can read the objects of discoveryProperties where the user allows
// it, and nowhere else.
func TestDiscoveryProperties(t *testing.T) {
	if _, there := render(t).objects["Role/akri-agent-properties"]; there {
		t.Error("the agent may read Secrets without being told to")
	}
	r := render(t, "agent.discoveryProperties.rbac[0].namespace=cameras", "agent.discoveryProperties.rbac[0].resourceNames={login,more}",
		"agent.discoveryProperties.namespaces={shared,other}")
	var role rbacv1.Role
	if err := yaml.UnmarshalStrict(r.objects["Role/akri-agent-properties"], &role); err != nil {
		t.Fatal(err)
	}
	want := []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"secrets", "configmaps"},
		ResourceNames: []string{"login", "more"}, Verbs: []string{"get", "watch"}}}
	if d := cmp.Diff(want, role.Rules); d != "" || role.Namespace != "cameras" {
		t.Errorf("namespace %s: %s", role.Namespace, d)
	}
	var binding rbacv1.RoleBinding
	if err := yaml.UnmarshalStrict(r.objects["RoleBinding/akri-agent-properties"], &binding); err != nil {
		t.Fatal(err)
	}
	if s := binding.Subjects; len(s) != 1 || s[0].Name != "akri-agent-sa" || s[0].Namespace != "edge" ||
		binding.Namespace != "cameras" || binding.RoleRef.Kind != "Role" || binding.RoleRef.Name != role.Name {
		t.Errorf("binding %+v", binding)
	}
	args := r.daemonSet(t, "akri-agent-daemonset").Spec.Template.Spec.Containers[0].Args
	if !slices.Contains(args, "--property-namespaces=shared,other") {
		t.Errorf("arguments %q", args)
	}
	if _, there := render(t, "rbac.enabled=false", "agent.discoveryProperties.rbac[0].namespace=cameras").objects["Role/akri-agent-properties"]; there {
		t.Error("rbac.enabled=false is not heard")
	}
	for _, bad := range []string{"agent.discoveryProperties.rbac[0].resourceNames={x}", "agent.discoveryProperties.rbac[0].namespace=A",
		"agent.discoveryProperties.namespaces={a/b}"} {
		if _, err := tryRender(t, bad); err == nil {
			t.Errorf("%s is accepted", bad)
		}
	}
}

// Handlers on the node's network have ports of their own there.
func TestPortsOnTheNode(t *testing.T) {
	r := render(t, append(slices.Clone(everything), "udev.discovery.hostNetwork=true", "opcua.discovery.hostNetwork=true", "modbus.discovery.hostNetwork=true",
		"mqtt.discovery.hostNetwork=true")...)
	ports := map[int32]string{}
	for _, name := range []string{"akri-udev-discovery", "akri-opcua-discovery", "akri-onvif-discovery", "akri-modbus-discovery", "akri-mqtt-discovery"} {
		spec := r.daemonSet(t, name+"-daemonset").Spec.Template.Spec
		port := spec.Containers[0].Ports[0].ContainerPort
		if !spec.HostNetwork || ports[port] != "" {
			t.Errorf("%s: on the node's network: %v; its port %d is that of %q too", name, spec.HostNetwork, port, ports[port])
		}
		ports[port] = name
	}
}

// Our own handlers have probes; what other handlers answer is unknown.
func TestDiscoveryProbes(t *testing.T) {
	r := render(t, append(slices.Clone(everything), "prometheus.discoveryPort=9999", "onvif.discovery.metricsPort=9999", "opcua.discovery.metricsPort=9999",
		"modbus.discovery.metricsPort=9999", "mqtt.discovery.metricsPort=9999")...)
	for name, ours := range map[string]bool{"akri-udev-discovery": true, "akri-opcua-discovery": true, "akri-onvif-discovery": true, "akri-modbus-discovery": true,
		"akri-mqtt-discovery": true, "akri-debug-echo-discovery": true, "akri-custom-discovery": false} {
		c := r.daemonSet(t, name+"-daemonset").Spec.Template.Spec.Containers[0]
		port := envOf(c, "METRICS_PORT")
		if !ours {
			if c.LivenessProbe != nil || c.ReadinessProbe != nil || c.StartupProbe != nil || port != nil || len(c.Ports) != 0 {
				t.Errorf("%s has probes", name)
			}
			continue
		}
		if c.LivenessProbe == nil || c.ReadinessProbe == nil || c.StartupProbe == nil || port == nil || port.Value != "9999" ||
			len(c.Ports) != 1 || c.Ports[0].ContainerPort != 9999 || c.ReadinessProbe.HTTPGet.Path != "/readyz" ||
			c.ReadinessProbe.HTTPGet.Port.StrVal != c.Ports[0].Name || c.LivenessProbe.HTTPGet.Path != "/healthz" {
			t.Errorf("%s: port %v %v, probes %v %v %v", name, port, c.Ports, c.LivenessProbe, c.ReadinessProbe, c.StartupProbe)
		}
	}
}
