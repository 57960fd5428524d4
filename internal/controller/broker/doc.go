// Package broker runs the workload that a Configuration declares for each of
// its Instances.
//
// Nouns:
//
//   - A broker is a Pod (brokerPodSpec) or a Job (brokerJobSpec) whose
//     controlling owner is an Instance. Pods that only carry the labels belong
//     to somebody else and are never touched.
//   - The quantity of a broker is the number of slots that one Pod takes: its
//     effective request of akri.sh/<instance>.
//   - A broker is bound when the scheduler has assigned its node. It has ended
//     when its phase is Failed or Succeeded. It was denied if the kubelet
//     refused to admit it.
//   - Others are holders of slots that are not our brokers.
//   - A failure is an end, a denial or a scheduling time-out on one node. The
//     node is then in back-off for a while.
//
// [Plan] decides, from plain values, which Pods to create and delete. The
// [Reconciler] reads those values from the caches and carries out the plan.
//
// # How many, and where
//
// A local Instance has one broker, on its node. A shared one has
// min(⌊(capacity − slots of others) / quantity⌋, usable nodes), at most one per
// node. If capacity shrinks, brokers that hold a slot stay.
//
// # Replacement
//
// A broker that is deleted by hand is created again at once. One that ended is
// kept, so that its logs can be read, until its back-off is over (10 s,
// doubling to 5 min); then it is replaced on its node. One that was denied, or
// was unschedulable for 30 s, is moved to another node if the Instance is
// shared. After a restart of the controller, back-off is restored from the
// annotation akri.sh/broker-failures of the Pods. It is lost only if the
// Instance has no Pod at all.
//
// A broker whose device has changed under its id is replaced at once: restarted
// containers would get the old device node or address again. If the broker is
// younger than a minute this counts as a failure, with its back-off.
//
// If brokerPodSpec changes, the Pods of an Instance are replaced one at a time,
// each when the one before is ready. Pods without the annotation
// akri.sh/broker-spec-hash were made by upstream's controller and are adopted
// as they are.
//
// A Pod that is being deleted occupies its node until it is gone, so no Pod is
// created under a name that still exists. If its node is lost, the node leaves
// spec.nodes (package node), and the Pod no longer counts: its slot is free for
// another node. The Pod object is deleted when the node comes back or is
// deleted. It is never force-deleted, because its process may still run.
package broker
