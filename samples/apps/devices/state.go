package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	akri "github.com/akri-go/akri/api/v0"
)

// State is what the page shows.
type State struct {
	Error          string          `json:"error,omitempty"`
	Configurations []Configuration `json:"configurations"`
}

// Configuration is a Configuration with what was found for it.
type Configuration struct {
	Namespace string     `json:"namespace"`
	Name      string     `json:"name"`
	Handler   string     `json:"handler"`
	Nodes     []Node     `json:"nodes,omitempty"` // what its nodes say
	Problems  []string   `json:"problems,omitempty"`
	Instances []Instance `json:"instances"`
}

// Node is what one node says of a Configuration.
type Node struct {
	Name    string `json:"name"`
	State   string `json:"state"`
	Message string `json:"message,omitempty"`
}

// Instance is one device.
type Instance struct {
	Name       string            `json:"name"`
	Device     string            `json:"device,omitempty"`
	Shared     bool              `json:"shared"`
	Nodes      []string          `json:"nodes,omitempty"`
	Properties map[string]string `json:"properties,omitempty"`
	Capacity   int               `json:"capacity"`
	Used       int               `json:"used"`
	Brokers    []Broker          `json:"brokers,omitempty"`
	// Problems are the conditions that are not True.
	Problems []string `json:"problems,omitempty"`
	// Answer is what the Instance's Service says to GET /api/devices.
	Answer json.RawMessage `json:"answer,omitempty"`
}

// Broker is a Pod that uses an Instance.
type Broker struct {
	Pod  string `json:"pod"`
	Node string `json:"node,omitempty"`
	// Phase is the Pod's, or better what it waits for.
	Phase string `json:"phase"`
	// Broken tells that it does not start without help.
	Broken bool `json:"broken,omitempty"`
}

// lists is what look reads.
type lists struct {
	configurations akri.ConfigurationList
	instances      akri.InstanceList
	pods           corev1.PodList
	services       corev1.ServiceList
}

// brokerTimeout is how long one broker may take to answer.
const brokerTimeout = 800 * time.Millisecond

// look reads the cluster and asks the brokers, at most 16 at a time.
func look(ctx context.Context, api *kube, ask func(context.Context, string) (json.RawMessage, error)) State {
	var l lists
	made := "?labelSelector=" + url.QueryEscape(akri.LabelController+"="+akri.ControllerName)
	for path, into := range map[string]any{
		"/apis/akri.sh/v0/configurations": &l.configurations,
		"/apis/akri.sh/v0/instances":      &l.instances,
		"/api/v1/pods" + made:             &l.pods,
		"/api/v1/services" + made:         &l.services,
	} {
		if err := api.list(ctx, path, into); err != nil {
			return State{Error: err.Error(), Configurations: []Configuration{}}
		}
	}
	s := assemble(l)
	addresses := serviceAddresses(l.services)
	var wait sync.WaitGroup
	slots := make(chan struct{}, 16)
	for c := range s.Configurations {
		for i := range s.Configurations[c].Instances {
			instance := &s.Configurations[c].Instances[i]
			address := addresses[s.Configurations[c].Namespace+"/"+instance.Name]
			if address == "" || !running(instance.Brokers) {
				continue
			}
			wait.Go(func() {
				slots <- struct{}{}
				defer func() { <-slots }()
				ctx, cancel := context.WithTimeout(ctx, brokerTimeout)
				defer cancel()
				if answer, err := ask(ctx, address); err == nil {
					instance.Answer = answer
				}
			})
		}
	}
	wait.Wait()
	return s
}

