package explain

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	v0 "github.com/akri-go/akri/api/v0"
)

// faultCase is a cluster that is well but for one thing.
type faultCase struct {
	name   string
	change func(*Cluster)
	ask    string // "Kind name"; "" is everything
	want   string // brief
	says   string // what is in the answer, with "|" between
}

func runCases(t *testing.T, cases []faultCase) {
	t.Helper()
	for _, tt := range cases {
		t.Run(tt.name, func(t *testing.T) {
			c := well()
			tt.change(c)
			before, err := json.Marshal(c)
			if err != nil {
				t.Fatal(err)
			}
			a := explainOf(t, c, tt.ask)
			if after, err := json.Marshal(c); err != nil || !bytes.Equal(before, after) {
				t.Errorf("the Cluster was changed: %v", err)
			}
			if got := brief(a.Findings); got != tt.want {
				t.Errorf("%s\nhave %s\nwant %s", a.Answer, got, tt.want)
			}
			for says := range strings.SplitSeq(tt.says, "|") {
				if !strings.Contains(a.all(), says) {
					t.Errorf("no %q in\n%s", says, a.all())
				}
			}
			if a.Well != !strings.Contains(tt.want, "problem ") {
				t.Errorf("well is %t", a.Well)
			}
			for _, f := range a.Findings {
				if f.Summary == "" || f.Level.rank() < 0 || f.Step.rank() < 0 || len(f.Evidence) == 0 && f.Cause != NoBrokerWanted && f.Cause != NoAgent {
					t.Errorf("incomplete: %+v", f)
				}
				if f.Level != Note && f.Remedy.Text == "" && len(f.Remedy.Commands) == 0 && f.Remedy.See == "" && f.Because == nil {
					t.Errorf("%s has no remedy", f.Cause)
				}
			}
		})
	}
}

func TestWell(t *testing.T) {
	for ask, want := range map[string]string{
		"":                   "Nothing is wrong: 2 nodes with an agent, 1 Configuration, 1 device",
		"Configuration cam":  "Configuration default/cam is well: handler udev is Active on n1, n2; 1 device",
		"Device cam-000001":  "Device default/cam-000001 is well: /dev/video1, on n1, 1 of 1 slot held",
		"Device /dev/video1": "Device default/cam-000001 is well: /dev/video1, on n1, 1 of 1 slot held",
		"Node n1":            "Node n1 is well: Ready; its agent is Running, handlers: akri-udev-discovery; 1 device",
		"Pod cam-000001-pod": "Pod default/cam-000001-pod is well: Running on n1",
		"Pod udev-n1":        "Pod akri/udev-n1 is well: Running on n1",
	} {
		if a := explainOf(t, well(), ask); a.Answer != want || !a.Well {
			t.Errorf("%s: %s\n%s", ask, a.Answer, brief(a.Findings))
		}
	}
	if a := explainOf(t, well(), "Node n1"); !strings.Contains(a.all(), "offers: akri.sh/cam-000001: 1\noffers: akri.sh/cam: 0 (all slots are held)\n") {
		t.Errorf("what the node offers:\n%s", a.all())
	}
	if a := explainOf(t, well(), "Device cam-000001"); !strings.Contains(a.all(), "slot cam-000001-0 is held on node n1 by Pod default/cam-000001-pod") {
		t.Errorf("who has the slot is not said:\n%s", a.all())
	}
}

