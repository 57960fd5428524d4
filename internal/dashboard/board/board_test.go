package board

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/explain"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func named(namespace, name string, labels ...string) metav1.ObjectMeta {
	m := metav1.ObjectMeta{Namespace: namespace, Name: name, CreationTimestamp: metav1.NewTime(now.Add(-24 * time.Hour))}
	for i := 0; i+1 < len(labels); i += 2 {
		if m.Labels == nil {
			m.Labels = map[string]string{}
		}
		m.Labels[labels[i]] = labels[i+1]
	}
	return m
}

// pod is a Pod that runs, and asks for a device if one is given.
func pod(meta metav1.ObjectMeta, node, asks string) corev1.Pod {
	p := corev1.Pod{ObjectMeta: meta}
	p.Spec.NodeName = node
	p.Spec.Containers = []corev1.Container{{Name: "main"}}
	if asks != "" {
		one := corev1.ResourceList{corev1.ResourceName(v0.ResourceName(asks)): resource.MustParse("1")}
		p.Spec.Containers[0].Resources = corev1.ResourceRequirements{Requests: one, Limits: one}
	}
	p.Status = corev1.PodStatus{Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
		ContainerStatuses: []corev1.ContainerStatus{{Name: "main", Ready: true, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}}}
	return p
}

// lab is a node with an agent and the handler udev, and a Configuration with a camera
// whose only slot its broker has.
func lab() *explain.Cluster {
	c := &explain.Cluster{Now: now}
	ready := corev1.Node{ObjectMeta: named("", "n1")}
	ready.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
	ready.Status.Allocatable = corev1.ResourceList{"akri.sh/cam-000001": resource.MustParse("1")}
	c.Nodes = []corev1.Node{ready}
	conf := v0.Configuration{ObjectMeta: named("lab", "cam")}
	conf.Spec.DiscoveryHandler = v0.DiscoveryHandlerInfo{Name: "udev", DiscoveryDetails: "udevRules: ['KERNEL==\"video*\"']"}
	conf.Spec.Capacity = 1
	conf.Spec.BrokerSpec = &v0.BrokerSpec{BrokerPodSpec: &runtime.RawExtension{Raw: []byte(
		`{"containers":[{"name":"main","image":"i","resources":{"limits":{"{{PLACEHOLDER}}":"1"}}}]}`)}}
	conf.Status.Nodes = []v0.ConfigurationNode{{Name: "n1", State: v0.DiscoveryActive, Devices: 1}}
	c.Configurations = []v0.Configuration{conf}
	inst := v0.Instance{ObjectMeta: named("lab", "cam-000001")}
	inst.Annotations = map[string]string{v0.AnnotationDeviceID: "/devices/usb1"}
	inst.Spec = v0.InstanceSpec{ConfigurationName: "cam", Capacity: 1, Nodes: []string{"n1"}, DeviceUsage: map[string]string{"cam-000001-0": "n1"},
		BrokerProperties: map[string]string{"UDEV_DEVNODE": "/dev/video1", "CAMERA_PASSWORD": "hush"}}
	inst.Status.Device = "/dev/video1"
	c.Instances = []v0.Instance{inst}
	c.Pods = []corev1.Pod{
		pod(named("akri", "agent-n1", explain.LabelName, explain.NameAgent), "n1", ""),
		pod(named("akri", "udev-n1", explain.LabelName, "akri-udev-discovery", explain.LabelComponent, explain.ComponentHandler), "n1", ""),
		pod(named("lab", "cam-000001-pod", v0.LabelController, v0.ControllerName, v0.LabelInstance, "cam-000001", v0.LabelConfiguration, "cam"), "n1", "cam-000001"),
	}
	controller := appsv1.Deployment{ObjectMeta: named("akri", "akri-controller-deployment", explain.LabelName, explain.NameController)}
	controller.Status.ReadyReplicas = 1
	c.Deployments = []appsv1.Deployment{controller}
	return c
}

