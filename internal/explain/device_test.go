package explain

import (
	"errors"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"

	v0 "github.com/akri-go/akri/api/v0"
)

func TestDevices(t *testing.T) {
	const device = "Device default/cam-000001"
	offline := func(c *Cluster, reason string) {
		c.Instances[0].Status.Nodes = []v0.InstanceNode{{Name: "n1", State: v0.DeviceOffline, Reason: reason, Since: ptr.To(ago(30 * time.Second))}}
	}
	noBroker := func(c *Cluster) {
		c.without("cam-")
		c.Instances[0].Spec.DeviceUsage = nil
	}
	runCases(t, []faultCase{
		{"unplugged", func(c *Cluster) { offline(c, v0.ReasonNotReported) }, "", "problem DeviceOffline " + device,
			"it was unplugged|/dev/video1|Offline for 30 s: NotReported|(node n1)"},
		{"its handler is gone", func(c *Cluster) {
			offline(c, v0.ReasonHandlerGone)
			waits(c.podOf("udev-n1"), "ErrImagePull", "no")
			c.Configurations[0].Status.Nodes[0].State, c.Configurations[0].Status.Nodes[0].Message = v0.DiscoveryWaiting, nobody
		}, "Device cam-000001", "problem HandlerNotRunning DaemonSet akri/akri-udev-discovery-daemonset; warning HandlerNotRunning Configuration default/cam <- HandlerNotRunning; " +
			"problem DeviceOffline " + device + " <- HandlerNotRunning; note SlotsHeld " + device, "no handler is connected|The cause is DaemonSet"},
		{"gone, and its slots are held", func(c *Cluster) { c.Instances[0].Spec.Nodes = nil }, "", "problem DeviceOffline " + device,
			"stays while Pods have its slots|slot cam-000001-0 is held on node n1 by Pod default/cam-000001-pod"},
		{"its nodes differ", func(c *Cluster) {
			c.Instances[0].Status.Nodes = []v0.InstanceNode{{Name: "n2", State: v0.DeviceOnline, Reason: v0.ReasonPropertiesDiffer, Message: "differs from node n1: capacity 2"}}
		}, "", "warning PropertiesDiffer " + device, "capacity 2"},
		{"changed under a user's Pod", func(c *Cluster) {
			c.user("logger", "n1", "cam", 1)
			c.Instances[0].Status.Nodes = []v0.InstanceNode{{Name: "n1", State: v0.DeviceOnline, Reason: v0.ReasonDeviceChanged, Outdated: []v0.OutdatedSlot{
				{Slot: "cam-000001-0", PodNamespace: "default", PodName: "logger", Change: "/dev/video1 is /dev/video2 now"},
				{Slot: "cam-000001-0", PodNamespace: "default", PodName: "cam-000001-pod", Change: "the same"}}}}
		}, "Pod logger", "problem PodOutdated Pod default/logger", "/dev/video1 is /dev/video2 now|kubectl -n default delete pod logger"},
		{"the kubelet does not offer it", func(c *Cluster) {
			delete(c.Nodes[0].Status.Allocatable, "akri.sh/cam-000001")
		}, "Device cam-000001", "problem NotOffered " + device + "; note SlotsHeld " + device, "no resource akri.sh/cam-000001|kubeletDevicePlugins"},
		{"it is new, and not offered yet", func(c *Cluster) {
			delete(c.Nodes[0].Status.Allocatable, "akri.sh/cam-000001")
			c.Instances[0].CreationTimestamp = ago(5 * time.Second)
		}, "", "", "Nothing is wrong"},
		{"held through the Configuration's resource", func(c *Cluster) {
			c.without("cam-")
			c.Configurations[0].Spec.BrokerSpec, c.Configurations[0].Spec.InstanceServiceSpec = nil, nil
			c.user("logger", "n1", "cam", 1)
			c.Instances[0].Spec.DeviceUsage["cam-000001-0"] = "C:cam-000001-0:n1"
			c.Nodes[0].Status.Allocatable["akri.sh/cam-000001"] = resource.MustParse("0")
		}, "Device cam-000001", "note SlotsHeld " + device + "; note NoBrokerWanted Configuration default/cam", "on node n1 by Pod default/logger|raise spec.capacity|it offers 0 of akri.sh/cam-000001"},
		{"no broker yet", func(c *Cluster) { noBroker(c); c.Instances[0].CreationTimestamp = ago(time.Second) }, "", "", "Nothing is wrong"},
		{"no broker", noBroker, "", "problem BrokerMissing " + device, "kubectl -n default describe akrii cam-000001"},
		{"no broker while it is missing", func(c *Cluster) { noBroker(c); offline(c, v0.ReasonNotReported) }, "",
			"problem DeviceOffline " + device + "; problem BrokerMissing " + device + " <- DeviceOffline", "while its device is missing"},
		{"another Pod has the broker's name", func(c *Cluster) {
			noBroker(c)
			c.event("Instance", "cam-000001", "BrokerNameTaken", "Pod cam-000001-pod is not ours")
		}, "", "problem BrokerNameTaken " + device, "Pod cam-000001-pod is not ours"},
		{"the broker failed, and the next one waits", func(c *Cluster) {
			noBroker(c)
			c.event("Instance", "cam-000001", "BrokerFailed", "ended on node n1 (failure 3 in a row): exit code 2")
		}, "", "problem BrokerBackOff " + device, "failure 3 in a row"},
		{"others have all slots of a shared device", func(c *Cluster) {
			c.without("cam-")
			c.Instances[0].Spec.Shared = true
			c.user("viewer", "n2", "cam-000001", 1)
			c.Instances[0].Spec.DeviceUsage["cam-000001-0"] = "n2"
		}, "", "problem SlotsHeld " + device, "it has no broker, because its slot is held|on node n2 by Pod default/viewer"},
		{"all nodes of a shared device are cordoned", func(c *Cluster) {
			noBroker(c)
			c.Instances[0].Spec.Shared, c.Nodes[0].Spec.Unschedulable = true, true
		}, "", "warning NodeCordoned Node n1; problem BrokerMissing " + device + " <- NodeCordoned", "take no new Pods: n1"},
		{"its Job has failed", func(c *Cluster) {
			noBroker(c)
			c.Configurations[0].Spec.BrokerSpec = &v0.BrokerSpec{BrokerJobSpec: &runtime.RawExtension{Raw: []byte(`{}`)}}
			c.jobOf("cam-000001", batchv1.JobCondition{Type: batchv1.JobFailed, Status: corev1.ConditionTrue, Reason: "BackoffLimitExceeded"})
		}, "Device cam-000001", "problem JobFailed Job default/cam-000001-1-job", "BackoffLimitExceeded|annotate akrii cam-000001 akri.sh/broker-job-hash-"},
		{"its Job is suspended", func(c *Cluster) {
			noBroker(c)
			c.Configurations[0].Spec.BrokerSpec = &v0.BrokerSpec{BrokerJobSpec: &runtime.RawExtension{Raw: []byte(`{}`)}}
			c.jobOf("cam-000001", batchv1.JobCondition{Type: batchv1.JobSuspended, Status: corev1.ConditionTrue, Reason: "JobSuspended"})
		}, "", "warning JobSuspended Job default/cam-000001-1-job", "it is suspended"},
		{"its Job was done, and is gone", func(c *Cluster) {
			noBroker(c)
			c.Configurations[0].Spec.BrokerSpec = &v0.BrokerSpec{BrokerJobSpec: &runtime.RawExtension{Raw: []byte(`{}`)}}
			c.Instances[0].Annotations[v0.AnnotationBrokerJob] = "x"
		}, "", "", "Nothing is wrong"},
		{"its Service is missing", func(c *Cluster) { c.Services = nil }, "", "problem ServiceMissing " + device, "cam-000001-svc"},
		{"deleted and not gone", func(c *Cluster) {
			c.Instances[0].DeletionTimestamp, c.Instances[0].Finalizers = ptr.To(ago(time.Hour)), []string{"n1"}
		}, "", "problem DeletionWaits " + device, "n1"},

		{"nobody has found it", func(*Cluster) {}, "Device /dev/video7", "problem DeviceNotFound Device /dev/video7",
			"akri discover udev --rule-help /dev/video7|Configuration default/cam: handler udev, 1 device: Active on n1, n2"},
		{"it was lost", func(c *Cluster) {
			c.event("Configuration", "cam", "DeviceLost", `device "/devices/usb1" left node n1: it was Instance cam-00000f`)
		}, "Device cam-00000f", "problem DeviceLost Device cam-00000f", "not there any longer|left node n1"},
		{"there is no Configuration", func(c *Cluster) { *c = Cluster{Now: now, Leases: c.Leases} }, "Device /dev/video7", "problem DeviceNotFound Device /dev/video7",
			"there is no Configuration, so nobody looks for devices"},
	})
}

