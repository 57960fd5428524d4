package status

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/controller/agents"
	"github.com/akri-go/akri/internal/shorten"
	"github.com/akri-go/akri/internal/workload"
	"github.com/akri-go/akri/internal/workload/health"
)

// Types of conditions.
const (
	Discovering        = v0.ConditionDiscovering
	BrokerSpecAccepted = v0.ConditionBrokerSpecAccepted
	ServicesAccepted   = v0.ConditionServicesAccepted
	DevicesExclusive   = v0.ConditionDevicesExclusive
	Online             = v0.ConditionOnline
	PodsCurrent        = v0.ConditionPodsCurrent
	BrokersReady       = v0.ConditionBrokersReady
)

// Reasons of conditions.
const (
	ReasonAllNodes   = "AllNodes"
	ReasonSomeNodes  = "SomeNodes"
	ReasonWaiting    = "WaitingForHandler"
	ReasonFailed     = "DiscoveryFailed"
	ReasonAccepted   = "Accepted"
	ReasonRefused    = "Refused"
	ReasonSeen       = "Seen"
	ReasonNotSeen    = "NotSeen"
	ReasonSilent     = "AgentNotResponding"
	ReasonRunning    = "Running"
	ReasonExclusive  = "Exclusive"
	ReasonFoundTwice = "FoundTwice"
	ReasonChanged    = "DeviceChanged"
	ReasonCurrent    = "Replaced"
	maxMessageBytes  = 1024
	maxNamedItems    = 5
)

// Verdict is what the broker reconciler knows of a broker spec since the
// controller started: nothing unless Tried, else why it was refused, or "".
type Verdict struct {
	Tried   bool
	Refusal string
}

// Facts are what conditions depend on besides the object itself.
type Facts struct {
	// Verdict is of a Configuration's broker spec.
	Verdict Verdict
	// Silent reports whether a node's agent does not respond; nil if unknown.
	Silent func(node string) bool
	// Brokers are the broker Pods that are not being deleted.
	Brokers []health.Broker
}

func (f Facts) silent(node string) bool { return f.Silent != nil && f.Silent(node) }

// again returns when the result changes for a broker; 0 is never.
func (f Facts) again() time.Duration {
	var again time.Duration
	for _, b := range f.Brokers {
		if b.RequeueAfter > 0 && (again == 0 || b.RequeueAfter < again) {
			again = b.RequeueAfter
		}
	}
	return again
}

// OfConfiguration returns the conditions that a Configuration should have.
// Unchanged conditions keep their times.
func OfConfiguration(c *v0.Configuration, facts Facts, now metav1.Time) []metav1.Condition {
	var out []metav1.Condition
	old := c.Status.Conditions
	verdict := facts.Verdict
	if d := discovering(c, facts); d != nil {
		out = append(out, settle(old, *d, c.Generation, now))
	}
	if b := brokers(old, facts); b != nil && c.Spec.BrokerSpec != nil {
		out = append(out, settle(old, *b, c.Generation, now))
	}
	present := meta.FindStatusCondition(old, BrokerSpecAccepted)
	switch {
	case c.Spec.BrokerSpec == nil:
	case verdict.Refusal != "":
		out = append(out, settle(old, metav1.Condition{
			Type: BrokerSpecAccepted, Status: metav1.ConditionFalse,
			Reason: ReasonRefused, Message: shorten.Text(verdict.Refusal, maxMessageBytes),
		}, c.Generation, now))
	case present == nil:
	case verdict.Tried:
		out = append(out, settle(old, metav1.Condition{
			Type: BrokerSpecAccepted, Status: metav1.ConditionTrue,
			Reason: ReasonAccepted, Message: "brokers are made from it",
		}, c.Generation, now))
	default:
		out = append(out, *present) // not tried since the start
	}
	return out
}

// ServiceVerdict is what the service reconcilers know of the Services of a
// Configuration since the controller started. Message says what is wrong.
type ServiceVerdict struct {
	Tried           bool
	Reason, Message string
}

