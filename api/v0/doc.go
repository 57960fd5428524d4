// Package v0 holds the Kubernetes API of Akri, group akri.sh, version v0.
//
// It has two kinds, both namespaced:
//
//   - A [Configuration] is written by users: which devices to look for, and what
//     to run with them.
//   - An [Instance] is one device that was found. Agents write it; the controller
//     runs brokers for it. A local device is an Instance of its node. A shared
//     device is one Instance for all nodes that see it.
//
// An Instance has spec.capacity slots, named "<instance>-<index>" ([SlotID]).
// Each slot is for one user of the device. spec.deviceUsage says who holds
// which slot, and through which of two resources, its door ([Usage]).
//
// The objects are those of upstream Akri, so existing manifests apply unchanged.
// Additions are optional: the status subresources and
// discoveryHandler.offlineGracePeriod.
//
// +k8s:deepcopy-gen=package
// +kubebuilder:object:generate=true
// +groupName=akri.sh
package v0
