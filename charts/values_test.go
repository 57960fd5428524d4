package charts

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"helm.sh/helm/v4/pkg/strvals"
	"sigs.k8s.io/yaml"
)

func TestRefused(t *testing.T) {
	for _, c := range []struct{ set, want string }{
		{"udev.discovery.enabeld=true", "enabeld"},
		{"udev.configuration.discoveryDetails.permissions=wr", "permissions"},
		{"udev.configuration.enabled=true", `udevRules[0]=SUBSYSTEM=="video4linux"\, ATTR{index}=="0"`},
		{"udev.configuration.discoveryDetails.identifyBy=name", "identifyBy"},
		{"udev.discovery.allowNodeDevices={sda}", "allowNodeDevices"},
		{"udev.configuration.capacity=0", "capacity"},
		{"custom.discovery.enabled=true", "custom.discovery.image.repository"},
		{"custom.configuration.enabled=true", "custom.configuration.discoveryHandlerName"},
		{"udev.configuration.discoveryDetails.udevRule[0]=x", "'/udev/configuration/discoveryDetails': additional properties 'udevRule' not allowed"},
		{"udev.configuration.brokerPod.image=nginx", "'/udev/configuration/brokerPod/image': got string, want object"},
		{"udev.configuration.brokerPod.env.A.B=x", "'/udev/configuration/brokerPod/env/A': got object"},
		{"udev.configuration.brokerPod.envFrom.secret[0]=x", "additional properties 'secret' not allowed"},
		{"onvif.configuration.discoveryProperties[0].name=P,onvif.configuration.discoveryProperties[0].valueFrom.secretKeyRef.nam=x", "'nam' not allowed"},
		{"agent.tolerations.key=x", "'/agent/tolerations': got object, want null or array"},
		{"agent.nodeSelectors.gpu=true", "nodeSelectors"},
		{"cleanupHook.timeoutSeconds=0", "timeoutSeconds"},
		{"cleanupHook.enable=false", "enable"},
		{"dashboard.service.type=ExternalName", "'/dashboard/service/type'"},
		{"dashboard.token=word", "'/dashboard/token': got string, want object"},
		{"controller.replicas=two", "replicas"},
		{"agent.host.discoveryHandlers=var/lib", "discoveryHandlers"},
		{"agent.host.state=/var/lib/akri", "agent.host.state=/var/lib/akri is in the handlers' folder"},
		{"agent.host.state=/var/lib//akri/../akri/state", "is in the handlers' folder"},
		{"agent.host.discoveryHandlers=/srv/,agent.host.state=/srv/x", "is in the handlers' folder"},
		{"agent.host.discoveryHandlers=/", "is in the handlers' folder"},
		{"agent.socketGroup=0", "socketGroup"},
		{"prometheus.port=70000", "port"},
		{"controller.resources.memoryLimit=lots", "memoryLimit"},
		{"udev.configuration.offlineGracePeriod=5 minutes", "offlineGracePeriod"},
		{"crds.version=v1", "version"},
		{"custom.discovery.securityContext.runAsGroup=5", "'/custom/discovery/securityContext': properties 'runAsUser' required, if 'runAsGroup' exists"},
		{"udev.configuration.brokerPod.securityContext.runAsGroup=5", "'runAsUser' required"},
		{"controller.securityContext.runAsUser=null", "'runAsUser' required"},
	} {
		_, err := tryRender(t, c.set)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("--set %s: error %v, want one that names %q", c.set, err, c.want)
		}
	}
}

func TestStateBesideTheHandlers(t *testing.T) {
	pod := render(t, "agent.host.discoveryHandlers=/var/lib/akri/,agent.host.state=/var/lib/akri-2").daemonSet(t, "akri-agent-daemonset").Spec.Template.Spec
	for _, v := range pod.Volumes {
		if v.Name == "state" && v.HostPath.Path != "/var/lib/akri-2" {
			t.Errorf("the state is in %s", v.HostPath.Path)
		}
	}
}

