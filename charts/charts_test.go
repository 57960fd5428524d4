package charts

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	udev "github.com/akri-go/akri/internal/handlers/udev/details"
)

// everything enables everything that the chart can render.
var everything = []string{
	"prometheus.enabled=true", "dashboard.enabled=true", "dashboard.token.secretName=dashboard",
	"udev.discovery.enabled=true", "udev.configuration.enabled=true",
	`udev.configuration.discoveryDetails.udevRules[0]=KERNEL=="null"`,
	"debugEcho.discovery.enabled=true", "debugEcho.configuration.enabled=true",
	"custom.discovery.enabled=true", "custom.discovery.image.repository=example.org/handler",
	"custom.configuration.enabled=true", "custom.configuration.discoveryHandlerName=mine",
	"onvif.discovery.enabled=true", "onvif.configuration.enabled=true", "opcua.discovery.enabled=true", "opcua.configuration.enabled=true",
	"mdns.discovery.enabled=true", "mdns.configuration.enabled=true", "mdns.configuration.discoveryDetails.types={_ipp._tcp}",
	"udev.configuration.brokerPod.image.repository=b", "debugEcho.configuration.brokerPod.image.repository=b",
	"custom.configuration.brokerJob.image.repository=b", "onvif.configuration.brokerPod.image.repository=b",
	"opcua.configuration.brokerPod.image.repository=b", "opcua.configuration.mountCertificates=true",
	"modbus.discovery.enabled=true", "modbus.configuration.enabled=true", "modbus.configuration.discoveryDetails.servers={10.0.0.5}",
	"modbus.configuration.brokerPod.image.repository=b",
	"mqtt.discovery.enabled=true", "mqtt.configuration.enabled=true", "mqtt.configuration.discoveryDetails.broker=mqtt://b",
	"mqtt.configuration.brokerPod.image.repository=b",
	"mdns.configuration.brokerPod.image.repository=b",
}

