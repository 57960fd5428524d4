package explain

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	v0 "github.com/akri-go/akri/api/v0"
)

const nobody = `no discovery handler "udev" is registered on this node: does its Pod run here?`

func TestConfigurations(t *testing.T) {
	const cam = "Configuration default/cam"
	without := func(c *Cluster, label string) {
		for i, set := range c.DaemonSets {
			if set.Labels[LabelName] == label {
				c.DaemonSets = append(c.DaemonSets[:i:i], c.DaemonSets[i+1:]...)
			}
		}
	}
	runCases(t, []faultCase{
		{"discoveryDetails are wrong", func(c *Cluster) {
			c.says(v0.DiscoveryFailed, "udev: rule 1: KERNEL= assigns")
			c.Configurations[0].Spec.DiscoveryHandler.DiscoveryDetails = "udevRules:\n- KERNEL=\"video*\"\n"
		}, cam[0:13] + " cam", "problem DiscoveryDetailsRefused " + cam, "rule 1|akri check -f|docs/handlers/udev.md"},
		{"another handler refuses them", func(c *Cluster) {
			c.says(v0.DiscoveryFailed, "unix:///x.sock: list: no such list")
			c.Configurations[0].Spec.DiscoveryHandler.Name = "inventory"
		}, "", "problem DiscoveryFailed " + cam, "no such list|docs/write-a-handler.md"},
		{"a Secret is missing", func(c *Cluster) {
			c.says(v0.DiscoveryFailed, `discovery property PASSWORD: Secret default/cams with key "p" is not there, and not optional`)
			c.Configurations[0].Spec.DiscoveryHandler.DiscoveryProperties = []v0.DiscoveryProperty{{Name: "PASSWORD", ValueFrom: &v0.DiscoveryPropertySource{
				SecretKeyRef: &v0.DiscoveryPropertyKeySelector{Name: "cams", Key: "p"}}}}
		}, "", "problem DiscoveryPropertyUnreadable " + cam, "is not there|kubectl -n default get secret cams"},
		{"a Secret has become unreadable", func(c *Cluster) {
			c.Configurations[0].Status.Nodes[0].Message = `discovery property PASSWORD: read Secret a/b: the agent may not: list the namespace in the chart value agent.discoveryProperties.rbac (the handler keeps what it was asked before); asked x`
		}, "", "problem DiscoveryPropertyUnreadable " + cam, "keeps what it was asked before"},
		{"an older one has its name", func(c *Cluster) {
			c.configuration("other", "cam").CreationTimestamp = ago(time.Hour)
		}, "", "problem NameTaken Configuration other/cam", "the older Configuration default/cam|akri.sh/cam|another name"},
		{"an older one that cannot be seen has its name", func(c *Cluster) {
			c.says(v0.DiscoveryFailed, "the resource akri.sh/cam belongs to the older Configuration secret/cam: rename one of the two")
		}, "", "problem NameTaken " + cam, "belongs to the older"},
		{"its name is too long", func(c *Cluster) { c.configuration("default", strings.Repeat("x", 57)) }, "",
			"problem NameTooLong Configuration default/" + strings.Repeat("x", 57), "57 characters, and at most 56"},
		{"deleted and not gone", func(c *Cluster) {
			c.Configurations[0].DeletionTimestamp, c.Configurations[0].Finalizers = ptr.To(ago(time.Hour)), []string{"n7"}
		}, "", "problem DeletionWaits " + cam, "finalizers n7"},
		{"the handler is not installed", func(c *Cluster) {
			c.says(v0.DiscoveryWaiting, nobody)
			without(c, "akri-udev-discovery")
			c.without("udev-")
		}, "", "problem HandlerNotInstalled " + cam, "no discovery handler udev is installed|helm upgrade akri <chart> --namespace akri --reuse-values --set udev.discovery.enabled=true"},
		{"a handler of a user's is not installed", func(c *Cluster) {
			c.says(v0.DiscoveryWaiting, nobody)
			c.Configurations[0].Spec.DiscoveryHandler.Name = "inventory"
		}, "", "problem HandlerNotInstalled " + cam, "akri handler test"},
		{"the handler's name is misspelt", func(c *Cluster) {
			c.says(v0.DiscoveryWaiting, nobody)
			c.Configurations[0].Spec.DiscoveryHandler.Name = "debugecho"
		}, "", "problem HandlerUnknown " + cam, "is debugEcho meant?"},
		{"a handler of two in one process", func(c *Cluster) {
			c.says(v0.DiscoveryWaiting, nobody)
			c.Configurations[0].Spec.DiscoveryHandler.Name = "onvif"
			c.Configurations[0].Spec.DiscoveryHandler.DiscoveryDetails = ""
			c.DaemonSets[1].Spec.Template.Spec.Containers[0].Args = []string{"udev", "onvif"}
		}, "", "problem HandlerSilent " + cam, "a Pod of the handler onvif runs on n1, n2"},
		{"the handler is not on the node", func(c *Cluster) {
			c.without("udev-n2")
			c.Configurations[0].Status.Nodes[1].State, c.Configurations[0].Status.Nodes[1].Message = v0.DiscoveryWaiting, nobody
			c.DaemonSets[1].Spec.Template.Spec.NodeSelector = map[string]string{"camera": "yes"}
		}, "", "warning HandlerNotOnNode " + cam, "runs on n2|on nodes with camera=yes|udev.discovery.nodeSelectors"},
		{"upstream's handler reports nothing", func(c *Cluster) {
			c.says(v0.DiscoveryWaiting, "unix:///x: connected, but nothing was reported within 30s; handlers made for upstream Akri report nothing until they find a device")
		}, "", "warning HandlerSilent " + cam, "has reported nothing"},
		{"the rule matches nothing", func(c *Cluster) {
			c.says(v0.DiscoveryActive, "asked unix:///x")
			c.event("Configuration", "cam", "DeviceLost", `device "/devices/usb1" left node n1`)
		}, "Configuration cam", "warning NothingFound " + cam, "no device is what it asks for|akri discover -f cam.yaml|--rule-help|left node n1"},
		{"the agents say nothing of it", func(c *Cluster) { c.Configurations[0].Status.Nodes = c.Configurations[0].Status.Nodes[:1] }, "",
			"problem AgentSaysNothing " + cam, "the agents of n2 say nothing"},
		{"it is new", func(c *Cluster) {
			conf := c.configuration("default", "new")
			conf.CreationTimestamp = ago(5 * time.Second)
		}, "Configuration new", "", "is well: handler udev is no agent says anything of it"},
		{"a disk in use", func(c *Cluster) {
			c.says(v0.DiscoveryActive, "asked x; unix:///x: left out, because the node itself needs it: /dev/vda (the node has it mounted at /); the operator can allow it (udev.discovery.allowNodeDevices)")
		}, "", "warning NeededByNode " + cam + "; warning NothingFound " + cam + " <- NeededByNode", "mounted at /|udev.discovery.allowNodeDevices"},
		{"no udev on the node", func(c *Cluster) {
			c.Configurations[0].Status.Nodes[1].Message = "asked x; x: udev records nothing here (no /run/udev/data, or it is not mounted): ENV{ID_BUS} of rule 2 finds nothing"
		}, "", "problem NoUdevRecords " + cam, "udev.discovery.host.udev"},
		{"no serial number", func(c *Cluster) {
			c.Configurations[0].Status.Nodes[1].Message = "asked x; x: identified by place, since there is no serial number: /dev/ttyUSB0"
		}, "", "warning NoSerialNumber " + cam, "/dev/ttyUSB0"},
		{"a camera needs a password", func(c *Cluster) {
			c.Configurations[0].Status.Nodes[0].Message = "asked x; x: camera at 10.0.0.9: it wants a user"
			c.Configurations[0].Status.Nodes[1].Message = "asked x; x: camera at 10.0.0.9: it wants a user"
			c.Configurations[0].Spec.DiscoveryHandler = v0.DiscoveryHandlerInfo{Name: "onvif"}
		}, "", "warning HandlerSays " + cam, "it wants a user|docs/handlers/onvif.md|akri discover onvif --help"},
		{"a mount that is not allowed", func(c *Cluster) {
			c.Configurations[0].Status.Nodes[1].Message = `asked x; x: device "a": mount: "/etc" is not in an allowed folder: there is none (agent.allowedMounts)`
		}, "", "problem DeviceRefused " + cam, "agent.allowedMounts"},
		{"the agent may not write Instances", func(c *Cluster) {
			c.says(v0.DiscoveryActive, "2 without Instance: instances.akri.sh is forbidden; ask somebody; asked x")
			c.Configurations[0].Status.Nodes[0].Devices = 2
			c.event("Configuration", "cam", "InstanceRefused", "node n1: forbidden")
		}, "", "problem DeviceRefused " + cam, "2 without Instance: instances.akri.sh is forbidden; ask somebody|Event InstanceRefused"},
		{"found twice", func(c *Cluster) { c.condition(v0.ConditionDevicesExclusive, "FoundTwice", "the same device as") }, "",
			"warning DeviceFoundTwice " + cam, "narrow the discoveryDetails"},
		{"exceeds a quota", func(c *Cluster) {
			c.condition(v0.ConditionBrokerSpecAccepted, "Refused", `pods "x" is forbidden: exceeded quota: few, requested: pods=1, used: pods=3, limited: pods=3`)
			c.without("cam-")
			c.Instances[0].Spec.DeviceUsage = nil
		}, "Device cam-000001", "problem QuotaExceeded " + cam + "; problem BrokerMissing Device default/cam-000001 <- QuotaExceeded",
			"Device default/cam-000001: it has no broker. The cause is Configuration default/cam: its broker exceeds a quota|describe resourcequota|exceeded quota: few"},
		{"Pod Security", func(c *Cluster) {
			c.condition(v0.ConditionBrokerSpecAccepted, "Refused", `pods "x" is forbidden: violates PodSecurity "restricted:latest"`)
		}, "", "problem PodSecurityForbids " + cam, "securityContext"},
		{"the broker is refused", func(c *Cluster) {
			c.condition(v0.ConditionBrokerSpecAccepted, "Refused", "spec.containers[0].image: Required")
		}, "",
			"problem BrokerSpecRefused " + cam, "image: Required"},
		{"the broker spec is no PodSpec", func(c *Cluster) { c.Configurations[0].Spec.BrokerSpec.BrokerPodSpec.Raw = []byte(`{}`) }, "",
			"problem BrokerSpecRefused " + cam, "containers: at least one is needed"},
		{"the broker asks for too much", func(c *Cluster) {
			raw := &c.Configurations[0].Spec.BrokerSpec.BrokerPodSpec.Raw
			*raw = []byte(strings.ReplaceAll(string(*raw), `"1"`, `"3"`))
		}, "", "problem BrokerAsksTooMany " + cam, "asks for 3 slots, and a device has 1"},
		{"the broker asks for nothing", func(c *Cluster) {
			raw := &c.Configurations[0].Spec.BrokerSpec.BrokerPodSpec.Raw
			*raw = []byte(strings.ReplaceAll(string(*raw), `{{PLACEHOLDER}}`, `cpu`))
		}, "", "warning BrokerAsksNothing " + cam, `"{{PLACEHOLDER}}": "1"`},
		{"there is no brokerSpec", func(c *Cluster) { c.Configurations[0].Spec.BrokerSpec = nil }, "Configuration cam", "note SlotsHeld " + cam + "; note NoBrokerWanted " + cam,
			"is well|only offered as akri.sh/cam|docs/use-a-device.md"},
		{"a Service is refused", func(c *Cluster) {
			c.condition(v0.ConditionServicesAccepted, "ServiceSpecRefused", "spec.ports: Required")
		}, "",
			"problem ServiceRefused " + cam, "spec.ports: Required"},
	})
}

