// Package v0 holds the Kubernetes API of Akri, group akri.sh, version v0.
//
// Two kinds, both namespaced:
//
//   - A [Configuration] is the user's object: which devices to look for, and
//     what runs with them.
//   - An [Instance] is one device that was found. Agents write it; the
//     controller runs brokers for it. A local device has one Instance per
//     node, a shared one has a single Instance for all nodes that see it.
//
// An Instance has capacity slots, named "<instance>-<index>" ([SlotID]). Who
// holds which is in spec.deviceUsage ([Usage]).
//
// The wire form is that of upstream Akri, so existing manifests apply
// unchanged. Additions are optional: the status subresources and
// discoveryHandler.offlineGracePeriod.
//
// +k8s:deepcopy-gen=package
// +kubebuilder:object:generate=true
// +groupName=akri.sh
package v0