func TestObjects(t *testing.T) {
	base := []string{
		"ClusterRole/akri-agent-role", "ClusterRole/akri-controller-role",
		"ClusterRoleBinding/akri-agent-binding", "ClusterRoleBinding/akri-controller-binding",
		"DaemonSet/akri-agent-daemonset", "Deployment/akri-controller-deployment",
		"Role/akri-controller-election", "RoleBinding/akri-controller-election",
		"Role/akri-agent-lease", "RoleBinding/akri-agent-lease",
		"ServiceAccount/akri-agent-sa", "ServiceAccount/akri-controller-sa",
	}
	const hook = "/akri-webhook-configuration"
	var policies []string
	for _, name := range []string{"instance-create", "instance-update", "instance-delete", "instance-status", "configuration", "events", "lease"} {
		policies = append(policies, "ValidatingAdmissionPolicy/akri-agent-"+name, "ValidatingAdmissionPolicyBinding/akri-agent-"+name)
	}
	base = append(base, policies...)
	noHook := slices.Clone(base)
	base = append(base, "ValidatingWebhookConfiguration"+hook, "Service"+hook, "Secret"+hook+"-certs")
	for _, kind := range []string{"Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"} {
		base = append(base, kind+"/akri-controller-webhook")
	}
	// As users do who want a Configuration to edit.
	alone := []string{"rbac.enabled=false", "controller.enabled=false", "agent.enabled=false"}
	for _, c := range []struct {
		name string
		set  []string
		want []string
	}{
		{"defaults", nil, base},
		{"udev", []string{"udev.discovery.enabled=true"}, append(slices.Clone(base), "DaemonSet/akri-udev-discovery-daemonset")},
		{"debugEcho", []string{"debugEcho.discovery.enabled=true"}, append(slices.Clone(base), "DaemonSet/akri-debug-echo-discovery-daemonset")},
		{"onvif", []string{"onvif.discovery.enabled=true"}, append(slices.Clone(base), "DaemonSet/akri-onvif-discovery-daemonset")},
		{"opcua", []string{"opcua.discovery.enabled=true"}, append(slices.Clone(base), "DaemonSet/akri-opcua-discovery-daemonset")},
		{"modbus", []string{"modbus.discovery.enabled=true"}, append(slices.Clone(base), "DaemonSet/akri-modbus-discovery-daemonset")},
		{"mqtt", []string{"mqtt.discovery.enabled=true"}, append(slices.Clone(base), "DaemonSet/akri-mqtt-discovery-daemonset")},
		{"mdns", []string{"mdns.discovery.enabled=true"}, append(slices.Clone(base), "DaemonSet/akri-mdns-discovery-daemonset")},
		{"custom", []string{"custom.discovery.enabled=true", "custom.discovery.name=mine", "custom.discovery.image.repository=m"},
			append(slices.Clone(base), "DaemonSet/mine-daemonset")},
		{"no rbac", []string{"rbac.enabled=false"}, []string{"DaemonSet/akri-agent-daemonset", "Deployment/akri-controller-deployment",
			"ValidatingWebhookConfiguration" + hook, "Service" + hook, "Secret" + hook + "-certs"}},
		{"no webhook", []string{"webhookConfiguration.enabled=false"}, noHook},
		{"CA of the user", []string{"webhookConfiguration.caBundle=cGVt"}, slices.DeleteFunc(slices.Clone(base), func(o string) bool { return o == "Secret"+hook+"-certs" })},
		{"no controller", []string{"controller.enabled=false"}, append([]string{
			"ClusterRole/akri-agent-role", "ClusterRoleBinding/akri-agent-binding",
			"DaemonSet/akri-agent-daemonset", "ServiceAccount/akri-agent-sa",
			"Role/akri-agent-lease", "RoleBinding/akri-agent-lease"}, policies...)},
		{"no agent", []string{"agent.enabled=false"}, slices.DeleteFunc(slices.Clone(base),
			func(key string) bool { return strings.Contains(key, "/akri-agent-") })},
		{"no policies", []string{"agent.nodePolicies.enabled=false"}, slices.DeleteFunc(slices.Clone(base),
			func(key string) bool { return slices.Contains(policies, key) })},
		{"dashboard", []string{"dashboard.enabled=true"}, append(slices.Clone(base), "Deployment/akri-dashboard",
			"ServiceAccount/akri-dashboard-sa", "ClusterRole/akri-dashboard-role", "ClusterRoleBinding/akri-dashboard-binding")},
		{"dashboard with a token, no rbac", []string{"dashboard.enabled=true", "dashboard.token.secretName=s", "rbac.enabled=false"}, []string{
			"Deployment/akri-dashboard", "Service/akri-dashboard", "DaemonSet/akri-agent-daemonset", "Deployment/akri-controller-deployment",
			"ValidatingWebhookConfiguration" + hook, "Service" + hook, "Secret" + hook + "-certs"}},
		{"prometheus", []string{"prometheus.enabled=true"}, append(slices.Clone(base),
			"PodMonitor/akri-agent-metrics", "PodMonitor/akri-controller-metrics")},
		{"prometheus and the dashboard", []string{"prometheus.enabled=true", "dashboard.enabled=true", "rbac.enabled=false"}, []string{
			"PodMonitor/akri-agent-metrics", "PodMonitor/akri-controller-metrics", "PodMonitor/akri-dashboard-metrics",
			"Deployment/akri-dashboard", "DaemonSet/akri-agent-daemonset", "Deployment/akri-controller-deployment",
			"ValidatingWebhookConfiguration" + hook, "Service" + hook, "Secret" + hook + "-certs"}},
		{"prometheus and a handler", []string{"prometheus.enabled=true", "udev.discovery.enabled=true"}, append(slices.Clone(base),
			"PodMonitor/akri-agent-metrics", "PodMonitor/akri-controller-metrics", "PodMonitor/akri-discovery-metrics",
			"DaemonSet/akri-udev-discovery-daemonset")},
		{"onvif Configuration alone", append([]string{"onvif.configuration.enabled=true",
			"onvif.configuration.brokerPod.image.repository=nginx"}, alone...), []string{"Configuration/akri-onvif"}},
		{"udev Configuration alone", append([]string{"udev.configuration.enabled=true",
			`udev.configuration.discoveryDetails.udevRules[0]=KERNEL=="null"`}, alone...), []string{"Configuration/akri-udev"}},
		{"keys without effect", []string{
			"webhookConfiguration.certImage.tag=v1", "webhookConfiguration.tolerations={}", "cleanupHook.enabled=true",
			"kubernetesDistro=k3s", "agent.host.containerRuntimeSocket=/run/c.sock"}, base},
	} {
		t.Run(c.name, func(t *testing.T) {
			slices.Sort(c.want)
			if d := cmp.Diff(c.want, render(t, c.set...).names()); d != "" {
				t.Error(d)
			}
		})
	}
}