// OfServices returns the condition about a Configuration's Services.
func OfServices(c *v0.Configuration, verdict ServiceVerdict, now metav1.Time) []metav1.Condition {
	old := c.Status.Conditions
	present := meta.FindStatusCondition(old, ServicesAccepted)
	switch {
	case c.Spec.InstanceServiceSpec == nil && c.Spec.ConfigurationServiceSpec == nil:
		return nil
	case verdict.Message != "":
		return []metav1.Condition{settle(old, metav1.Condition{
			Type: ServicesAccepted, Status: metav1.ConditionFalse,
			Reason: verdict.Reason, Message: shorten.Text(verdict.Message, maxMessageBytes),
		}, c.Generation, now)}
	case present == nil:
		return nil
	case !verdict.Tried:
		return []metav1.Condition{*present} // not tried since the start
	}
	return []metav1.Condition{settle(old, metav1.Condition{
		Type: ServicesAccepted, Status: metav1.ConditionTrue,
		Reason: ReasonAccepted, Message: "the Services match the Configuration",
	}, c.Generation, now)}
}

// brokers returns the condition BrokersReady. While brokers start, or run again
// after a crash, it does not change.
func brokers(old []metav1.Condition, facts Facts) *metav1.Condition {
	ready, reason, message, known := brokersReady(facts.Brokers)
	switch {
	case len(facts.Brokers) == 0:
		return nil
	case !known:
		return meta.FindStatusCondition(old, BrokersReady)
	case ready:
		return &metav1.Condition{Type: BrokersReady, Status: metav1.ConditionTrue, Reason: reason, Message: message}
	default:
		return &metav1.Condition{Type: BrokersReady, Status: metav1.ConditionFalse, Reason: reason, Message: message}
	}
}

// discovering summarizes status.nodes; nil if it is empty. What a node's agent
// wrote does not count while that agent is silent.
func discovering(c *v0.Configuration, facts Facts) *metav1.Condition {
	nodes := c.Status.Nodes
	if len(nodes) == 0 {
		return nil
	}
	var active, waiting, failed int
	var problems, silent []string
	for _, n := range nodes {
		switch {
		case facts.silent(n.Name):
			silent = append(silent, n.Name)
		case n.State == v0.DiscoveryActive:
			active++
		case n.State == v0.DiscoveryFailed:
			failed++
			problems = append(problems, n.Name+": "+n.Message)
		default:
			waiting++
		}
	}
	message := fmt.Sprintf("a handler answers on %d of %d nodes", active, len(nodes))
	if waiting > 0 {
		message += fmt.Sprintf(", %d waiting for one", waiting)
	}
	if failed > 0 {
		message += fmt.Sprintf(", %d failed: %s", failed, few(problems))
	}
	if len(silent) > 0 {
		message += ", no agent responds on " + agents.Names(silent)
	}
	d := &metav1.Condition{Type: Discovering, Status: metav1.ConditionFalse, Message: shorten.Text(message, maxMessageBytes)}
	switch {
	case active == len(nodes):
		d.Status, d.Reason = metav1.ConditionTrue, ReasonAllNodes
	case active > 0:
		d.Status, d.Reason = metav1.ConditionTrue, ReasonSomeNodes
	case len(silent) > 0:
		d.Status, d.Reason = metav1.ConditionUnknown, ReasonSilent
	case failed > 0:
		d.Reason = ReasonFailed
	default:
		d.Reason = ReasonWaiting
	}
	return d
}

// OfInstance returns the conditions that an Instance should have.
func OfInstance(inst *v0.Instance, facts Facts, now metav1.Time) []metav1.Condition {
	var out []metav1.Condition
	old := inst.Status.Conditions
	for _, c := range []*metav1.Condition{online(inst, facts), brokers(old, facts), podsCurrent(inst)} {
		if c != nil {
			out = append(out, settle(old, *c, inst.Generation, now))
		}
	}
	return out
}