func TestPods(t *testing.T) {
	const broker, user = "Pod default/cam-000001-pod", "Pod default/logger"
	ask := broker[:4] + "cam-000001-pod"
	change := func(f func(*corev1.Pod)) func(*Cluster) { return func(c *Cluster) { f(c.podOf("cam-000001-pod")) } }
	runCases(t, []faultCase{
		{"image pull back-off", change(func(p *corev1.Pod) {
			waits(p, "ImagePullBackOff", `Back-off pulling image "example.org/image:1": not found`)
		}), ask,
			"problem ImagePull " + broker, "the image of container main cannot be had|example.org/image:1|imagePullSecrets"},
		{"crashes", change(func(p *corev1.Pod) { crashes(p, 3, "Error") }), "", "problem Crashing " + broker,
			"exit code 3, 5 restarts|kubectl -n default logs cam-000001-pod --previous"},
		{"needs too much memory", change(func(p *corev1.Pod) { crashes(p, 137, "OOMKilled") }), "", "problem OutOfMemory " + broker, "raise resources.limits.memory"},
		{"a ConfigMap is missing", change(func(p *corev1.Pod) { waits(p, "CreateContainerConfigError", `configmap "x" not found`) }), "",
			"problem ContainerConfigMissing " + broker, `configmap "x" not found`},
		{"the device node is gone", change(func(p *corev1.Pod) {
			waits(p, "CreateContainerError", `failed to generate spec: lstat /dev/video1: no such file or directory`)
		}), "", "problem DeviceNodeGone " + broker, "another number|kubectl -n default delete pod cam-000001-pod"},
		{"a container cannot be made", change(func(p *corev1.Pod) { waits(p, "CreateContainerError", "no such user") }), "", "problem ContainerNotMade " + broker, "no such user"},
		{"not ready", change(func(p *corev1.Pod) { p.Status.Conditions = nil }), "", "problem PodNotReady " + broker, "readiness probe"},
		{"does not start", change(func(p *corev1.Pod) { waits(p, "ContainerCreating", "") }), "", "problem ContainerNotMade " + broker, "ContainerCreating"},
		{"a broker has ended", change(func(p *corev1.Pod) { p.Status = corev1.PodStatus{Phase: corev1.PodSucceeded} }), "", "problem PodEnded " + broker, "a broker must run"},
		{"a broker is unschedulable", func(c *Cluster) {
			p := c.podOf("cam-000001-pod")
			p.Spec.NodeName, c.Instances[0].Spec.DeviceUsage = "", nil
			p.Status = corev1.PodStatus{Phase: corev1.PodPending, Conditions: []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse,
				Reason: "Unschedulable", Message: "0/2 nodes are available: 2 Insufficient cpu.", LastTransitionTime: ago(time.Hour)}}}
		}, "Device cam-000001", "problem Unschedulable " + broker, "Insufficient cpu"},
		{"deleted and stays", change(func(p *corev1.Pod) { p.DeletionTimestamp = ptr.To(ago(time.Hour)) }), "", "problem PodTerminating " + broker, "60 min ago"},

		{"all slots are held", func(c *Cluster) { c.user("logger", "", "cam", 1) }, "Pod logger", "problem SlotsHeld " + user,
			"waits for akri.sh/cam, and all slots are held|on node n1 by Pod default/cam-000001-pod|Insufficient akri.sh/cam"},
		{"all slots of one device are held", func(c *Cluster) { c.user("logger", "", "cam-000001", 1) }, "Pod logger", "problem SlotsHeld " + user,
			"its slot is held|by Pod default/cam-000001-pod"},
		{"asks for more devices than there are", func(c *Cluster) { c.user("logger", "", "cam", 2) }, "", "problem AsksTooMany " + user,
			"asks for 2 different devices of Configuration default/cam, and no node has more than 1"},
		{"asks for more slots than there are", func(c *Cluster) { c.user("logger", "", "cam-000001", 2) }, "", "problem AsksTooMany " + user, "the device has 1"},
		{"asks for what is not there", func(c *Cluster) { c.user("logger", "", "can", 1) }, "", "problem NoSuchResource " + user, "there are cam"},
		{"asks for a device that is gone", func(c *Cluster) { c.user("logger", "", "cam-00000f", 1) }, "", "problem NoSuchResource " + user,
			"Configuration default/cam has no such device now"},
		{"asks for a Configuration that finds nothing", func(c *Cluster) {
			c.says(v0.DiscoveryActive, "asked x")
			c.user("logger", "", "cam", 1)
		}, "Pod logger", "warning NothingFound Configuration default/cam; problem DeviceNotFound " + user + " <- NothingFound",
			"Pod default/logger: it waits for akri.sh/cam, and Configuration default/cam has no device now. The cause is Configuration default/cam: the handler udev answers"},
		{"asks for a Configuration without a handler", func(c *Cluster) {
			c.says(v0.DiscoveryWaiting, nobody)
			c.DaemonSets = c.DaemonSets[:1]
			c.user("logger", "", "cam", 1)
		}, "Pod logger", "problem HandlerNotInstalled Configuration default/cam; problem DeviceNotFound " + user + " <- HandlerNotInstalled", "udev.discovery.enabled=true"},
		{"asks for a device that is missing", func(c *Cluster) {
			c.Instances[0].Status.Nodes = []v0.InstanceNode{{Name: "n1", State: v0.DeviceOffline, Reason: v0.ReasonNotReported}}
			c.user("logger", "", "cam-000001", 1)
		}, "Pod logger", "problem DeviceOffline Device default/cam-000001; problem DeviceOffline " + user + " <- DeviceOffline", "it was unplugged"},
		{"does not fit for another reason", func(c *Cluster) {
			c.without("cam-")
			c.Instances[0].Spec.DeviceUsage = nil
			c.Configurations[0].Spec.BrokerSpec = nil
			c.user("logger", "", "cam", 1).Status.Conditions[0].Message = "0/2 nodes are available: 2 node(s) had untolerated taint {gpu: }."
		}, "Pod logger", "problem Unschedulable " + user, "untolerated taint"},
		{"has not been looked at for long", func(c *Cluster) {
			c.user("logger", "", "cam", 1).Status.Conditions[0].LastTransitionTime = ago(time.Second)
		}, "Pod logger", "", "Pod default/logger is well: Pending, and has time left to start|Insufficient"},
		{"denied, since the slot was taken", func(c *Cluster) {
			failed(c.user("logger", "n2", "cam-000001", 1), "UnexpectedAdmissionError", "Allocate failed due to rpc error: allocate: claim slot cam-000001-0: slot is taken: node n1 holds it")
		}, "Pod logger", "problem AdmissionFailed " + user, "in the same moment|nothing owns it|by Pod default/cam-000001-pod"},
		{"denied, and replaced", func(c *Cluster) {
			owner := []metav1.OwnerReference{{Kind: "ReplicaSet", UID: "r", Controller: ptr.To(true)}}
			p := c.user("logger", "n2", "cam", 1)
			p.OwnerReferences = owner
			failed(p, "UnexpectedAdmissionError", "slot is taken")
			c.user("logger-2", "n1", "cam", 1).OwnerReferences = owner
		}, "Pod logger", "note AdmissionFailed " + user, "it has taken its place|--field-selector status.phase=Failed"},
		{"the device path is missing", func(c *Cluster) {
			failed(c.user("logger", "n2", "cam", 1), "UnexpectedAdmissionError", "device node /dev/video1 is not there: it was unplugged, or the agent does not see the node's folder (--host-root)")
		}, "Pod logger", "problem DevicePathMissing " + user, "whose nodes are containers"},
		{"asks for no device", func(c *Cluster) { waits(c.user("web", "n1", "", 0), "ErrImagePull", "denied") }, "Pod web",
			"note PodAsksForNothing Pod default/web; problem ImagePull Pod default/web", "it asks for no device|denied"},
	})
}