// of returns the board as JSON, by key.
func of(t *testing.T, c *explain.Cluster, away *Away) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, e := range Of(*c, explain.Explain(*c), away) {
		data, err := json.Marshal(e.Value)
		if err != nil {
			t.Fatal(err)
		}
		if out[e.Key] != "" {
			t.Errorf("%s is there twice", e.Key)
		}
		out[e.Key] = string(data)
	}
	return out
}

func TestWell(t *testing.T) {
	want := map[string]string{
		"overview":               `{"answer":"Nothing is wrong: 1 node with an agent, 1 Configuration, 1 device","well":true,"findings":0,"agents":1}`,
		"node/n1":                `{"name":"n1","ready":true,"agent":"Running","handlers":["udev"]}`,
		"configuration/lab/cam":  `{"namespace":"lab","name":"cam","handler":"udev","capacity":1,"broker":true,"states":{"Active":1}}`,
		"device/lab/cam-000001":  `{"namespace":"lab","name":"cam-000001","configuration":"cam","label":"/dev/video1","nodes":["n1"],"state":"online","capacity":1,"held":1,"users":[{"namespace":"lab","name":"cam-000001-pod","node":"n1","broker":true,"state":"Running","health":"ready"}]}`,
		"event/lab/cam.17":       `{"at":"2026-03-01T11:59:00Z","about":{"kind":"Configuration","namespace":"lab","name":"cam"},"reason":"DeviceFound","note":"found it"}`,
		"event/lab/cam-000001.2": `{"at":"2026-03-01T11:59:30Z","about":{"kind":"Device","namespace":"lab","name":"cam-000001"},"reason":"Created","note":"made it","warning":true}`,
	}
	c := lab()
	c.Events = []explain.Event{
		{Name: "lab/cam.17", Regarding: explain.Subject{Kind: "Configuration", Namespace: "lab", Name: "cam"}, Reason: "DeviceFound", Note: "found it", Last: now.Add(-time.Minute)},
		{Name: "lab/cam-000001.2", Regarding: explain.Subject{Kind: "Instance", Namespace: "lab", Name: "cam-000001"}, Reason: "Created", Note: "made it", Warning: true, Last: now.Add(-30 * time.Second)},
	}
	if d := cmp.Diff(want, of(t, c, nil)); d != "" {
		t.Error(d)
	}
}

