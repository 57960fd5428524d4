// Package publish writes what a node knows to the API server: its devices and
// its claims as Instances, and what its handlers say as the status of
// Configurations. It is the only writer of Instances.
//
// Facts are what this node sees: that it has the device, and the device's
// properties. Claims are the slots that this node holds. Both are written by
// server-side apply, each under its own field manager ([FactsManager],
// [SlotsManager]): one apply for both would remove the node while it claims or,
// when forced, take another node's slot. Claims are never forced.
//
// A shared Instance belongs to all its nodes. The first name in spec.nodes is the
// leader: it decides capacity and brokerProperties. The others apply the same
// values, so that nothing is lost when the leader leaves, and say in status.nodes
// if they see something else.
//
// [Plan] decides what to write; what is as it should be is never written. A
// [Publisher] writes it, level-triggered: the inventory, the ledger and the
// watches put names of Instances into a queue, and each is reconciled with its
// goal in as many steps as that takes. A claim that a container waits for
// ([Publisher.Claim]) comes first. It is made only while the arbiter of shared
// slots is reachable (package reach).
package publish
