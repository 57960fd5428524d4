package v0

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// Configuration says which devices to look for, and what to run with them.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:path=configurations,singular=configuration,shortName=akric,categories=all,scope=Namespaced
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Handler",type=string,JSONPath=`.spec.discoveryHandler.name`,description="Discovery handler that is asked"
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Discovering")].status`,description="Whether a handler answers; Unknown if no agent responds"
// +kubebuilder:printcolumn:name="Devices",type=integer,JSONPath=`.status.devices`,description="Instances"
// +kubebuilder:printcolumn:name="Brokers",type=string,JSONPath=`.status.brokers`,description="Brokers that are ready, of those that there should be"
// +kubebuilder:printcolumn:name="Capacity",type=string,JSONPath=`.spec.capacity`,description="Slots of each Instance"
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 56",message="metadata.name must be at most 56 characters: the names of Instances add seven to it"
type Configuration struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +required
	Spec ConfigurationSpec `json:"spec"`
	// +optional
	Status ConfigurationStatus `json:"status,omitempty"`
}

// ConfigurationList is a list of Configurations.
//
// +kubebuilder:object:root=true
type ConfigurationList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Configuration `json:"items"`
}

// ConfigurationSpec is what the user asks for.
//
// Pod, Job and Service specs are kept as they were written, so that fields of
// a Kubernetes newer than this program reach the cluster unchanged.
type ConfigurationSpec struct {
	// How devices are found.
	//
	// +required
	DiscoveryHandler DiscoveryHandlerInfo `json:"discoveryHandler"`

	// How many users each device may have at a time: the number of slots of its
	// Instance. If the device is shared, all nodes share them.
	//
	// +optional
	// +kubebuilder:default=1
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10000
	Capacity int32 `json:"capacity,omitempty"`

	// The workload to run for each Instance. Without it, devices are only offered
	// as resources.
	//
	// +optional
	// +nullable
	BrokerSpec *BrokerSpec `json:"brokerSpec,omitempty"`

	// core/v1 ServiceSpec of the Service of each Instance that has a broker.
	//
	// +optional
	// +nullable
	// +kubebuilder:pruning:PreserveUnknownFields
	// +kubebuilder:validation:Type=object
	InstanceServiceSpec *runtime.RawExtension `json:"instanceServiceSpec,omitempty"`

	// core/v1 ServiceSpec of one Service for all brokers of the Configuration.
	//
	// +optional
	// +nullable
	// +kubebuilder:pruning:PreserveUnknownFields
	// +kubebuilder:validation:Type=object
	ConfigurationServiceSpec *runtime.RawExtension `json:"configurationServiceSpec,omitempty"`

	// Copied to every Instance and to the environment of every container that
	// gets one of its slots. They override device properties of the same name.
	//
	// +optional
	// +kubebuilder:validation:MaxProperties=256
	// +kubebuilder:validation:XValidation:rule="self.all(k, size(k) <= 253 && size(self[k]) <= 32768)",message="a property has a name of at most 253 characters and a value of at most 32768"
	// +kubebuilder:validation:XValidation:rule="self.map(k, size(k) + size(self[k])).sum() <= 262144",message="all properties together have at most 262144 characters"
	BrokerProperties map[string]string `json:"brokerProperties,omitempty"`
}

// DiscoveryHandlerInfo names a discovery handler and what to ask it.
type DiscoveryHandlerInfo struct {
	// The name under which the handler registered: debugEcho, udev, onvif,
	// opcua, modbus and mqtt are built in.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`

	// Passed to the handler unchanged; YAML by convention.
	//
	// +optional
	DiscoveryDetails string `json:"discoveryDetails,omitempty"`

	// Values that are passed to the handler by name, given here or kept in
	// Secrets and ConfigMaps.
	//
	// +optional
	// +nullable
	// +kubebuilder:validation:MaxItems=256
	DiscoveryProperties []DiscoveryProperty `json:"discoveryProperties,omitempty"`

	// How long a device that is no longer reported keeps its Instance and its
	// brokers. Default: 0s for local devices, 60s for shared ones.
	//
	// +optional
	// +kubebuilder:validation:XValidation:rule="self.matches('^[-+]?(([0-9]+([.][0-9]*)?|[.][0-9]+)(ns|us|ms|s|m|h))+$|^[-+]?0$') && duration(self) <= duration('2500000h')",message="write numbers with units, as in 300s, 5m or 1h30m"
	// +kubebuilder:validation:XValidation:rule="!self.startsWith('-')",message="must not be negative"
	OfflineGracePeriod *metav1.Duration `json:"offlineGracePeriod,omitempty"`
}