func TestRelease(t *testing.T) {
	const controller = "problem ControllerNotReady Deployment akri/akri-controller-deployment"
	runCases(t, []faultCase{
		{"nothing is installed", func(c *Cluster) {
			*c = Cluster{Now: now, Nodes: c.Nodes}
			c.configuration("default", "cam")
		}, "", "problem NotInstalled Release akri; problem AgentSaysNothing Configuration default/cam <- NotInstalled",
			"no agent is installed|helm install akri|docs/install.md"},
		{"no controller is ready", func(c *Cluster) {
			c.Deployments[0].Status.ReadyReplicas = 0
			pod := running("controller-x", "n1")
			pod.Namespace, pod.Labels = "akri", map[string]string{LabelName: NameController}
			crashes(&pod, 1, "Error")
			c.Pods = append(c.Pods, pod)
		}, "", controller, "refuses new Configurations|0 of 2 replicas|CrashLoopBackOff|kubectl -n akri logs -l app.kubernetes.io/name=akri-controller"},
		{"the controller is scaled to 0", func(c *Cluster) {
			c.Deployments[0].Status.ReadyReplicas, c.Deployments[0].Spec.Replicas = 0, ptr.To[int32](0)
			c.without("cam-")
			c.Instances[0].Spec.DeviceUsage = nil
		}, "Device cam-000001", controller + "; problem BrokerMissing Device default/cam-000001 <- ControllerNotReady", "scaled to 0|--replicas=2|it has no broker"},
		{"there is no controller", func(c *Cluster) { c.Deployments = nil }, "", "problem ControllerNotReady Deployment akri-controller-deployment",
			"--set controller.enabled=true"},
		{"the webhook is not registered", func(c *Cluster) { c.Webhook.Registered = false }, "",
			"warning WebhookNotRegistered ValidatingWebhookConfiguration akri-webhook-configuration", "wrong Configurations are accepted"},
		{"the webhook's certificate has expired", func(c *Cluster) { c.Webhook.CABundle = authority(t, now.Add(-time.Hour)) }, "",
			"problem WebhookCertificateExpired ValidatingWebhookConfiguration akri-webhook-configuration", "valid until 2026-03-01T11:00:00Z|rollout restart"},
		{"the webhook's certificate is valid", func(c *Cluster) {
			c.Webhook.CABundle = append(authority(t, now.Add(-time.Hour)), authority(t, now.Add(time.Hour))...)
		}, "", "", "Nothing is wrong"},
		{"a handler of somebody's is refused", func(c *Cluster) {
			c.event("Node", "n2", "DiscoveryHandlerRefused", "discovery handler \"x\" of user 7 may not register")
		}, "Node n2", "warning HandlerRefused Node n2", "of user 7"},
		{"the handler's image cannot be had", func(c *Cluster) {
			waits(c.podOf("udev-n2"), "ImagePullBackOff", "not found")
			c.Configurations[0].Status.Nodes[1] = v0.ConfigurationNode{Name: "n2", State: v0.DiscoveryWaiting, Message: `no discovery handler "udev" is registered on this node: does its Pod run here?`}
		}, "", "problem HandlerNotRunning DaemonSet akri/akri-udev-discovery-daemonset; warning HandlerNotRunning Configuration default/cam <- HandlerNotRunning",
			"does not run on n2|ImagePullBackOff"},
		{"no agent has accepted the handler", func(c *Cluster) {
			c.podOf("udev-n2").Status.Conditions = nil
			c.event("Node", "n2", "DiscoveryHandlerRefused", "user 7 may not register a handler udev on this node")
		}, "Node n2", "problem HandlerNotAccepted DaemonSet akri/akri-udev-discovery-daemonset", "user 7 may not register|waiting until"},
	})
}

