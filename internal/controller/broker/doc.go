// Package broker runs the workload that a Configuration declares for each of
// its Instances.
//
// Nouns:
//
//   - A broker is a Pod (brokerPodSpec) or a Job (brokerJobSpec) whose
//     controlling owner is an Instance. Pods that only carry the labels are
//     somebody else's and are never touched.
//   - The quantity of a broker is how many slots of its Instance one Pod
//     takes: the Pod's effective request of akri.sh/<instance>.
//   - A broker is bound when the scheduler gave it its node, and has ended
//     when its phase is Failed or Succeeded. It was denied if the kubelet
//     refused to admit it.
//   - Others are the holders of slots that are not our brokers.
//   - A failure is an end, a denial or a scheduling time-out on one node. It
//     keeps that node back for a while: the back-off.
//
// [Plan] decides, from plain values, which Pods to make and to delete; the
// [Reconciler] reads those values from the caches and does what Plan says.
//
// # How many, and where
//
// A local Instance has one broker, on its node. A shared one has
// min(⌊(capacity − slots of others) / quantity⌋, usable nodes), at most one
// per node. Existing brokers that hold a slot are never taken away because
// capacity shrank.
//
// # Replacement
//
// A broker that somebody deleted is made again at once. One that ended is kept,
// so that its logs can be read, until its back-off is over (10 s, doubling to
// 5 min), then replaced on its node. One that was denied, or found no room for
// 30 s, makes way for another node if the Instance is shared. Back-off is
// rebuilt after a restart of the controller from the annotation
// akri.sh/broker-failures of the Pods; only the failures of a node that has
// no Pod, on an Instance that has none anywhere, start anew.
//
// A broker whose device has changed under its id since it was given it is
// replaced at once: it would go on with the device node or the address of before,
// and its containers would be started with them again. If it was itself made
// less than a minute ago that counts as a failure, with its back-off.
//
// A changed brokerPodSpec replaces the Pods of an Instance one at a time, the
// next when the one before is ready. Pods without the annotation
// akri.sh/broker-spec-hash were made by upstream's controller and are adopted
// as they are.
//
// A Pod that is being deleted occupies its node until it is gone, so nothing
// is ever created under the name of a Pod that still exists. If its node is
// lost, the node leaves spec.nodes (package node), and from then on the Pod
// no longer counts: its slot is free for another node. The Pod object itself
// goes when the node comes back or is deleted; it is never forced away,
// because its process may still run.
package broker
