package status

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v0 "github.com/akri-go/akri/api/v0"
)

// Types of conditions.
const (
	Discovering        = "Discovering"
	BrokerSpecAccepted = "BrokerSpecAccepted"
	ServicesAccepted   = "ServicesAccepted"
	DevicesExclusive   = "DevicesExclusive"
	Online             = "Online"
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
	ReasonExclusive  = "Exclusive"
	ReasonFoundTwice = "FoundTwice"
	maxMessage       = 1024
	maxNodesInDetail = 5
)

// Verdict is what the broker reconciler knows of a broker spec since the
// controller started: nothing if it was not Tried, else why it was refused,
// empty if it was not.
type Verdict struct {
	Tried   bool
	Refusal string
}

// OfConfiguration returns the conditions that a Configuration should have.
// Those that say the same as the present ones are taken over with their times.
func OfConfiguration(c *v0.Configuration, verdict Verdict, now metav1.Time) []metav1.Condition {
	var out []metav1.Condition
	old := c.Status.Conditions
	if d := discovering(c); d != nil {
		out = append(out, settle(old, *d, c.Generation, now))
	}
	present := meta.FindStatusCondition(old, BrokerSpecAccepted)
	switch {
	case c.Spec.BrokerSpec == nil:
	case verdict.Refusal != "":
		out = append(out, settle(old, metav1.Condition{
			Type: BrokerSpecAccepted, Status: metav1.ConditionFalse,
			Reason: ReasonRefused, Message: cut(verdict.Refusal),
		}, c.Generation, now))
	case present == nil:
	case verdict.Tried:
		out = append(out, settle(old, metav1.Condition{
			Type: BrokerSpecAccepted, Status: metav1.ConditionTrue,
			Reason: ReasonAccepted, Message: "brokers are made from it",
		}, c.Generation, now))
	default:
		out = append(out, *present) // not tried since our start
	}
	return out
}

// ServiceVerdict is what the service reconcilers know of the Services of a
// Configuration since the controller started; a Message says what is wrong.
type ServiceVerdict struct {
	Tried           bool
	Reason, Message string
}

// OfServices returns the condition that speaks of a Configuration's Services.
func OfServices(c *v0.Configuration, verdict ServiceVerdict, now metav1.Time) []metav1.Condition {
	old := c.Status.Conditions
	present := meta.FindStatusCondition(old, ServicesAccepted)
	switch {
	case c.Spec.InstanceServiceSpec == nil && c.Spec.ConfigurationServiceSpec == nil:
		return nil
	case verdict.Message != "":
		return []metav1.Condition{settle(old, metav1.Condition{
			Type: ServicesAccepted, Status: metav1.ConditionFalse,
			Reason: verdict.Reason, Message: cut(verdict.Message),
		}, c.Generation, now)}
	case present == nil:
		return nil
	case !verdict.Tried:
		return []metav1.Condition{*present} // not tried since our start
	}
	return []metav1.Condition{settle(old, metav1.Condition{
		Type: ServicesAccepted, Status: metav1.ConditionTrue,
		Reason: ReasonAccepted, Message: "the Services are as they shall be",
	}, c.Generation, now)}
}

// discovering sums up status.nodes; nil if there is nothing to sum up.
func discovering(c *v0.Configuration) *metav1.Condition {
	nodes := c.Status.Nodes
	if len(nodes) == 0 {
		return nil
	}
	var active, waiting, failed int
	var troubles []string
	for _, n := range nodes {
		switch n.State {
		case v0.DiscoveryActive:
			active++
		case v0.DiscoveryFailed:
			failed++
			troubles = append(troubles, n.Name+": "+n.Message)
		default:
			waiting++
		}
	}
	message := fmt.Sprintf("a handler answers on %d of %d nodes", active, len(nodes))
	if waiting > 0 {
		message += fmt.Sprintf(", %d wait for one", waiting)
	}
	if failed > 0 {
		slices.Sort(troubles)
		more := ""
		if len(troubles) > maxNodesInDetail {
			more = fmt.Sprintf(" and %d more", len(troubles)-maxNodesInDetail)
			troubles = troubles[:maxNodesInDetail]
		}
		message += fmt.Sprintf(", %d failed: %s%s", failed, strings.Join(troubles, "; "), more)
	}
	d := &metav1.Condition{Type: Discovering, Status: metav1.ConditionFalse, Message: cut(message)}
	switch {
	case active == len(nodes):
		d.Status, d.Reason = metav1.ConditionTrue, ReasonAllNodes
	case active > 0:
		d.Status, d.Reason = metav1.ConditionTrue, ReasonSomeNodes
	case failed > 0:
		d.Reason = ReasonFailed
	default:
		d.Reason = ReasonWaiting
	}
	return d
}

// OfInstance returns the conditions that an Instance should have.
func OfInstance(inst *v0.Instance, now metav1.Time) []metav1.Condition {
	old := inst.Status.Conditions
	offline := map[string]bool{}
	for _, n := range inst.Status.Nodes {
		offline[n.Name] = n.State == v0.DeviceOffline
	}
	seen := 0
	for _, n := range inst.Spec.Nodes {
		if !offline[n] {
			seen++
		}
	}
	switch {
	case seen == 0:
		return []metav1.Condition{settle(old, metav1.Condition{
			Type: Online, Status: metav1.ConditionFalse, Reason: ReasonNotSeen,
			Message: "no node sees the device; it goes when its grace period is over",
		}, inst.Generation, now)}
	case meta.FindStatusCondition(old, Online) != nil:
		return []metav1.Condition{settle(old, metav1.Condition{
			Type: Online, Status: metav1.ConditionTrue, Reason: ReasonSeen,
			Message: "a node sees the device",
		}, inst.Generation, now)}
	default:
		return nil
	}
}

// settle gives a condition its generation and times. If it says what the
// present one says, it is the present one.
func settle(old []metav1.Condition, c metav1.Condition, generation int64, now metav1.Time) metav1.Condition {
	c.ObservedGeneration = generation
	c.LastTransitionTime = now
	if p := meta.FindStatusCondition(old, c.Type); p != nil && p.Status == c.Status {
		c.LastTransitionTime = p.LastTransitionTime
		if p.Reason == c.Reason && p.Message == c.Message {
			return *p
		}
	}
	return c
}

// Same tells whether two sets of conditions say the same.
func Same(a, b []metav1.Condition) bool {
	if len(a) != len(b) {
		return false
	}
	for _, c := range a {
		p := meta.FindStatusCondition(b, c.Type)
		if p == nil || p.Status != c.Status || p.Reason != c.Reason || p.Message != c.Message {
			return false
		}
	}
	return true
}

func cut(s string) string {
	if len(s) <= maxMessage {
		return s
	}
	return strings.ToValidUTF8(s[:maxMessage], "") + "…"
}