// Each change of the cluster changes the entries that it concerns, and says what is
// wrong.
func TestChanges(t *testing.T) {
	const device, configuration, node = "device/lab/cam-000001", "configuration/lab/cam", "node/n1"
	for _, tt := range []struct {
		name   string
		change func(*explain.Cluster)
		want   map[string][]string // words that come, by entry
		gone   []string
	}{
		{"a slot is freed", func(c *explain.Cluster) { c.Instances[0].Spec.DeviceUsage = nil }, map[string][]string{device: {`"held":0`}}, nil},
		{"the broker crashes", func(c *explain.Cluster) {
			c.Pods[2].Status.ContainerStatuses[0].State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}}
			c.Pods[2].Status.ContainerStatuses[0].LastTerminationState.Terminated = &corev1.ContainerStateTerminated{ExitCode: 3, Reason: "Error"}
		}, map[string][]string{device: {`"health":"broken"`, `"state":"CrashLoopBackOff"`, `"cause":"Crashing"`, `"level":"problem"`}, "overview": {`"well":false`, "cam-000001-pod"}}, nil},
		{"the broker is new", func(c *explain.Cluster) {
			c.Pods[2].CreationTimestamp = metav1.NewTime(now)
			c.Pods[2].Status = corev1.PodStatus{Phase: corev1.PodPending}
		}, map[string][]string{device: {`"state":"Pending"`, `"health":"starting"`}}, nil},
		{"the broker ends", func(c *explain.Cluster) { c.Pods[2].DeletionTimestamp = &metav1.Time{Time: now} },
			map[string][]string{device: {`"state":"Terminating"`}}, nil},
		{"it is unplugged", func(c *explain.Cluster) {
			c.Instances[0].Status.Nodes = []v0.InstanceNode{{Name: "n1", State: v0.DeviceOffline}}
		}, map[string][]string{device: {`"state":"missing"`, `"cause":"DeviceOffline"`}, "overview": {`"DeviceOffline"`}}, nil},
		{"the Instance goes", func(c *explain.Cluster) { c.Instances, c.Pods = nil, c.Pods[:2] },
			map[string][]string{configuration: {}}, []string{device}},
		{"the Instance is being deleted", func(c *explain.Cluster) { c.Instances[0].DeletionTimestamp = &metav1.Time{Time: now} },
			map[string][]string{device: {`"state":"leaving"`}}, nil},
		{"a Pod of somebody has it", func(c *explain.Cluster) {
			c.Pods[2] = pod(named("team", "viewer"), "n1", "cam-000001")
		}, map[string][]string{device: {`"namespace":"team","name":"viewer","node":"n1","state":"Running"`}}, nil},
		{"the node is lost", func(c *explain.Cluster) { c.Nodes[0].Status.Conditions[0].Status = corev1.ConditionUnknown },
			map[string][]string{node: {`"ready":false`, `"cause":"NodeNotReady"`}, device: {`"state":"unknown"`}}, nil},
		{"the node is gone", func(c *explain.Cluster) { c.Nodes = nil },
			map[string][]string{node: {`"gone":true`}}, nil},
		{"nodes may not be read", func(c *explain.Cluster) {
			c.Nodes, c.Unseen = nil, []explain.Unseen{{What: explain.ReadNodes, Why: "no"}}
		}, map[string][]string{"overview": {`"unseen":[{"what":"Nodes","why":"no"}]`}}, []string{node}},
		{"a handler that nobody has", func(c *explain.Cluster) {
			c.Configurations[0].Status.Nodes[0] = v0.ConfigurationNode{Name: "n1", State: v0.DiscoveryWaiting, Message: `no discovery handler "udev" is registered`}
		}, map[string][]string{configuration: {`"states":{"Waiting":1}`, `"level":"problem"`}}, nil},
		{"nothing at all", func(c *explain.Cluster) { *c = explain.Cluster{Now: now} },
			map[string][]string{"overview": {`"agents":0`, `"cause":"NotInstalled"`}}, []string{node, configuration, device}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := of(t, lab(), nil)
			c := lab()
			tt.change(c)
			after := of(t, c, nil)
			for key, words := range tt.want {
				for _, w := range words {
					if !strings.Contains(after[key], w) || strings.Contains(before[key], w) {
						t.Errorf("%s does not come to have %s:\n%s\nbefore\n%s", key, w, after[key], before[key])
					}
				}
			}
			for _, key := range tt.gone {
				if after[key] != "" || before[key] == "" {
					t.Errorf("%s is there: %q, before %q", key, after[key], before[key])
				}
			}
		})
	}
}

// The board of a cluster that has not changed is the same, whenever it is made.
func TestSame(t *testing.T) {
	c := lab()
	before := of(t, c, nil)
	c.Now = c.Now.Add(time.Minute)
	if d := cmp.Diff(before, of(t, c, nil)); d != "" {
		t.Error(d)
	}
}

