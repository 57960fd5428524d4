package broker

import (
	"time"

	"k8s.io/apimachinery/pkg/types"

	v0 "github.com/akri-go/akri/api/v0"
)

// Instance is what Plan needs to know of an Instance.
type Instance struct {
	Name     string
	UID      types.UID
	Shared   bool
	Capacity int64
	// Nodes are those that see the device.
	Nodes []string
	// Offline are the nodes whose grace period runs: brokers stay there, new
	// ones are not made.
	Offline map[string]bool
	// Outdated are the Pods that were given the device as it no longer is, by
	// the node that says so, with what has changed.
	Outdated map[string]map[types.UID]string
	// Usage are the slots that somebody holds. One whose value could not be
	// read has an empty Node.
	Usage []v0.Usage
	// Deleting means that it has a deletion timestamp.
	Deleting bool
}

// Spec is what Plan needs to know of the workload that is wanted.
type Spec struct {
	// Hash identifies the broker spec.
	Hash string
	// Quantity is the number of slots that one Pod takes. A Pod that takes
	// none is not limited by capacity.
	Quantity int64
}

// Phase of a broker Pod, as far as Plan tells them apart.
type Phase int

const (
	// Pending: not running yet, or of unknown phase.
	Pending Phase = iota
	// Running as the kubelet says.
	Running
	// Ended: failed or succeeded.
	Ended
)

// Pod is what Plan needs to know of a broker Pod.
type Pod struct {
	Name string
	UID  types.UID
	// Version is its resourceVersion.
	Version string
	// Owner is the UID of the Instance that it was made for.
	Owner types.UID
	// Node is the node that it was made for.
	Node string
	// SpecHash is empty if upstream's controller made the Pod.
	SpecHash string
	Quantity int64
	Created  time.Time
	Phase    Phase
	Ready    bool
	// Bound means that the scheduler gave it its node, RunsOn.
	Bound  bool
	RunsOn string
	// Terminating means that it has a deletion timestamp.
	Terminating bool
	// Unschedulable is since when the scheduler finds no room; zero if it
	// did not say so.
	Unschedulable time.Time
	// Started and EndedAt bound the time that it ran; zero if unknown.
	Started, EndedAt time.Time
	// Denied means that it ended because the kubelet did not admit it.
	Denied bool
	// Why it ended, for people.
	Why string
	// Failures came before it.
	Failures History
}

// State is all that a plan depends on.
type State struct {
	// Instance is nil if it is gone.
	Instance *Instance
	// Spec is nil if no broker Pods are wanted.
	Spec *Spec
	// Hold keeps what is there and makes nothing: the spec is broken, was
	// refused by the API server, or its Configuration is not known.
	Hold bool
	Pods []Pod
	// Usable are the nodes that are ready and take Pods. It is asked for
	// shared Instances only: a local one has no choice.
	Usable map[string]bool
	// Gone are the nodes from which a broker that held slots vanished a
	// moment ago: the agent frees them with a delay, and grants them to a new
	// broker on the same node at once.
	Gone map[string]bool
	// History holds the failures that the controller remembers.
	History History
	Now     time.Time
}

// Reason says why something is done; it is the reason of the Event too.
type Reason string

// Reasons of actions and notes.
const (
	ReasonCreated       Reason = "BrokerCreated"
	ReasonInstanceGone  Reason = "InstanceGone"
	ReasonNotWanted     Reason = "BrokerNotWanted"
	ReasonOldInstance   Reason = "BrokerOfOldInstance"
	ReasonNodeLeft      Reason = "NodeLeft"
	ReasonDuplicate     Reason = "BrokerDuplicate"
	ReasonNoSlot        Reason = "NoFreeSlot"
	ReasonFailed        Reason = "BrokerFailed"
	ReasonReplaced      Reason = "BrokerReplaced"
	ReasonDenied        Reason = "BrokerDenied"
	ReasonUnschedulable Reason = "BrokerUnschedulable"
	ReasonRolledOut     Reason = "BrokerRolledOut"
	ReasonDeviceChanged Reason = "DeviceChanged"
	ReasonTooFewSlots   Reason = "TooFewSlots"
	ReasonNameTaken     Reason = "BrokerNameTaken"
)

// Action is one thing to do: create a Pod on Node, or, if Delete is set,
// delete that Pod.
type Action struct {
	Node   string
	Delete *Pod
	Reason Reason
	// Message is for people.
	Message string
}

// unplaced tells whether a Pod is deleted because it has no place. It may have
// got one since.
func (a Action) unplaced() bool {
	return a.Delete != nil && !a.Delete.Bound && (a.Reason == ReasonNoSlot || a.Reason == ReasonReplaced)
}

// Note is something that people should know and that changes nothing.
type Note struct {
	Reason  Reason
	Pod     string
	Message string
}

// Result is what a plan says.
type Result struct {
	// Actions in the order in which to do them.
	Actions []Action
	Notes   []Note
	// Again is when to plan anew though nothing changes; 0 is never.
	Again time.Duration
	// History is what to remember.
	History History
}
