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
	// Offline are the nodes that are in their grace period: brokers stay there,
	// and no new ones are created.
	Offline map[string]bool
	// Outdated are the Pods whose device has changed since they got it, by the
	// node that says so, with what has changed.
	Outdated map[string]map[types.UID]string
	// Usage are the slots that are held. If a value cannot be read, its Node is
	// empty.
	Usage []v0.Usage
	// Deleting means that it has a deletion timestamp.
	Deleting bool
}

// Spec is what Plan needs to know of the workload that is wanted.
type Spec struct {
	// Hash identifies the broker spec.
	Hash string
	// Quantity is the number of slots that one Pod takes. If it is 0, capacity
	// does not limit the brokers.
	Quantity int64
}

// Phase of a broker Pod, as far as Plan distinguishes them.
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
	// Bound means that the scheduler has assigned the node RunsOn.
	Bound  bool
	RunsOn string
	// Terminating means that it has a deletion timestamp.
	Terminating bool
	// Unschedulable is since when the scheduler says so; zero if it does not.
	Unschedulable time.Time
	// Started and EndedAt are when it began to run and ended; zero if unknown.
	Started, EndedAt time.Time
	// Denied means that it ended because the kubelet did not admit it.
	Denied bool
	// Why it ended, for people.
	Why string
	// Failures are those that came before it.
	Failures History
}

// State is all that a plan depends on.
type State struct {
	// Instance is nil if it is gone.
	Instance *Instance
	// Spec is nil if no broker Pods are wanted.
	Spec *Spec
	// Hold means: change nothing. The spec is broken, was refused by the API
	// server, or its Configuration is unknown.
	Hold bool
	Pods []Pod
	// Usable are the nodes that are ready and accept Pods. It is filled only
	// for shared Instances: a local one has no choice.
	Usable map[string]bool
	// Gone are the nodes where a broker that held slots vanished a moment ago.
	// The agent frees such slots late, but grants them to a new broker on the
	// same node at once.
	Gone map[string]bool
	// History holds the failures that the controller remembers.
	History History
	Now     time.Time
}

// Reason says why something is done. It is also the reason of the Event.
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

// Action is one thing to do: create a Pod on Node or, if Delete is set, delete
// that Pod.
type Action struct {
	Node   string
	Delete *Pod
	Reason Reason
	// Message is for people.
	Message string
}

// unplaced reports whether a Pod is deleted because it has no place. It may
// have been bound since.
func (a Action) unplaced() bool {
	return a.Delete != nil && !a.Delete.Bound && (a.Reason == ReasonNoSlot || a.Reason == ReasonReplaced)
}

// Note is something that people should know. It changes nothing.
type Note struct {
	Reason  Reason
	Pod     string
	Message string
}

// Result is a plan.
type Result struct {
	// Actions in the order in which to do them.
	Actions []Action
	Notes   []Note
	// RequeueAfter is when to plan again if nothing changes; 0 is never.
	RequeueAfter time.Duration
	// History is what to remember.
	History History
}
