// Package publish writes what a node knows to the API server: its devices and
// its claims as Instances, and what its handlers say as the status of
// Configurations. It is the only writer of Instances.
//
// Facts are what this node sees: that it has the device, and the device's
// properties. Claims are the slots that this node holds. Both go by server-side
// apply, each under a field manager of its own ([FactsManager],
// [SlotsManager]): one apply for both would drop the node while it claims, or
// take another node's slot when it is forced. Claims are never forced.
//
// A shared Instance belongs to all its nodes. The first name in spec.nodes, the
// leader, decides capacity and brokerProperties; the others repeat the values
// that are there, so that nothing is lost when the leader leaves, and say in
// status.nodes if they see something else.
//
// [Plan] decides what to write, over plain values; what is as it should be is
// never written. A [Publisher] does it, level-triggered: one queue keyed by
// Instance, fed by the inventory, the ledger and the watch. What the queue names
// is published, in as many steps as that takes; but a claim that a container
// waits for ([Publisher.Claim]) comes first, and is made only while the arbiter
// of shared slots can be asked (package reach).
package publish
