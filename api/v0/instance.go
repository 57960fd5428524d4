package v0

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Instance is one device that was found.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:path=instances,singular=instance,shortName=akrii,categories=all,scope=Namespaced
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Config",type=string,JSONPath=`.spec.configurationName`,description="Configuration that the device was found for"
// +kubebuilder:printcolumn:name="Device",type=string,JSONPath=`.status.device`,description="Short name of the device"
// +kubebuilder:printcolumn:name="Online",type=string,JSONPath=`.status.conditions[?(@.type=="Online")].status`,description="Whether a node sees the device; Unknown if no agent that saw it responds"
// +kubebuilder:printcolumn:name="Used",type=string,JSONPath=`.status.used`,description="Slots that are held, of all slots"
// +kubebuilder:printcolumn:name="Broker",type=string,JSONPath=`.status.conditions[?(@.type=="BrokersReady")].reason`,description="State of its brokers; if they differ, the worst"
// +kubebuilder:printcolumn:name="Shared",type=boolean,JSONPath=`.spec.shared`,description="Whether several nodes can see the device"
// +kubebuilder:printcolumn:name="Nodes",type=string,JSONPath=`.spec.nodes`,description="Nodes that see the device"
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type Instance struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +required
	Spec InstanceSpec `json:"spec"`
	// +optional
	Status InstanceStatus `json:"status,omitempty"`
}

// InstanceList is a list of Instances.
//
// +kubebuilder:object:root=true
type InstanceList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Instance `json:"items"`
}

// InstanceSpec is a device and who uses it. Agents write it.
type InstanceSpec struct {
	// The Configuration, in the same namespace, that the device was found for.
	//
	// +required
	// +kubebuilder:validation:MaxLength=253
	ConfigurationName string `json:"configurationName"`

	// "akri.sh/<configuration>=<hash>". Kept for upstream's programs.
	//
	// +required
	// +kubebuilder:validation:MaxLength=512
	CdiName string `json:"cdiName"`

	// Number of slots.
	//
	// +required
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=10000
	Capacity int64 `json:"capacity"`

	// Properties of the device, overridden by those of the Configuration. A
	// device has up to 64, and a Configuration up to 256.
	//
	// +optional
	// +kubebuilder:validation:MaxProperties=320
	// +kubebuilder:validation:XValidation:rule="self.all(k, size(k) <= 253 && size(self[k]) <= 32768)",message="a property has a name of at most 253 characters and a value of at most 32768"
	// +kubebuilder:validation:XValidation:rule="self.map(k, size(k) + size(self[k])).sum() <= 524288",message="all properties together have at most 524288 characters"
	BrokerProperties map[string]string `json:"brokerProperties,omitempty"`

	// Whether several nodes can see the device.
	//
	// +optional
	// +kubebuilder:default=false
	Shared bool `json:"shared"`

	// Names of the nodes that see the device.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=5000
	// +kubebuilder:validation:items:MaxLength=253
	Nodes []string `json:"nodes,omitempty"`

	// The holder of each slot, by slot id: "<node>", if it was claimed through
	// the resource of the Instance, or "C:<virtual device id>:<node>", if
	// through that of the Configuration. A slot that is absent, or has the
	// empty string, is free.
	//
	// +optional
	// +mapType=granular
	// +kubebuilder:validation:MaxProperties=10000
	// +kubebuilder:validation:XValidation:rule="self.all(k, size(k) <= 260 && size(self[k]) <= 600)",message="a slot id has at most 260 characters, and its holder at most 600"
	DeviceUsage map[string]string `json:"deviceUsage,omitempty"`
}

// InstanceStatus is the state of a device.
type InstanceStatus struct {
	// Written by the controller.
	//
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// A short name of the device: its device node, or the end of its id.
	// Written by the controller.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Device string `json:"device,omitempty"`

	// "1/5": how many slots are held, and how many there are. Written by the
	// controller, a moment after a change.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=32
	Used string `json:"used,omitempty"`

	// What nodes have to say about the device. A node of spec.nodes without an
	// entry sees the device, and nothing is wrong there.
	//
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=5000
	Nodes []InstanceNode `json:"nodes,omitempty"`
}

// DeviceState says whether a node sees a device now.
type DeviceState string

const (
	// DeviceOnline means that a handler reports the device.
	DeviceOnline DeviceState = "Online"
	// DeviceOffline means that the device is missing and its grace period runs:
	// brokers stay, and new Pods do not get its slots.
	DeviceOffline DeviceState = "Offline"
)

// Reasons of an InstanceNode.
const (
	// ReasonPropertiesDiffer: this node's handler reports other properties than
	// those in the Instance, which are from the first of its nodes.
	ReasonPropertiesDiffer = "PropertiesDiffer"
	// ReasonNotReported: the device is not in the handler's last report.
	ReasonNotReported = "NotReported"
	// ReasonHandlerGone: no handler that could report the device is connected.
	ReasonHandlerGone = "HandlerGone"
	// ReasonDeviceChanged: the device has changed since containers of this node
	// got it; see [InstanceNode.Outdated].
	ReasonDeviceChanged = "DeviceChanged"
)

// InstanceNode is what one node's agent says about a device.
type InstanceNode struct {
	// The node's name.
	//
	// +required
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// +required
	// +kubebuilder:validation:MaxLength=64
	State DeviceState `json:"state"`
	// +optional
	// +kubebuilder:validation:MaxLength=128
	Reason string `json:"reason,omitempty"`
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`
	// When the state last changed.
	//
	// +optional
	Since *metav1.Time `json:"since,omitempty"`
	// Slots of this node whose containers have the device as it was before a
	// change, with the Pods of those containers. Only the first 32 are listed.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	Outdated []OutdatedSlot `json:"outdated,omitempty"`
}

// OutdatedSlot is a slot whose container has the device as it was before a
// change: with another device node or mount, or another value of a property.
// Only a new Pod gets the device as it is now.
type OutdatedSlot struct {
	// The slot's id.
	//
	// +required
	// +kubebuilder:validation:MaxLength=128
	Slot string `json:"slot"`
	// +required
	// +kubebuilder:validation:MaxLength=63
	PodNamespace string `json:"podNamespace"`
	// +required
	// +kubebuilder:validation:MaxLength=253
	PodName string `json:"podName"`
	// +required
	// +kubebuilder:validation:MaxLength=128
	PodUID string `json:"podUID"`
	// What has changed since the container got the device.
	//
	// +required
	// +kubebuilder:validation:MaxLength=256
	Change string `json:"change"`
}

// Limits of [InstanceNode.Outdated], as in the CRD.
const (
	MaxOutdated = 32
	MaxChange   = 256
)
