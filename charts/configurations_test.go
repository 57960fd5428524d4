package charts

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	akri "github.com/akri-go/akri/api/v0"
	mdns "github.com/akri-go/akri/internal/handlers/mdns/details"
	modbus "github.com/akri-go/akri/internal/handlers/modbus/details"
	mqtt "github.com/akri-go/akri/internal/handlers/mqtt/details"
	opcua "github.com/akri-go/akri/internal/handlers/opcua/details"
)

func TestConfigurations(t *testing.T) {
	r := render(t, append(slices.Clone(everything), "imagePullSecrets[0].name=pull",
		"udev.configuration.offlineGracePeriod=5s", "udev.configuration.brokerProperties.WIDTH=640",
		"udev.configuration.brokerPod.env.MODE=fast", "udev.configuration.brokerPod.envFrom.secretRef[0]=s",
		"debugEcho.configuration.brokerPod.env[0].name=E", "debugEcho.configuration.brokerPod.env[0].value=V",
		"onvif.configuration.discoveryProperties[0].name=P", "onvif.configuration.discoveryProperties[0].value=V")...)

	c, pod := r.configuration(t, "akri-udev")
	var details map[string]any
	if err := yaml.UnmarshalStrict([]byte(c.Spec.DiscoveryHandler.DiscoveryDetails), &details); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"udevRules": []any{`KERNEL=="null"`}, "groupRecursive": false, "permissions": "rwm"}
	if d := cmp.Diff(want, details); d != "" {
		t.Error(d)
	}
	if c.Spec.DiscoveryHandler.Name != "udev" || c.Spec.Capacity != 1 || c.Spec.DiscoveryHandler.Grace(false).String() != "5s" ||
		c.Spec.BrokerProperties["WIDTH"] != "640" {
		t.Errorf("%+v", c.Spec)
	}
	ctr := pod.Containers[0]
	one := ctr.Resources.Limits[corev1.ResourceName(akri.Placeholder)]
	if one.String() != "1" || ctr.Name != "akri-udev-broker" || ctr.Image != "b:latest" {
		t.Errorf("broker %+v", ctr)
	}
	if ctr.SecurityContext != nil {
		t.Errorf("the broker of udev has the security context %v by default", ctr.SecurityContext)
	}
	if envOf(ctr, "MODE") == nil || ctr.EnvFrom[0].SecretRef.Name != "s" || pod.ImagePullSecrets[0].Name != "pull" {
		t.Errorf("env %v, envFrom %v, pull secrets %v", ctr.Env, ctr.EnvFrom, pod.ImagePullSecrets)
	}
	if !strings.Contains(string(c.Spec.InstanceServiceSpec.Raw), `"targetPort":8083`) || c.Spec.ConfigurationServiceSpec == nil {
		t.Errorf("services %s %v", c.Spec.InstanceServiceSpec.Raw, c.Spec.ConfigurationServiceSpec)
	}

	c, pod = r.configuration(t, "akri-debug-echo")
	if c.Spec.Capacity != 2 || c.Spec.DiscoveryHandler.Name != "debugEcho" || envOf(pod.Containers[0], "E") == nil {
		t.Errorf("%+v", c.Spec)
	}
	c, pod = r.configuration(t, "akri-custom")
	if c.Spec.DiscoveryHandler.Name != "mine" || c.Spec.BrokerSpec.BrokerJobSpec == nil || pod.RestartPolicy != corev1.RestartPolicyOnFailure {
		t.Errorf("%+v", c.Spec)
	}
	if c.Spec.InstanceServiceSpec != nil || c.Spec.ConfigurationServiceSpec != nil {
		t.Error("a Job's Configuration has Services")
	}
	c, _ = r.configuration(t, "akri-onvif")
	if p := c.Spec.DiscoveryHandler.DiscoveryProperties; len(p) != 1 || p[0].Name != "P" || *p[0].Value != "V" {
		t.Errorf("discoveryProperties %v", p)
	}
	_, pod = r.configuration(t, "akri-opcua")
	if len(pod.Volumes) != 1 || pod.Containers[0].VolumeMounts[0].MountPath != "/etc/opcua-certs/client-pki" {
		t.Errorf("certificates: %v", pod.Volumes)
	}
	opcuaDetails(t)
	modbusDetails(t)
	mqttDetails(t)
	mdnsDetails(t)

	c, pod = render(t, "debugEcho.configuration.enabled=true").configuration(t, "akri-debug-echo")
	if c.Spec.BrokerSpec != nil || pod != nil || c.Spec.InstanceServiceSpec != nil {
		t.Error("without an image there is a broker or a Service")
	}
	text := "descriptions: [x]\n# mine\n"
	c, _ = render(t, "debugEcho.configuration.enabled=true", "debugEcho.configuration.discoveryDetails="+text).configuration(t, "akri-debug-echo")
	if got := strings.TrimSpace(c.Spec.DiscoveryHandler.DiscoveryDetails); got != strings.TrimSpace(text) {
		t.Errorf("details given as text: %q", got)
	}
}