// Every object has a known kind and is in the release's namespace.
func TestEveryObject(t *testing.T) {
	r := render(t, everything...)
	for key, doc := range r.objects {
		var u unstructured.Unstructured
		if err := yaml.Unmarshal(doc, &u.Object); err != nil {
			t.Fatal(err)
		}
		if u.GetKind() != "PodMonitor" && !known(u.GetAPIVersion(), u.GetKind()) {
			t.Errorf("%s: no cluster knows %s %s", key, u.GetAPIVersion(), u.GetKind())
		}
		switch {
		case u.GetKind() == "Configuration":
			if u.GetNamespace() != "" {
				t.Errorf("%s has namespace %q; it is to be applied to any", key, u.GetNamespace())
			}
			continue
		case strings.HasPrefix(u.GetKind(), "Cluster"), strings.HasPrefix(u.GetKind(), "ValidatingAdmissionPolicy"), u.GetKind() == "ValidatingWebhookConfiguration":
		case u.GetNamespace() != "edge":
			t.Errorf("%s has namespace %q", key, u.GetNamespace())
		}
		labels := u.GetLabels()
		if labels["app.kubernetes.io/part-of"] != "akri" || labels["app.kubernetes.io/instance"] != "akri" || labels["app.kubernetes.io/name"] == "" {
			t.Errorf("%s has labels %v", key, labels)
		}
	}
}

// Users need the right to create what is made from specs. Values of an earlier
// release, which lack the switch, lock nobody out.
func TestAuthorizeSpecs(t *testing.T) {
	for _, c := range []struct {
		set  []string
		want string
		may  bool
	}{
		{nil, "true", true},
		{[]string{"webhookConfiguration.authorizeSpecs=false"}, "false", false},
		{[]string{"webhookConfiguration.authorizeSpecs=null"}, "false", false},
	} {
		r := render(t, c.set...)
		var d appsv1.Deployment
		var role rbacv1.ClusterRole
		if err := yaml.Unmarshal(r.objects["Deployment/akri-controller-deployment"], &d); err != nil {
			t.Fatal(err)
		}
		if err := yaml.Unmarshal(r.objects["ClusterRole/akri-controller-webhook"], &role); err != nil {
			t.Fatal(err)
		}
		e := envOf(d.Spec.Template.Spec.Containers[0], "WEBHOOK_AUTHORIZE_SPECS")
		may := slices.ContainsFunc(role.Rules, func(r rbacv1.PolicyRule) bool {
			return slices.Equal(r.Resources, []string{"subjectaccessreviews"}) && slices.Equal(r.Verbs, []string{"create"})
		})
		if e == nil || e.Value != c.want || may != c.may {
			t.Errorf("%v: %+v, it may ask: %v", c.set, e, may)
		}
	}
}

func TestAgent(t *testing.T) {
	ds := render(t).daemonSet(t, "akri-agent-daemonset")
	pod := ds.Spec.Template.Spec
	c := pod.Containers[0]
	if c.Image != "ghcr.io/akri-go/akri/agent:v0.1.0" || c.ImagePullPolicy != "" {
		t.Errorf("image %s, pull policy %q", c.Image, c.ImagePullPolicy)
	}
	if d := cmp.Diff([]string{"--socket-gid=65530", "--state-dir=/var/lib/akri-agent", "--host-root=/host", "--slots-freed-after=20s"}, c.Args); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]int64{65530}, pod.SecurityContext.SupplementalGroups); d != "" {
		t.Errorf("the agent is not in the group of its sockets: %s", d)
	}
	confined(t, pod, c)
	for _, name := range []string{"AGENT_NODE_NAME", "POD_NAME", "POD_NAMESPACE"} {
		if e := envOf(c, name); e == nil || e.ValueFrom == nil {
			t.Errorf("no %s from the downward API", name)
		}
	}
	if e := envOf(c, "METRICS_PORT"); e == nil || e.Value != "8080" || c.Ports[0].ContainerPort != 8080 {
		t.Errorf("metrics port %v, %v", e, c.Ports)
	}
	if c.LivenessProbe == nil || c.LivenessProbe.HTTPGet.Path != "/healthz" || c.LivenessProbe.HTTPGet.Port.StrVal != c.Ports[0].Name {
		t.Errorf("liveness probe %v", c.LivenessProbe)
	}
	if pod.HostNetwork || pod.HostPID || pod.HostIPC {
		t.Error("the agent shares namespaces with the host")
	}
	if pod.ServiceAccountName != "akri-agent-sa" {
		t.Errorf("service account %q", pod.ServiceAccountName)
	}
	want := map[string]string{
		"/var/lib/akri": "/var/lib/akri", "/var/lib/akri-agent": "/var/lib/akri-agent",
		"/var/lib/kubelet/device-plugins": "/kubelet/plugins",
		"/var/lib/kubelet/pod-resources":  "/kubelet/pods",
		"/host/dev":                       "/dev",
	}
	ds = render(t, "agent.host.kubeletDevicePlugins=/kubelet/plugins", "agent.host.kubeletPodResources=/kubelet/pods").
		daemonSet(t, "akri-agent-daemonset")
	if d := cmp.Diff(want, hostPaths(ds.Spec.Template.Spec)); d != "" {
		t.Error(d)
	}
}