// A string that looks like a number, in a values file or --set, stays as it was
// written.
func TestNumbers(t *testing.T) {
	const set = "custom.configuration.enabled=true,custom.configuration.discoveryHandlerName=mine,custom.configuration.brokerPod.image.repository=b," +
		"custom.configuration.brokerPod.image.tag=20240101,custom.configuration.brokerProperties.BAUD=1000000,custom.configuration.brokerPod.env.RATE=2500000," +
		"custom.discovery.enabled=true,custom.discovery.image.repository=h,custom.discovery.image.tag=1,custom.discovery.env.SIZE=3000000"
	values := map[string]any{}
	if err := strvals.ParseInto(set, values); err != nil {
		t.Fatal(err)
	}
	file, err := yaml.Marshal(values)
	if err != nil {
		t.Fatal(err)
	}
	values = map[string]any{} // with numbers as a file has them
	if err := yaml.Unmarshal(file, &values); err != nil {
		t.Fatal(err)
	}
	for from, r := range map[string]rendered{"--set": render(t, set), "a file": renderValues(t, values)} {
		c, pod := r.configuration(t, "akri-custom")
		handler := r.daemonSet(t, "akri-custom-discovery-daemonset").Spec.Template.Spec.Containers[0]
		got := []string{pod.Containers[0].Image, c.Spec.BrokerProperties["BAUD"], envOf(pod.Containers[0], "RATE").Value,
			handler.Image, envOf(handler, "SIZE").Value}
		if d := cmp.Diff([]string{"b:20240101", "1000000", "2500000", "h:1", "3000000"}, got); d != "" {
			t.Errorf("from %s: %s", from, d)
		}
	}
	values["agent"] = map[string]any{"image": map[string]any{"tag": 1.1}} // perhaps it was 1.10
	if _, err := tryRenderValues(t, values); err == nil || !strings.Contains(err.Error(), "tag") {
		t.Errorf("tag 1.1: error %v", err)
	}
}

// Rules have commas, which --set uses as separators (docs/install.md).
func TestCommasInSet(t *testing.T) {
	const key = "udev.configuration.discoveryDetails.udevRules[0]="
	on := "udev.configuration.enabled=true"
	c, _ := render(t, on, key+`SUBSYSTEM=="tty"\, ATTRS{idVendor}=="0403"`).configuration(t, "akri-udev")
	if d := c.Spec.DiscoveryHandler.DiscoveryDetails; !strings.Contains(d, `SUBSYSTEM=="tty", ATTRS{idVendor}=="0403"`) {
		t.Errorf("details %q", d)
	}
	// Without the backslash it is refused, not cut.
	if _, err := tryRender(t, on, key+`SUBSYSTEM=="tty", KERNEL=="ttyUSB*"`); err == nil || !strings.Contains(err.Error(), "' KERNEL' not allowed") {
		t.Errorf("error %v", err)
	}
}

func TestNotes(t *testing.T) {
	for _, c := range []struct {
		set  []string
		want []string
	}{
		{nil, []string{"No discovery handler is enabled"}},
		{[]string{"kubernetesDistro=k3s"}, []string{"kubernetesDistro has no effect"}},
		{[]string{"agent.host.crictl=/x"}, []string{"agent.host.crictl has no effect"}},
		{[]string{"onvif.discovery.enabled=true", "onvif.discovery.hostNetwork=false"},
			[]string{"onvif.discovery.hostNetwork is false"}},
		{[]string{"webhookConfiguration.image.tag=v0.13.8", "cleanupHook.enabled=true"},
			[]string{"webhookConfiguration.image has no effect"}},
		{[]string{"controller.enabled=false"}, []string{"webhookConfiguration.enabled has no effect without the controller"}},
		{nil, []string{"deletes the Configurations of all namespaces"}},
		{[]string{"rbac.enabled=false"}, []string{"does not update CRDs"}},
		{[]string{"crds.update.enabled=false"}, []string{"does not update CRDs"}},
		{everything, []string{"brokers of akri-udev are not privileged"}},
	} {
		notes := render(t, c.set...).notes
		for _, want := range c.want {
			if !strings.Contains(notes, want) {
				t.Errorf("%v: notes lack %q:\n%s", c.set, want, notes)
			}
		}
	}
	if notes := render(t, "udev.discovery.enabled=true").notes; strings.Contains(notes, "WARNING") || strings.Contains(notes, "No discovery") {
		t.Errorf("a plain install warns:\n%s", notes)
	}
}