// opcuaDetails checks that what the values say of OPC UA is what the handler
// takes, in upstream's form.
func opcuaDetails(t *testing.T) {
	t.Helper()
	for _, c := range []struct {
		set      []string
		interval time.Duration
	}{
		{nil, 10 * time.Second},
		{[]string{"discoveryUrls={opc.tcp://a:1,opc.tcp://b}", "interval=1m", "applicationNames=null", "productUris.items={p}"},
			time.Minute},
	} {
		set := []string{"opcua.configuration.enabled=true"}
		for _, s := range c.set {
			set = append(set, "opcua.configuration.discoveryDetails."+s)
		}
		conf, _ := render(t, set...).configuration(t, "akri-opcua")
		details := conf.Spec.DiscoveryHandler.DiscoveryDetails
		got, err := opcua.Parse(details)
		if err != nil || got.Interval != c.interval || !strings.Contains(details, "opcuaDiscoveryMethod:\n  standard:\n    discoveryUrls:") {
			t.Errorf("%v: %v in\n%s", c.set, err, details)
		}
		if c.set != nil && (len(got.URLs) != 2 || got.ProductURIs.Passes("q") || !got.Names.Passes("q")) ||
			c.set == nil && (len(got.URLs) != 1 || !got.Names.Passes("q")) {
			t.Errorf("%v: %+v", c.set, got)
		}
	}
}

// mdnsDetails checks that what the values say of mDNS is what the handler takes.
func mdnsDetails(t *testing.T) {
	t.Helper()
	set := []string{"mdns.configuration.enabled=true"}
	for _, s := range []string{"types={_ipp._tcp,_osc._udp}", "txt.model.items={X*}", "txtProperties.items={rp}", "identityKey=UUID",
		"interfaces={eth0}", "networks={10.0.0.0/8}", "hosts.action=Include", "hosts.items={a}", "discoveryTimeoutSeconds=7"} {
		set = append(set, "mdns.configuration.discoveryDetails."+s)
	}
	conf, _ := render(t, set...).configuration(t, "akri-mdns")
	got, err := mdns.Parse(conf.Spec.DiscoveryHandler.DiscoveryDetails)
	if err != nil || len(got.Types) != 2 || got.TXT["model"].Pass("Y") || got.TXTProperties.Pass("x") || got.IdentityKey != "uuid" ||
		len(got.Interfaces) != 1 || len(got.Networks) != 1 || !got.Instances.Pass("any") || got.Hosts.PassHost("b.local") || got.Timeout != 7*time.Second {
		t.Errorf("%+v, %v in\n%s", got, err, conf.Spec.DiscoveryHandler.DiscoveryDetails)
	}
	if _, err := tryRender(t, "mdns.configuration.enabled=true"); err == nil || !strings.Contains(err.Error(), "needs a service type") {
		t.Errorf("without a type: %v", err)
	}
}