// The agent sees the node's device nodes but can open none of them.
func TestAgentSeesDevices(t *testing.T) {
	pod := render(t).daemonSet(t, "akri-agent-daemonset").Spec.Template.Spec
	empty := map[string]bool{}
	for _, v := range pod.Volumes {
		empty[v.Name] = v.EmptyDir != nil
	}
	hidden := map[string]bool{"/host/dev/pts": false, "/host/dev/shm": false}
	for _, m := range pod.Containers[0].VolumeMounts {
		if !strings.HasPrefix(m.MountPath, "/host") {
			continue
		}
		if !m.ReadOnly {
			t.Errorf("%s can be written", m.MountPath)
		}
		if _, ok := hidden[m.MountPath]; ok {
			hidden[m.MountPath] = empty[m.Name]
		}
	}
	for path, ok := range hidden {
		if !ok {
			t.Errorf("%s is the node's", path)
		}
	}
}

func TestFullAgent(t *testing.T) {
	ds := render(t, "agent.full=true", "agent.allowDebugEcho=true", "debugEcho.configuration.shared=false",
		"agent.allowedHostPaths={/dev,/srv/x}", "agent.allowedMounts={/srv/y}", "agent.handlerUIDs.udev={65532,0}",
		"udev.discovery.allowNodeDevices={/dev/sdz}", "agent.handlersMemory=64Mi", "agent.slotsFreedAfter=3s").daemonSet(t, "akri-agent-daemonset")
	pod := ds.Spec.Template.Spec
	c := pod.Containers[0]
	want := []string{"--socket-gid=65530", "--state-dir=/var/lib/akri-agent", "--host-root=/host", "--handler-uids=udev=65532,udev=0",
		"--allowed-host-paths=/dev,/srv/x", "--allowed-mounts=/srv/y", "--handlers-memory=64Mi", "--slots-freed-after=3s",
		"--builtin=udev,onvif,opcua,modbus,mqtt,mdns,debugEcho"}
	if d := cmp.Diff(want, c.Args); d != "" {
		t.Error(d)
	}
	if e := envOf(c, "DEBUG_ECHO_INSTANCES_SHARED"); e == nil || e.Value != "false" {
		t.Errorf("DEBUG_ECHO_INSTANCES_SHARED %v", e)
	}
	if e := envOf(c, "UDEV_ALLOW_NODE_DEVICES"); e == nil || e.Value != "/dev/sdz" || envOf(c, "UDEV_NODE_MOUNTS") == nil || hostPaths(pod)["/run/node-mounts"] != "/proc/1/mountinfo" {
		t.Errorf("what the node lives on: %v, %v", e, hostPaths(pod))
	}
	if !pod.HostNetwork || hostPaths(pod)["/run/udev"] != "/run/udev" {
		t.Errorf("host network %v, host paths %v", pod.HostNetwork, hostPaths(pod))
	}
	if render(t, "agent.full=true", "agent.hostNetwork=false").daemonSet(t, "akri-agent-daemonset").Spec.Template.Spec.HostNetwork {
		t.Error("agent.hostNetwork=false is not heard")
	}
}