// DiscoveryProperty is a named value for a discovery handler, given here or
// kept in a Secret or ConfigMap.
//
// +kubebuilder:validation:XValidation:rule="has(self.value) != has(self.valueFrom)",message="give exactly one of value and valueFrom"
type DiscoveryProperty struct {
	// +required
	// +kubebuilder:validation:Pattern=`^[_A-Za-z][_A-Za-z0-9]*$`
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`

	// +optional
	// +nullable
	Value *string `json:"value,omitempty"`

	// +optional
	// +nullable
	ValueFrom *DiscoveryPropertySource `json:"valueFrom,omitempty"`
}

// DiscoveryPropertySource says where the value of a property is kept: in a
// Secret or in a ConfigMap.
//
// +kubebuilder:validation:XValidation:rule="has(self.secretKeyRef) != has(self.configMapKeyRef)",message="give exactly one of secretKeyRef and configMapKeyRef"
type DiscoveryPropertySource struct {
	// +optional
	SecretKeyRef *DiscoveryPropertyKeySelector `json:"secretKeyRef,omitempty"`
	// +optional
	ConfigMapKeyRef *DiscoveryPropertyKeySelector `json:"configMapKeyRef,omitempty"`
}

// DiscoveryPropertyKeySelector names a key of a Secret or ConfigMap.
type DiscoveryPropertyKeySelector struct {
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Key string `json:"key"`
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace,omitempty"`
	// +optional
	Optional bool `json:"optional,omitempty"`
}

// BrokerSpec is the workload of an Instance: a Pod or a Job.
//
// +kubebuilder:validation:XValidation:rule="!(has(self.brokerPodSpec) && has(self.brokerJobSpec))",message="give brokerPodSpec or brokerJobSpec, not both"
type BrokerSpec struct {
	// core/v1 PodSpec. The resource name {{PLACEHOLDER}} in requests and limits
	// stands for the resource of the Instance.
	//
	// +optional
	// +nullable
	// +kubebuilder:pruning:PreserveUnknownFields
	// +kubebuilder:validation:Type=object
	BrokerPodSpec *runtime.RawExtension `json:"brokerPodSpec,omitempty"`

	// batch/v1 JobSpec, with the same placeholder.
	//
	// +optional
	// +nullable
	// +kubebuilder:pruning:PreserveUnknownFields
	// +kubebuilder:validation:Type=object
	BrokerJobSpec *runtime.RawExtension `json:"brokerJobSpec,omitempty"`
}

// ConfigurationStatus is the state of a Configuration. Each agent writes its
// node's entry in nodes, and the controller all else.
type ConfigurationStatus struct {
	// The generation that the controller's fields are about.
	//
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// Written by the controller.
	//
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// How many Instances there are. Written by the controller, a moment after a
	// change.
	//
	// +optional
	Devices int32 `json:"devices"`

	// "2/3": how many brokers are ready, and how many there should be. Written by
	// the controller, a moment after a change.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=32
	Brokers string `json:"brokers,omitempty"`

	// One entry for each node whose agent looks for devices.
	//
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=5000
	Nodes []ConfigurationNode `json:"nodes,omitempty"`
}

// DiscoveryState is the state of discovery for a Configuration on one node.
type DiscoveryState string

const (
	// DiscoveryWaiting means that no handler of that name is registered, or that
	// none has answered yet.
	DiscoveryWaiting DiscoveryState = "Waiting"
	// DiscoveryActive means that a handler answers.
	DiscoveryActive DiscoveryState = "Active"
	// DiscoveryFailed means that a handler or the agent refused the request, or
	// that a handler failed. The message says why.
	DiscoveryFailed DiscoveryState = "Failed"
)

// ConfigurationNode is what one node's agent says about a Configuration.
type ConfigurationNode struct {
	// The node's name.
	//
	// +required
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// +required
	// +kubebuilder:validation:MaxLength=64
	State DiscoveryState `json:"state"`
	// How many devices this node sees now.
	//
	// +optional
	Devices int32 `json:"devices"`
	// Which handlers answered, and the last error if there is one.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`
	// The generation of the Configuration that the entry is about.
	//
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
}

// MaxCapacity is how many slots an Instance has at most.
const MaxCapacity = 10_000

// Slots returns the number of slots of each Instance: spec.capacity, from 1 to
// [MaxCapacity]. Older CRDs do not set the default and do not have the maximum.
func (c *Configuration) Slots() int {
	return int(min(max(c.Spec.Capacity, 1), MaxCapacity))
}

// DefaultSharedGrace is the default offline grace period of shared devices: a
// lost datagram must not end brokers.
const DefaultSharedGrace = 60 * time.Second

// Grace returns how long a device that is no longer reported stays.
func (d *DiscoveryHandlerInfo) Grace(shared bool) time.Duration {
	switch {
	case d.OfflineGracePeriod != nil && d.OfflineGracePeriod.Duration >= 0:
		return d.OfflineGracePeriod.Duration
	case shared:
		return DefaultSharedGrace
	default:
		return 0
	}
}
