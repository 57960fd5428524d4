package board

import (
	"cmp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/explain"
	"github.com/akri-go/akri/internal/shorten"
	"github.com/akri-go/akri/internal/workload/health"
)

// Limits of what is shown.
const (
	maxDevices    = 5000
	maxWrong      = 20
	maxEvents     = 40
	maxUsers      = 8  // of a device
	maxNodes      = 32 // of a device
	maxLabelBytes = 120
	maxNoteBytes  = 300
)

// builder makes a board.
type builder struct {
	explain.Cluster
	found explain.Explained
	worst map[explain.Subject]explain.Finding
	// agents and handlers are by node, brokers by Instance.
	agents   map[string]*corev1.Pod
	handlers map[string][]string
	brokers  map[types.NamespacedName][]*corev1.Pod
	pods     map[explain.Subject]*corev1.Pod
	entries  []Entry
}

// Of returns the board of a cluster. Away is nil as long as the API server answers.
func Of(c explain.Cluster, found explain.Explained, away *Away) []Entry {
	b := &builder{
		Cluster: c, found: found, worst: found.Worst(),
		agents: map[string]*corev1.Pod{}, handlers: map[string][]string{},
		brokers: map[types.NamespacedName][]*corev1.Pod{}, pods: map[explain.Subject]*corev1.Pod{},
	}
	b.sortPods()
	b.overview(away)
	b.nodes()
	for i := range c.Configurations {
		b.configuration(&c.Configurations[i])
	}
	for i := range c.Instances[:min(len(c.Instances), maxDevices)] {
		b.device(&c.Instances[i])
	}
	b.events()
	return b.entries
}

// Reading is the board as long as not all is read; err says what is missing.
func Reading(err error, away *Away) Entry {
	return Entry{Key: "overview", Value: Overview{Reading: true, Away: away,
		Answer: shorten.Text("The cluster is being read: "+err.Error(), maxNoteBytes)}}
}

func (b *builder) add(key string, value any) {
	b.entries = append(b.entries, Entry{Key: key, Value: value})
}

func (b *builder) sortPods() {
	for i := range b.Pods {
		pod := &b.Pods[i]
		b.pods[subject(explain.Pod, pod)] = pod
		node := pod.Spec.NodeName
		switch {
		case node == "":
		case pod.Labels[explain.LabelName] == explain.NameAgent:
			if old := b.agents[node]; old == nil || old.CreationTimestamp.Before(&pod.CreationTimestamp) {
				b.agents[node] = pod // of two the one that replaces the other
			}
		case pod.Labels[explain.LabelComponent] == explain.ComponentHandler:
			b.handlers[node] = append(b.handlers[node], handlerName(pod))
		}
		if pod.Labels[v0.LabelController] == v0.ControllerName && pod.Labels[v0.LabelInstance] != "" {
			of := types.NamespacedName{Namespace: pod.Namespace, Name: pod.Labels[v0.LabelInstance]}
			b.brokers[of] = append(b.brokers[of], pod)
		}
	}
}

// handlerName is what a Pod of the chart's is called: akri-udev-discovery is udev.
func handlerName(pod *corev1.Pod) string {
	name := strings.TrimPrefix(pod.Labels[explain.LabelName], "akri-")
	return strings.TrimSuffix(name, "-discovery")
}

func subject(kind explain.Kind, o metav1.Object) explain.Subject {
	return explain.Subject{Kind: kind, Namespace: o.GetNamespace(), Name: o.GetName()}
}

// troubleOf returns what is worst about some subjects, nil if nothing is wrong.
func (b *builder) troubleOf(about ...explain.Subject) *Trouble {
	var out *Trouble
	for _, s := range about {
		f, there := b.worst[s]
		if there && (out == nil || f.Level == explain.Problem && out.Level != explain.Problem) {
			out = trouble(f)
		}
	}
	return out
}

func trouble(f explain.Finding) *Trouble {
	return &Trouble{Level: f.Level, Cause: f.Cause, Why: shorten.Text(f.Summary, maxNoteBytes)}
}

func (b *builder) overview(away *Away) {
	all := b.found.All("")
	o := Overview{Answer: shorten.Text(all.Answer, maxNoteBytes), Well: all.Well, Agents: len(b.agents), Away: away,
		Unseen: b.Unseen, LeftOut: max(0, len(b.Instances)-maxDevices)}
	var first []explain.Finding
	first, o.Findings = b.found.Root(maxWrong)
	for _, f := range first {
		o.Wrong = append(o.Wrong, Wrong{Trouble: *trouble(f), About: f.Subject})
	}
	b.add("overview", o)
}