// online returns the condition Online. If a node's agent is silent, it is
// unknown whether the node still sees the device.
func online(inst *v0.Instance, facts Facts) *metav1.Condition {
	offline := map[string]bool{}
	for _, n := range inst.Status.Nodes {
		offline[n.Name] = n.State == v0.DeviceOffline
	}
	seen := 0
	var silent []string
	for _, n := range inst.Spec.Nodes {
		switch {
		case offline[n]:
		case facts.silent(n):
			silent = append(silent, n)
		default:
			seen++
		}
	}
	switch {
	case seen > 0:
		return &metav1.Condition{Type: Online, Status: metav1.ConditionTrue, Reason: ReasonSeen, Message: "a node sees the device"}
	case len(silent) > 0:
		return &metav1.Condition{
			Type: Online, Status: metav1.ConditionUnknown, Reason: ReasonSilent,
			Message: "no agent responds on the nodes that saw the device: " + agents.Names(silent),
		}
	default:
		message := "no node sees the device; the Instance is deleted when its grace period is over"
		if len(inst.Spec.Nodes) == 0 {
			message = "no node sees the device; the Instance is deleted when containers no longer hold its slots: " + heldSlots(inst)
		}
		return &metav1.Condition{Type: Online, Status: metav1.ConditionFalse, Reason: ReasonNotSeen, Message: message}
	}
}

// heldSlots says which slots of an Instance are held, and by which nodes.
func heldSlots(inst *v0.Instance) string {
	var held []string
	for _, slot := range slices.Sorted(maps.Keys(inst.Spec.DeviceUsage)) {
		if u, err := v0.ParseUsage(inst.Spec.DeviceUsage[slot]); err == nil && !u.Free() {
			held = append(held, slot+" on node "+u.Node)
		}
	}
	return agents.Names(held)
}

// podsCurrent names the users' Pods whose device has changed since they got it;
// nil if there never were any. Brokers, known by their names, are replaced.
func podsCurrent(inst *v0.Instance) *metav1.Condition {
	var pods []string
	for _, n := range inst.Status.Nodes {
		for _, slot := range n.Outdated {
			ours := slot.PodNamespace == inst.Namespace && slot.PodName == workload.PodName(inst.Name, n.Name, inst.Spec.Shared)
			if !ours {
				pods = append(pods, fmt.Sprintf("%s/%s on node %s (%s)", slot.PodNamespace, slot.PodName, n.Name, slot.Change))
			}
		}
	}
	switch {
	case len(pods) > 0:
		return &metav1.Condition{
			Type: PodsCurrent, Status: metav1.ConditionFalse, Reason: ReasonChanged,
			Message: shorten.Text("these Pods have the device as it was before it changed, and must be replaced: "+few(pods), maxMessageBytes),
		}
	case meta.FindStatusCondition(inst.Status.Conditions, PodsCurrent) != nil:
		return &metav1.Condition{
			Type: PodsCurrent, Status: metav1.ConditionTrue, Reason: ReasonCurrent,
			Message: "no user's Pod has the device as it was before a change",
		}
	default:
		return nil
	}
}

// few lists the first few items and says how many more there are.
func few(items []string) string {
	slices.Sort(items)
	more := ""
	if len(items) > maxNamedItems {
		more = fmt.Sprintf(" and %d more", len(items)-maxNamedItems)
		items = items[:maxNamedItems]
	}
	return strings.Join(items, "; ") + more
}

// settle sets a condition's generation and transition time.
func settle(old []metav1.Condition, c metav1.Condition, generation int64, now metav1.Time) metav1.Condition {
	c.ObservedGeneration = generation
	c.LastTransitionTime = now
	if p := meta.FindStatusCondition(old, c.Type); p != nil && p.Status == c.Status {
		c.LastTransitionTime = p.LastTransitionTime
	}
	return c
}

// Diff is how much conditions differ from those that are there.
type Diff int

const (
	// Nothing to write.
	Nothing Diff = iota
	// Later: it can wait. A count, a generation, or that something new is well.
	Later
	// Now: somebody waits for it.
	Now
)

// Compare compares wanted conditions with the present ones.
func Compare(want, have []metav1.Condition) Diff {
	diff := Nothing
	for _, w := range want {
		h := meta.FindStatusCondition(have, w.Type)
		switch {
		case h == nil && w.Status == metav1.ConditionTrue:
			diff = max(diff, Later)
		case h == nil, h.Status != w.Status, h.Reason != w.Reason, h.Message != w.Message:
			return Now
		case h.ObservedGeneration != w.ObservedGeneration:
			diff = max(diff, Later)
		}
	}
	for _, h := range have {
		if meta.FindStatusCondition(want, h.Type) == nil {
			return Now
		}
	}
	return diff
}