func TestDiscovery(t *testing.T) {
	r := render(t, everything...)
	for _, c := range []struct {
		name    string
		args    []string
		paths   map[string]string
		builtin bool
	}{
		{"akri-udev-discovery", []string{"udev"}, map[string]string{"/var/lib/akri": "/var/lib/akri", "/run/udev": "/run/udev", "/run/node-mounts": "/proc/1/mountinfo"}, true},
		{"akri-debug-echo-discovery", []string{"debugEcho"}, map[string]string{"/var/lib/akri": "/var/lib/akri"}, true},
		{"akri-onvif-discovery", []string{"onvif"}, map[string]string{"/var/lib/akri": "/var/lib/akri"}, true},
		{"akri-opcua-discovery", []string{"opcua"}, map[string]string{"/var/lib/akri": "/var/lib/akri"}, true},
		{"akri-modbus-discovery", []string{"modbus"}, map[string]string{"/var/lib/akri": "/var/lib/akri"}, true},
		{"akri-mqtt-discovery", []string{"mqtt"}, map[string]string{"/var/lib/akri": "/var/lib/akri"}, true},
		{"akri-mdns-discovery", []string{"mdns"}, map[string]string{"/var/lib/akri": "/var/lib/akri"}, true},
		{"akri-custom-discovery", nil, map[string]string{"/var/lib/akri": "/var/lib/akri"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			ds := r.daemonSet(t, c.name+"-daemonset")
			pod := ds.Spec.Template.Spec
			ctr := pod.Containers[0]
			if got := ds.Spec.Template.Labels["app.kubernetes.io/name"]; got != c.name {
				t.Errorf("app.kubernetes.io/name is %q", got)
			}
			if d := cmp.Diff(c.args, ctr.Args); d != "" {
				t.Error(d)
			}
			if d := cmp.Diff(c.paths, hostPaths(pod)); d != "" {
				t.Error(d)
			}
			if pod.AutomountServiceAccountToken == nil || *pod.AutomountServiceAccountToken {
				t.Error("has a token of the API server")
			}
			if e := envOf(ctr, "DISCOVERY_HANDLERS_DIRECTORY"); e == nil || e.Value != "/var/lib/akri" {
				t.Errorf("DISCOVERY_HANDLERS_DIRECTORY %v", e)
			}
			if envOf(ctr, "POD_IP") != nil {
				t.Error("POD_IP is set: the handler would listen on the network")
			}
			if !c.builtin {
				if d := cmp.Diff([]int64{65530}, pod.SecurityContext.SupplementalGroups); d != "" {
					t.Errorf("not in the sockets' group: %s", d)
				}
				return
			}
			confined(t, pod, ctr)
			sc := ctr.SecurityContext
			if sc.RunAsNonRoot == nil || !*sc.RunAsNonRoot || *sc.RunAsUser != 65532 || *sc.RunAsGroup != 65530 {
				t.Errorf("user %v, group %v, non-root %v", sc.RunAsUser, sc.RunAsGroup, sc.RunAsNonRoot)
			}
		})
	}

	net := render(t, "udev.discovery.enabled=true", "udev.discovery.useNetworkConnection=true", "udev.discovery.port=10001",
		"udev.discovery.host.udev=", "udev.discovery.tolerations[0].operator=Exists", "udev.discovery.nodeSelectors.site=mill",
		"agent.socketGroup=4000", "udev.discovery.securityContext.runAsUser=7", "udev.discovery.priorityClassName=high").daemonSet(t, "akri-udev-discovery-daemonset").Spec.Template.Spec
	ctr := net.Containers[0]
	if envOf(ctr, "POD_IP") == nil || ctr.Ports[0].ContainerPort != 10001 {
		t.Errorf("useNetworkConnection: %v %v", ctr.Env, ctr.Ports)
	}
	if _, mounted := hostPaths(net)["/run/udev"]; mounted {
		t.Error("/run/udev is mounted with an empty path")
	}
	if envOf(ctr, "UDEV_NODE_MOUNTS") == nil || envOf(ctr, "UDEV_ALLOW_NODE_DEVICES") != nil {
		t.Errorf("the environment is %v", ctr.Env)
	}
	allowing := render(t, "udev.discovery.enabled=true", "udev.discovery.host.mounts=", "udev.discovery.allowNodeDevices={/dev/sd*,/dev/watchdog}").
		daemonSet(t, "akri-udev-discovery-daemonset").Spec.Template.Spec
	if e := envOf(allowing.Containers[0], "UDEV_ALLOW_NODE_DEVICES"); e == nil || e.Value != "/dev/sd*,/dev/watchdog" {
		t.Errorf("allowNodeDevices: %v", e)
	}
	if _, mounted := hostPaths(allowing)["/run/node-mounts"]; mounted || envOf(allowing.Containers[0], "UDEV_NODE_MOUNTS") != nil {
		t.Error("the node's mounts are mounted with an empty path")
	}
	if net.Tolerations[0].Operator != corev1.TolerationOpExists || net.NodeSelector["site"] != "mill" || net.NodeSelector["kubernetes.io/os"] != "linux" || net.PriorityClassName != "high" {
		t.Errorf("placement: %v %v", net.Tolerations, net.NodeSelector)
	}
	if sc := ctr.SecurityContext; *sc.RunAsUser != 7 || *sc.RunAsGroup != 4000 || sc.ReadOnlyRootFilesystem == nil {
		t.Errorf("securityContext is not laid over the default: %v", sc)
	}
}