// assemble joins the lists, sorted.
func assemble(l lists) State {
	brokers := map[string][]Broker{}
	for _, p := range l.pods.Items {
		key := p.Namespace + "/" + p.Labels[akri.LabelInstance]
		phase, broken := phaseOf(p)
		brokers[key] = append(brokers[key], Broker{Pod: p.Name, Node: p.Spec.NodeName, Phase: phase, Broken: broken})
	}
	instances := map[string][]Instance{}
	for _, i := range l.instances.Items {
		in := Instance{
			Name: i.Name, Device: deviceOf(i), Shared: i.Spec.Shared, Nodes: i.Spec.Nodes,
			Properties: i.Spec.BrokerProperties, Capacity: int(i.Spec.Capacity),
			Brokers: brokers[i.Namespace+"/"+i.Name], Problems: problems(i.Status.Conditions),
		}
		for _, holder := range i.Spec.DeviceUsage {
			if holder != "" {
				in.Used++
			}
		}
		slices.SortFunc(in.Brokers, func(a, b Broker) int { return cmp.Compare(a.Pod, b.Pod) })
		key := i.Namespace + "/" + i.Spec.ConfigurationName
		instances[key] = append(instances[key], in)
	}
	s := State{Configurations: []Configuration{}}
	for _, c := range l.configurations.Items {
		out := Configuration{
			Namespace: c.Namespace, Name: c.Name, Handler: c.Spec.DiscoveryHandler.Name,
			Instances: instances[c.Namespace+"/"+c.Name], Problems: problems(c.Status.Conditions),
		}
		silent := silentNodes(c.Status)
		for _, n := range c.Status.Nodes {
			node := Node{Name: n.Name, State: string(n.State), Message: n.Message}
			if slices.Contains(silent, n.Name) {
				node.State, node.Message = "Silent", "its agent does not respond"
			}
			out.Nodes = append(out.Nodes, node)
		}
		if out.Instances == nil {
			out.Instances = []Instance{}
		}
		slices.SortFunc(out.Instances, func(a, b Instance) int {
			return cmp.Or(natural(a.Device, b.Device), cmp.Compare(a.Name, b.Name))
		})
		s.Configurations = append(s.Configurations, out)
	}
	slices.SortFunc(s.Configurations, func(a, b Configuration) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	return s
}

// silentNodes are those whose entries in the status are what their agents saw
// last. Only the condition Discovering says which they are.
func silentNodes(s akri.ConfigurationStatus) []string {
	for _, c := range s.Conditions {
		if _, names, ok := strings.Cut(c.Message, "no agent responds on "); ok && c.Type == "Discovering" {
			return strings.FieldsFunc(names, func(r rune) bool { return r == ',' || r == ' ' })
		}
	}
	return nil
}

// phaseOf is a Pod's phase, or better what it waits for.
func phaseOf(p corev1.Pod) (phase string, broken bool) {
	if p.DeletionTimestamp != nil {
		return "Terminating", false
	}
	for _, s := range slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses) {
		if w := s.State.Waiting; w != nil && w.Reason != "" {
			return w.Reason, w.Reason != "ContainerCreating" && w.Reason != "PodInitializing"
		}
		// For most of the time between two crashes this is all that the kubelet
		// says.
		if t := s.State.Terminated; t != nil && t.ExitCode != 0 && p.Status.Phase == corev1.PodRunning {
			return cmp.Or(t.Reason, "Error"), true
		}
	}
	return string(p.Status.Phase), p.Status.Phase == corev1.PodFailed
}

// problems returns the conditions that are not True.
func problems(conditions []metav1.Condition) []string {
	var out []string
	for _, c := range conditions {
		if c.Status != metav1.ConditionTrue {
			out = append(out, c.Type+" "+strings.ToLower(string(c.Status))+", "+c.Reason+": "+c.Message)
		}
	}
	return out
}

// deviceOf is what a person would call the device.
func deviceOf(i akri.Instance) string {
	for _, key := range []string{"UDEV_DEVNODE", "UDEV_DEVNODE_0", "DEBUG_ECHO_DESCRIPTION", "ONVIF_DEVICE_SERVICE_URL", "OPCUA_DISCOVERY_URL",
		"MQTT_DEVICE_NAME"} {
		if v := i.Spec.BrokerProperties[key]; v != "" {
			return v
		}
	}
	return i.Annotations[akri.AnnotationDeviceID]
}

// natural puts /dev/zram9 before /dev/zram10.
func natural(a, b string) int {
	split := func(s string) (string, int) {
		head := strings.TrimRight(s, "0123456789")
		n, _ := strconv.Atoi(s[len(head):])
		return head, n
	}
	ha, na := split(a)
	hb, nb := split(b)
	return cmp.Or(cmp.Compare(ha, hb), cmp.Compare(na, nb), cmp.Compare(a, b))
}

// serviceAddresses returns host:port of each Instance's Service.
func serviceAddresses(services corev1.ServiceList) map[string]string {
	out := map[string]string{}
	for _, s := range services.Items {
		instance := s.Labels[akri.LabelInstance]
		if instance == "" || len(s.Spec.Ports) == 0 || s.Spec.ClusterIP == "" || s.Spec.ClusterIP == corev1.ClusterIPNone {
			continue
		}
		out[s.Namespace+"/"+instance] = net.JoinHostPort(s.Spec.ClusterIP, fmt.Sprint(s.Spec.Ports[0].Port))
	}
	return out
}

func running(brokers []Broker) bool {
	return slices.ContainsFunc(brokers, func(b Broker) bool { return b.Phase == string(corev1.PodRunning) })
}
