// Package node decides what becomes of Instances when a node is lost, and
// carries it out; and it clears away what the kubelet leaves on Nodes.
//
// Nouns:
//
//   - A node is gone when there is no Node object of its name.
//   - A node is away while its Node is there and not Ready. How long it is
//     away counts only while this controller sees it: see [Reconciler].
//   - A node is lost when it is gone, or away for longer than a grace period.
//   - An Instance names a node if the node is in spec.nodes, in status.nodes,
//     or holds one of its slots.
//
// A lost node leaves spec.nodes of every Instance, and its slots become free,
// in one write. The last node of an Instance has nobody to make room for, and
// what it runs may still work behind a broken link: while it is only away, it
// stays for a second, longer period; then the Instance is deleted. What
// follows, brokers moving to other nodes, is package broker's.
//
// # Agents
//
// The agents' server-side applies own the entries that are removed here. They
// are removed by a JSON patch that tests what it removes ([Patch]), so that
// nothing is taken over: when the node is back, its agent applies its entry
// again and meets no conflict. An agent that is not away at all, because only
// the kubelet of its node has stopped, does so at once. That is its right: the
// controller then leaves the node alone for a minute, and for twice as long
// each further time.
//
// # Not to be fooled
//
// What the cache says is never enough to act. Every look reads the Node and
// another one, the witness, from the API server: it counts only if the witness
// is Ready. If no node is, then the fault is the API server's or the network's
// around it, and nothing happens to anybody until one is Ready again. Time in
// which the API server did not answer does not count either, nor what an
// earlier leader had counted. The Instance is read from the API server too,
// and the write fails if it has changed since.
//
// # Resources
//
// The kubelet keeps the names of resources for ever, with the value 0, after
// their device plugin has gone. [PlanResources] finds those of ours that no
// Instance and no Configuration stands for; [Resources] removes them.
package node