// The rule of README.md, as a shell passes it to Helm.
func TestRuleWithComma(t *testing.T) {
	c, _ := render(t, "udev.configuration.enabled=true", `udev.configuration.discoveryDetails.udevRules[0]=SUBSYSTEM=="video4linux"\, ATTR{index}=="0"`,
		"udev.configuration.discoveryDetails.identifyBy=path").configuration(t, "akri-udev")
	d, err := udev.Parse(c.Spec.DiscoveryHandler.DiscoveryDetails)
	if err != nil || len(d.Rules) != 1 || d.Rules[0].String() != `SUBSYSTEM=="video4linux", ATTR{index}=="0"` || d.IdentifyBy != udev.ByPath {
		t.Errorf("%+v, %v", d, err)
	}
}

func TestImageTags(t *testing.T) {
	for _, c := range []struct {
		set  []string
		want string
	}{
		{[]string{"imagePrefix=r.example/a"}, "r.example/a/agent:v0.1.0"},
		{[]string{"useLatestContainers=true"}, "ghcr.io/akri-go/akri/agent:latest"},
		{[]string{"useDevelopmentContainers=true"}, "ghcr.io/akri-go/akri/agent:v0.1.0-dev"},
		{[]string{"useDebugContainers=true"}, "ghcr.io/akri-go/akri/agent:v0.1.0-debug"},
		{[]string{"useLatestContainers=true", "useDevelopmentContainers=true"}, "ghcr.io/akri-go/akri/agent:latest-dev"},
		{[]string{"agent.image.repository=x/y", "agent.image.tag=z", "useDevelopmentContainers=true"}, "x/y:z"},
		{[]string{"agent.image.tag=1"}, "ghcr.io/akri-go/akri/agent:1"},
		{[]string{"agent.image.tag=0"}, "ghcr.io/akri-go/akri/agent:0"},
		{[]string{"agent.full=true", "agent.image.fullRepository=x/full", "agent.image.repository=x/y"}, "x/full:v0.1.0"},
	} {
		if got := render(t, c.set...).daemonSet(t, "akri-agent-daemonset").Spec.Template.Spec.Containers[0].Image; got != c.want {
			t.Errorf("%v: %s, want %s", c.set, got, c.want)
		}
	}
}

// confined checks that a Pod has no more rights than it needs.
func confined(t *testing.T, pod corev1.PodSpec, c corev1.Container) {
	t.Helper()
	sc := c.SecurityContext
	switch {
	case sc.AllowPrivilegeEscalation == nil || *sc.AllowPrivilegeEscalation,
		sc.ReadOnlyRootFilesystem == nil || !*sc.ReadOnlyRootFilesystem,
		sc.Capabilities == nil || fmt.Sprint(sc.Capabilities.Drop) != "[ALL]" || len(sc.Capabilities.Add) > 0,
		sc.Privileged != nil && *sc.Privileged,
		pod.SecurityContext == nil || pod.SecurityContext.SeccompProfile == nil ||
			pod.SecurityContext.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault:
		t.Errorf("%s: security context %v of a Pod with %v", c.Name, sc, pod.SecurityContext)
	}
	if c.Resources.Requests.Memory().IsZero() || c.Resources.Limits.Memory().IsZero() {
		t.Errorf("%s: no memory request or limit", c.Name)
	}
}

// hostPaths returns the host's path for each mount path of the first container.
func hostPaths(pod corev1.PodSpec) map[string]string {
	host := map[string]string{}
	for _, v := range pod.Volumes {
		if v.HostPath != nil {
			host[v.Name] = v.HostPath.Path
		}
	}
	out := map[string]string{}
	for _, m := range pod.Containers[0].VolumeMounts {
		if p, ok := host[m.Name]; ok {
			out[m.MountPath] = p
		}
	}
	return out
}

func envOf(c corev1.Container, name string) *corev1.EnvVar {
	for i := range c.Env {
		if c.Env[i].Name == name {
			return &c.Env[i]
		}
	}
	return nil
}