// nodes adds the nodes, and those that are gone and still named by an Instance.
func (b *builder) nodes() {
	there := map[string]bool{}
	node := func(n Node) {
		there[n.Name] = true
		if agent := b.agents[n.Name]; agent != nil {
			n.Agent, _ = stateOf(agent, b.Cluster)
		}
		n.Handlers = b.handlers[n.Name]
		slices.Sort(n.Handlers)
		n.Handlers = slices.Compact(n.Handlers)
		n.Trouble = b.troubleOf(explain.Subject{Kind: explain.Node, Name: n.Name})
		b.add("node/"+n.Name, n)
	}
	for i := range b.Nodes {
		ready := slices.ContainsFunc(b.Nodes[i].Status.Conditions, func(c corev1.NodeCondition) bool {
			return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
		})
		node(Node{Name: b.Nodes[i].Name, Ready: ready})
	}
	for _, u := range b.Unseen {
		if u.What == explain.ReadNodes {
			return // it is not known which are gone
		}
	}
	for i := range b.Instances {
		for _, name := range b.Instances[i].Spec.Nodes {
			if !there[name] {
				node(Node{Name: name, Gone: true})
			}
		}
	}
}

func (b *builder) configuration(c *v0.Configuration) {
	out := Configuration{
		Namespace: c.Namespace, Name: c.Name, Handler: shorten.Text(c.Spec.DiscoveryHandler.Name, maxLabelBytes),
		Capacity: int(c.Spec.Capacity), Broker: c.Spec.BrokerSpec != nil,
		Trouble: b.troubleOf(subject(explain.Configuration, c)),
	}
	for _, n := range c.Status.Nodes {
		if out.States == nil {
			out.States = map[string]int{}
		}
		out.States[string(n.State)]++
	}
	b.add("configuration/"+c.Namespace+"/"+c.Name, out)
}

func (b *builder) device(inst *v0.Instance) {
	own := subject(explain.Device, inst)
	holders := b.found.Holders(inst)
	out := Device{
		Namespace: inst.Namespace, Name: inst.Name, Configuration: inst.Spec.ConfigurationName,
		Label:  shorten.ToEnd(label(inst), maxLabelBytes),
		Shared: inst.Spec.Shared, Nodes: inst.Spec.Nodes[:min(len(inst.Spec.Nodes), maxNodes)], State: b.state(inst),
		Capacity: int(inst.Spec.Capacity), Held: len(holders),
	}
	if out.Nodes == nil {
		out.Nodes = []string{}
	}
	pods := slices.Clone(b.brokers[types.NamespacedName{Namespace: inst.Namespace, Name: inst.Name}])
	brokers := len(pods)
	for _, h := range holders {
		for _, s := range h.Pods {
			if pod := b.pods[s]; pod != nil && !slices.Contains(pods, pod) {
				pods = append(pods, pod)
			}
		}
	}
	about := []explain.Subject{own}
	for i, pod := range pods {
		about = append(about, subject(explain.Pod, pod))
		u := User{Namespace: pod.Namespace, Name: pod.Name, Node: pod.Spec.NodeName, Broker: i < brokers}
		u.State, u.Health = stateOf(pod, b.Cluster)
		out.Users = append(out.Users, u)
	}
	out.Trouble = b.troubleOf(about...)
	slices.SortFunc(out.Users, func(a, b User) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Namespace, b.Namespace))
	})
	out.Users = out.Users[:min(len(out.Users), maxUsers)]
	b.add("device/"+inst.Namespace+"/"+inst.Name, out)
}

// state is where the device is, as far as is known.
func (b *builder) state(inst *v0.Instance) string {
	if inst.DeletionTimestamp != nil {
		return Leaving
	}
	switch b.worst[subject(explain.Device, inst)].Cause {
	case explain.DeviceOffline:
		return Missing
	case explain.DeviceUnknown:
		return Unknown
	}
	return Online
}

// label is what a person calls the device of an Instance.
func label(inst *v0.Instance) string {
	return cmp.Or(inst.Status.Device, inst.Annotations[v0.AnnotationDeviceID], inst.Name)
}

// Values of User.Health.
const (
	healthReady    = "ready"
	healthStarting = "starting"
	healthBroken   = "broken"
)

// stateOf says how a Pod is doing, in one word, and what that means.
func stateOf(pod *corev1.Pod, c explain.Cluster) (word, meaning string) {
	if pod.DeletionTimestamp != nil {
		return "Terminating", healthStarting
	}
	owner := metav1.GetControllerOfNoCopy(pod)
	switch h := health.Judge(pod, owner != nil && owner.Kind == "Job", c.Now); h.Health {
	case health.Broken:
		return shorten.Text(h.Reason, maxLabelBytes), healthBroken
	case health.Ready, health.Recovering:
		return string(pod.Status.Phase), healthReady
	}
	if pod.Status.Phase == corev1.PodRunning || pod.Status.Phase == "" {
		return "Starting", healthStarting
	}
	return string(pod.Status.Phase), healthStarting
}

// events adds the last Events.
func (b *builder) events() {
	all := slices.Clone(b.Events)
	slices.SortFunc(all, later)
	for _, e := range all[:min(len(all), maxEvents)] {
		b.add("event/"+e.Name, entryOf(e))
	}
}

func later(a, b explain.Event) int {
	return cmp.Or(b.Last.Compare(a.Last), cmp.Compare(a.Name, b.Name))
}

func entryOf(e explain.Event) Event {
	about := e.Regarding
	if about.Kind == "Instance" {
		about.Kind = explain.Device
	}
	return Event{At: e.Last.UTC(), About: about, Reason: shorten.Text(e.Reason, maxLabelBytes),
		Note: shorten.Text(e.Note, maxNoteBytes), Warning: e.Warning}
}