// What strangers say is cut, and there is an end of everything.
func TestLimits(t *testing.T) {
	c := lab()
	long := strings.Repeat("x", 5000)
	c.Instances[0].Status.Device = long
	c.Instances[0].Spec.BrokerProperties["LONG"] = long
	for i := range 100 {
		c.Instances[0].Spec.BrokerProperties[fmt.Sprint("P", i)] = "v"
		c.Instances[0].Spec.Nodes = append(c.Instances[0].Spec.Nodes, fmt.Sprint("other", i))
		c.Events = append(c.Events, explain.Event{Name: fmt.Sprint("lab/e", i), Note: long, Last: now.Add(time.Duration(i) * time.Second)})
		c.Pods = append(c.Pods, pod(named("team", fmt.Sprint("p", i)), "n1", "cam-000001"))
	}
	for i := range maxDevices + 7 {
		o := *c.Instances[0].DeepCopy()
		o.Name, o.Spec.Nodes = fmt.Sprintf("cam-%06x", i+2), []string{"n1"}
		c.Instances = append(c.Instances, o)
	}
	found := explain.Explain(*c)
	events, devices := 0, 0
	for _, e := range Of(*c, found, nil) {
		data, err := json.Marshal(e.Value)
		if err != nil || len(data) > 12_000 {
			t.Errorf("%s has %d bytes, %v", e.Key, len(data), err)
		}
		switch {
		case strings.HasPrefix(e.Key, "event/"):
			if events++; e.Key == "event/lab/e0" {
				t.Error("an old Event is shown, and not a new one")
			}
		case strings.HasPrefix(e.Key, "device/"):
			devices++
		case e.Key == "overview" && e.Value.(Overview).LeftOut != 8:
			t.Errorf("%d are left out", e.Value.(Overview).LeftOut)
		}
	}
	if events != maxEvents || devices != maxDevices {
		t.Errorf("%d Events, %d devices", events, devices)
	}
	d, err := Explain(*c, found, explain.Subject{Kind: explain.Device, Name: "cam-000001"})
	if err != nil || len(d.Properties) != maxProperties {
		t.Errorf("%d properties, %v", len(d.Properties), err)
	}
	for _, p := range d.Properties {
		if len(p.Value) > maxPropertyBytes {
			t.Errorf("%s has %d bytes", p.Name, len(p.Value))
		}
	}
}

func TestExplain(t *testing.T) {
	c := lab()
	c.Events = []explain.Event{
		{Name: "lab/1", Regarding: explain.Subject{Kind: "Instance", Namespace: "lab", Name: "cam-000001"}, Reason: "First", Last: now.Add(-time.Hour)},
		{Name: "lab/2", Regarding: explain.Subject{Kind: "Instance", Namespace: "lab", Name: "cam-000001"}, Reason: "Last", Last: now},
		{Name: "lab/3", Regarding: explain.Subject{Kind: "Configuration", Namespace: "lab", Name: "cam"}, Reason: "Other", Last: now},
	}
	found := explain.Explain(*c)
	d, err := Explain(*c, found, explain.Subject{Kind: explain.Device, Name: "/dev/video1"})
	if err != nil || len(d.Events) != 2 || d.Events[0].Reason != "Last" || d.ID != "/devices/usb1" || !d.Created.Equal(now.Add(-24*time.Hour)) {
		t.Errorf("%+v, %v", d, err)
	}
	want := []Property{{Name: "CAMERA_PASSWORD", Hidden: true}, {Name: "UDEV_DEVNODE", Value: "/dev/video1"}}
	if diff := cmp.Diff(want, d.Properties); diff != "" {
		t.Error(diff)
	}
	data, err := json.Marshal(d)
	if err != nil || !strings.Contains(string(data), `"answer":"Device lab/cam-000001`) || strings.Contains(string(data), "hush") {
		t.Errorf("%s, %v", data, err)
	}
	d, err = Explain(*c, found, explain.Subject{Kind: explain.Device, Name: "/dev/video7"})
	if err != nil || d.Findings[0].Cause != explain.DeviceNotFound || d.Properties != nil {
		t.Errorf("of one that is not there: %+v, %v", d, err)
	}
	if _, err := Explain(*c, found, explain.Subject{Kind: explain.Pod, Name: "nobody"}); err == nil {
		t.Error("it explains a Pod that is not there")
	}
}

func TestReading(t *testing.T) {
	away := &Away{Since: now, Why: "connection refused"}
	e := Reading(fmt.Errorf("Pods are not listed yet"), away)
	if o := e.Value.(Overview); e.Key != "overview" || !o.Reading || o.Away != away || !strings.Contains(o.Answer, "Pods are not listed yet") {
		t.Errorf("%+v", o)
	}
	if got := of(t, lab(), away)["overview"]; !strings.Contains(got, `"away":{"since":"2026-03-01T12:00:00Z","why":"connection refused"}`) {
		t.Error(got)
	}
}
