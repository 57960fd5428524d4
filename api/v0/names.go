package v0

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/crypto/blake2b"
)

// Names that users, brokers and other programs rely on.
const (
	// ResourcePrefix starts the names of the resources that the kubelet
	// offers: akri.sh/<instance> and akri.sh/<configuration>.
	ResourcePrefix = "akri.sh"

	// LabelConfiguration and LabelInstance are on brokers and Services.
	LabelConfiguration = "akri.sh/configuration"
	LabelInstance      = "akri.sh/instance"
	// LabelTargetNode is on broker Pods: the node that the Pod is for.
	LabelTargetNode = "akri.sh/target-node"
	// LabelController with value ControllerName is on what the controller made.
	LabelController = "controller"
	ControllerName  = "akri.sh"
	// LabelApp has the object's own name.
	LabelApp = "app"

	// LabelNode is on Instances of local devices: the node that has the device.
	// Node names over 63 characters are shortened; see [NodeLabel].
	LabelNode = "akri.sh/node"
	// LabelShared with value "true" is on Instances of shared devices.
	LabelShared = "akri.sh/shared"

	// LabelAgentLease with value "true" is on the Leases that agents renew
	// while they run; see [AgentLease].
	LabelAgentLease = "akri.sh/agent"

	// AnnotationDeviceID holds the full id that the handler reported.
	AnnotationDeviceID = "akri.sh/device-id"
	// AnnotationEvictOnChange with value "true" is set by users on Pods that are
	// evicted when a device that they have has changed.
	AnnotationEvictOnChange = "akri.sh/evict-on-change"
	// AnnotationSpecHash tells which broker spec a Pod or Job was made from.
	AnnotationSpecHash = "akri.sh/broker-spec-hash"
	// AnnotationBrokerJob on an Instance tells which brokerJobSpec it has had a
	// Job of.
	AnnotationBrokerJob = "akri.sh/broker-job-hash"

	// Placeholder is the resource name in broker specs that stands for the
	// resource of the Instance.
	Placeholder = "{{PLACEHOLDER}}"

	// MaxConfigurationName leaves room for the hash in an Instance's name.
	MaxConfigurationName = 56
)

// ResourceName returns the extended resource of an Instance or a
// Configuration.
func ResourceName(name string) string { return ResourcePrefix + "/" + name }

// DeviceHash returns the six hexadecimal digits that identify a device within
// its Configuration: BLAKE2b with a digest of three bytes over the device id,
// followed by the node's name if the device is local.
func DeviceHash(deviceID, node string, shared bool) string {
	h, err := blake2b.New(3, nil)
	if err != nil { // only for a digest size or key out of range
		return ""
	}
	h.Write([]byte(deviceID))
	if !shared {
		h.Write([]byte(node))
	}
	return hex.EncodeToString(h.Sum(nil))
}

// OtherDeviceHashes is how many hashes a device may have besides [DeviceHash].
const OtherDeviceHashes = 7

// NthDeviceHash returns the nth hash of a device. A device gets its next hash
// if another device of its Configuration has the one before: of some thousand
// devices, two have the same 24 bits. The 0th hash is [DeviceHash].
func NthDeviceHash(deviceID, node string, shared bool, n int) string {
	if n > 0 { // no id has a NUL
		deviceID += "\x00" + strconv.Itoa(n)
	}
	return DeviceHash(deviceID, node, shared)
}

// InstanceName returns the name of a device's Instance.
func InstanceName(configuration, deviceHash string) string {
	return configuration + "-" + deviceHash
}

// CDIName returns what spec.cdiName holds for a device.
func CDIName(configuration, deviceHash string) string {
	return ResourcePrefix + "/" + configuration + "=" + deviceHash
}

// HashOf returns the device hash at the end of an Instance's name, or "".
func HashOf(instance string) string {
	i := strings.LastIndexByte(instance, '-')
	if i < 0 || len(instance)-i-1 != 6 {
		return ""
	}
	return instance[i+1:]
}

// SlotID returns the id of slot i of an Instance. It is the key in
// spec.deviceUsage and the device id that the kubelet sees.
func SlotID(instance string, i int) string { return instance + "-" + strconv.Itoa(i) }

// ParseSlotID is the reverse of [SlotID].
func ParseSlotID(id string) (instance string, i int, err error) {
	cut := strings.LastIndexByte(id, '-')
	if cut <= 0 {
		return "", 0, fmt.Errorf("slot id %q: want <instance>-<index>", id)
	}
	i, err = strconv.Atoi(id[cut+1:])
	if err != nil || i < 0 || strconv.Itoa(i) != id[cut+1:] {
		return "", 0, fmt.Errorf("slot id %q: %q is not an index", id, id[cut+1:])
	}
	return id[:cut], i, nil
}

// SlotIndex returns the index of a slot of an Instance, and whether the id is
// one of the Instance's slots. Other keys in spec.deviceUsage are not slots.
func SlotIndex(instance, id string) (int, bool) {
	of, i, err := ParseSlotID(id)
	return i, err == nil && of == instance && i < MaxCapacity
}

// NodeLabel returns the value of [LabelNode] for a node. Of names that are too
// long for a label value it returns the beginning and a hash.
func NodeLabel(node string) string {
	if len(node) <= 63 {
		return node
	}
	return strings.TrimRight(node[:56], ".-_") + "-" + DeviceHash(node, "", true)
}

// agentLease starts the names of agents' Leases.
const agentLease = "akri-agent-"

// AgentLease returns the name of the Lease that the agent of a node renews. It
// is in the namespace of the release.
func AgentLease(node string) string { return agentLease + node }

// AgentOfLease is the reverse of [AgentLease].
func AgentOfLease(name string) (node string, ok bool) {
	node, ok = strings.CutPrefix(name, agentLease)
	return node, ok && node != ""
}