// authority is a certificate authority in PEM that is valid until then.
func authority(t *testing.T, until time.Time) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: until.Add(-24 * time.Hour), NotAfter: until, IsCA: true}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func TestNodes(t *testing.T) {
	down := func(c *Cluster, i int) {
		c.Nodes[i].Status.Conditions[0] = corev1.NodeCondition{Type: corev1.NodeReady, Status: corev1.ConditionUnknown,
			LastTransitionTime: ago(3 * time.Minute), Message: "Kubelet stopped posting node status."}
		c.Leases[i].Spec.RenewTime = &metav1.MicroTime{Time: now.Add(-4 * time.Minute)}
	}
	runCases(t, []faultCase{
		{"a node is lost", func(c *Cluster) { down(c, 0) }, "", "problem NodeNotReady Node n1; problem DeviceStateUnknown Device default/cam-000001 <- NodeNotReady; " +
			"problem PodNotReady Pod default/cam-000001-pod <- NodeNotReady", "Kubelet stopped posting|renewed it 4 min ago|1 device there, 1 slot held|docs/several-nodes.md"},
		{"its Pod, that was deleted", func(c *Cluster) {
			down(c, 0)
			c.podOf("cam-000001-pod").DeletionTimestamp = ptr.To(ago(10 * time.Minute))
		}, "Pod cam-000001-pod", "problem NodeNotReady Node n1; warning PodTerminating Pod default/cam-000001-pod <- NodeNotReady", "kubectl delete node n1"},
		{"a node without devices is lost", func(c *Cluster) { down(c, 1); c.without("agent-n2") }, "", "warning NodeNotReady Node n2", ""},
		{"a node is gone", func(c *Cluster) { c.Nodes = c.Nodes[1:] }, "Node n1", "problem NodeGone Node n1; problem DeviceStateUnknown Device default/cam-000001 <- NodeGone; " +
			"problem PodNotReady Pod default/cam-000001-pod <- NodeGone", "no longer exists"},
		{"a node is cordoned", func(c *Cluster) { c.Nodes[0].Spec.Unschedulable = true }, "", "warning NodeCordoned Node n1", "kubectl uncordon n1"},
		{"an agent is silent", func(c *Cluster) { c.Leases[0].Spec.RenewTime.Time = now.Add(-5 * time.Minute) }, "Device cam-000001",
			"problem AgentNotResponding Node n1; problem DeviceStateUnknown Device default/cam-000001 <- AgentNotResponding; note SlotsHeld Device default/cam-000001",
			"last renewed 5 min ago|it is Running|kubectl -n akri logs agent-n1"},
		{"its clock is wrong, the API server's is not", func(c *Cluster) {
			c.Leases[0].Spec.RenewTime.Time = now.Add(-5 * time.Hour)
			c.Leases[0].ManagedFields = []metav1.ManagedFieldsEntry{{Time: ptr.To(ago(9 * time.Second))}}
		}, "", "", "Nothing is wrong"},
		{"an agent crashes", func(c *Cluster) {
			crashes(c.podOf("agent-n1"), 1, "Error")
			c.Leases[0].Spec.RenewTime.Time = now.Add(-5 * time.Minute)
		}, "Node n1", "problem AgentNotReady DaemonSet akri/akri-agent-daemonset; problem AgentNotResponding Node n1 <- AgentNotReady; " +
			"problem DeviceStateUnknown Device default/cam-000001 <- AgentNotResponding", "CrashLoopBackOff"},
		{"the agent was taken off", func(c *Cluster) {
			c.without("agent-n1")
			c.Leases[0].Spec.RenewTime.Time = now.Add(-5 * time.Minute)
			c.Nodes[0].Spec.Taints = []corev1.Taint{{Key: "gpu", Effect: corev1.TaintEffectNoSchedule}}
			c.DaemonSets[0].Spec.Template.Spec.NodeSelector = map[string]string{"zone": "a", "kubernetes.io/os": "linux"}
		}, "Node n1", "problem AgentNotResponding Node n1; problem DeviceStateUnknown Device default/cam-000001 <- AgentNotResponding",
			"no agent runs there|taints gpu:NoSchedule|on nodes with zone=a"},
		{"a node without an agent", func(c *Cluster) {
			c.Nodes = append(c.Nodes, corev1.Node{ObjectMeta: named("", "n3")})
		}, "Node n3", "note NoAgent Node n3", "no agent runs there, so its devices are not looked for|agent.tolerations"},
		{"a resource is left over", func(c *Cluster) { c.Nodes[1].Status.Allocatable["akri.sh/cam-00000f"] = resource.Quantity{} }, "Node n2",
			"note ResourceLeftOver Node n2", "akri.sh/cam-00000f|11 minutes"},
	})
}

// What cannot be read is not guessed at.
func TestUnseen(t *testing.T) {
	c := well()
	full := *c
	for _, kinds := range [][]string{
		{ReadNodes}, {ReadPods}, {ReadInstances}, {ReadConfigurations}, {ReadJobs}, {ReadServices}, {ReadEvents}, {ReadLeases},
		{ReadDaemonSets}, {ReadDeployments}, {ReadWebhook}, {ReadNodes, ReadPods, ReadLeases, ReadDaemonSets, ReadDeployments, ReadWebhook, ReadEvents},
	} {
		some := full
		for _, k := range kinds {
			some.Unseen = append(some.Unseen, Unseen{k, "forbidden"})
			switch k {
			case ReadNodes:
				some.Nodes = nil
			case ReadPods:
				some.Pods = nil
			case ReadInstances:
				some.Instances = nil
			case ReadConfigurations:
				some.Configurations = nil
			case ReadServices:
				some.Services = nil
			case ReadLeases:
				some.Leases = nil
			case ReadDaemonSets:
				some.DaemonSets = nil
			case ReadDeployments:
				some.Deployments = nil
			case ReadWebhook:
				some.Webhook = nil
			}
		}
		if a := All(some, ""); len(a.Findings) > 0 || len(a.Unseen) != len(kinds) {
			t.Errorf("without %v: %s", kinds, brief(a.Findings))
		}
	}
}