func TestUnknown(t *testing.T) {
	for _, tt := range []struct {
		s    Subject
		want string
	}{
		{Subject{Configuration, "", "can"}, "there is no Configuration can: there are default/cam, other/cam"},
		{Subject{Configuration, "", "cam"}, "there is a Configuration cam in the namespaces default, other: choose one with -n"},
		{Subject{Configuration, "third", "cam"}, "there is no Configuration third/cam: there are default/cam, other/cam"},
		{Subject{Node, "", "n9"}, "there is no Node n9: there are n1, n2"},
		{Subject{Pod, "", "x"}, "there is no Pod x"},
		{Subject{Device, "", "/dev/video2"}, "several devices are called /dev/video2: choose one of default/cam-000002, default/cam-100002, with -n"},
		{Subject{"Secret", "", "x"}, "Secret cannot be explained"},
	} {
		c := well()
		c.configuration("other", "cam")
		c.instance("cam-000002", "n1")
		c.instance("cam-100002", "n2")
		_, err := Of(*c, tt.s)
		if err == nil || err.Error() != tt.want {
			t.Errorf("%v: %v, want %s", tt.s, err, tt.want)
		}
		var unknown *UnknownError
		if strings.HasPrefix(tt.want, "there is no ") != errors.As(err, &unknown) {
			t.Errorf("%v: %T", tt.s, err)
		}
	}
}