// modbusDetails checks that what the values say of Modbus is what the handler
// takes.
func modbusDetails(t *testing.T) {
	t.Helper()
	const key = "modbus.configuration.discoveryDetails."
	conf, _ := render(t, "modbus.configuration.enabled=true", key+"servers={10.0.0.5,10.0.1.0/30}").configuration(t, "akri-modbus")
	got, err := modbus.Parse(conf.Spec.DiscoveryHandler.DiscoveryDetails)
	if err != nil || len(got.Servers) != 3 || len(got.Servers[0].Units) != 1 || got.Interval != 10*time.Second || !got.Vendors.Passes("q") {
		t.Errorf("%+v, %v", got, err)
	}
	conf, _ = render(t, "modbus.configuration.enabled=true", key+"servers[0].address=a", key+"servers[0].units={7}", key+"servers[1]=b",
		key+"units={1-3,9}", key+"probe.function=4", key+"probe.address=65535", key+"identity=128", key+"vendorNames.items={v}",
		key+"interval=1m", key+"timeout=500ms", key+"gap=0s").configuration(t, "akri-modbus")
	got, err = modbus.Parse(conf.Spec.DiscoveryHandler.DiscoveryDetails)
	if err != nil || len(got.Servers) != 2 || len(got.Servers[0].Units) != 1 || len(got.Servers[1].Units) != 4 || got.Probe.Address != 65535 ||
		got.Identity != 128 || got.Interval != time.Minute || got.Timeout != 500*time.Millisecond || got.Gap != 0 || got.Vendors.Passes("q") {
		t.Errorf("%+v, %v", got, err)
	}
	for _, bad := range []string{"servers=", "units={300}", "probe.function=6", "identity=true", "unit=1"} {
		if _, err := tryRender(t, "modbus.configuration.enabled=true", key+"servers={a}", key+bad); err == nil {
			t.Errorf("%s is accepted", bad)
		}
	}
	if _, err := tryRender(t, "modbus.configuration.enabled=true"); err == nil || !strings.Contains(err.Error(), "needs a server") {
		t.Errorf("without a server: %v", err)
	}
}

// mqttDetails checks that what the values say of MQTT is what the handler takes.
func mqttDetails(t *testing.T) {
	t.Helper()
	const on, key = "mqtt.configuration.enabled=true", "mqtt.configuration.discoveryDetails."
	conf, _ := render(t, on, key+"broker=mqtt://b").configuration(t, "akri-mqtt")
	got, err := mqtt.Parse(conf.Spec.DiscoveryHandler.DiscoveryDetails)
	if err != nil || len(got.Domains) != 1 || got.Prefix != "homeassistant" || got.Grace != mqtt.DefaultGrace || len(got.Patterns) != 0 {
		t.Errorf("%+v, %v", got, err)
	}
	conf, _ = render(t, on, key+"broker=mqtts://b:1", key+"homie=null", key+"homeAssistant.prefix=ha", key+"topics[0].pattern=a/+", key+"topics[0].lostAfter=1m",
		key+"brokerGracePeriod=5m", key+"insecureSkipTLSVerify=true", key+"models.items={m}").configuration(t, "akri-mqtt")
	got, err = mqtt.Parse(conf.Spec.DiscoveryHandler.DiscoveryDetails)
	if err != nil || len(got.Domains) != 0 || got.Prefix != "ha" || got.Grace != 5*time.Minute || !got.SkipTLSVerify || got.Models.Passes("q") ||
		len(got.Patterns) != 1 || got.Patterns[0].LostAfter != time.Minute {
		t.Errorf("%+v, %v", got, err)
	}
	for _, bad := range []string{"homie=true", "topics[0].lostAfter=1m", "topic=a", "insecureSkipTLSVerify=maybe", "homie.domain=a"} {
		if _, err := tryRender(t, on, key+"broker=mqtt://b", key+bad); err == nil {
			t.Errorf("%s is accepted", bad)
		}
	}
	if _, err := tryRender(t, on); err == nil || !strings.Contains(err.Error(), "needs a broker") {
		t.Errorf("without a broker: %v", err)
	}
}