func TestParse(t *testing.T) {
	for message, want := range map[string]said{
		"":                                     {},
		"asked a; asked b":                     {},
		"asked a; b: c; d":                     {Rest: "b: c; d"},
		"1 without Instance: x; y; asked a; n": {Without: "1 without Instance: x; y", Rest: "n"},
		"none without Instance: x":             {Rest: "none without Instance: x"},
	} {
		if got := parse(message); got != want {
			t.Errorf("%q: %+v, want %+v", message, got, want)
		}
	}
}

func TestNearest(t *testing.T) {
	for name, want := range map[string]string{"udev": "", "UDEV": "udev", "udve": "udev", "onvfi": "onvif", "opc-ua": "opcua", "inventory": "", "mqt": "mqtt",
		strings.Repeat("x", 1000): ""} {
		if got := nearest(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

// Thousands of nodes and messages of strangers make no long answer.
func TestBounds(t *testing.T) {
	c := well()
	for i := range 5000 {
		name := "x" + strings.Repeat("y", 200) + string(rune('a'+i%26)) + time.Duration(i).String()
		c.Configurations[0].Status.Nodes = append(c.Configurations[0].Status.Nodes,
			v0.ConfigurationNode{Name: name, State: v0.DiscoveryFailed, Message: strings.Repeat("ü", 500)})
		inst := c.instance("cam-"+time.Duration(i).String(), "n1")
		inst.Status.Nodes = []v0.InstanceNode{{Name: "n1", State: v0.DeviceOffline, Since: &metav1.Time{Time: now}}}
	}
	a := All(*c, "")
	if len(a.Findings) != maxFindings || a.More == 0 {
		t.Errorf("%d findings, %d more", len(a.Findings), a.More)
	}
	for _, f := range a.Findings {
		if len(f.Evidence) > maxEvidence || len(f.Summary) > 4096 {
			t.Errorf("%s has %d pieces of evidence, and a summary of %d bytes", f.Cause, len(f.Evidence), len(f.Summary))
		}
	}
}
