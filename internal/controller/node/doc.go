// Package node decides what happens to Instances when a node is lost, and does
// it. It also removes left-over resources from Nodes.
//
// Nouns:
//
//   - A node is gone when no Node object has its name.
//   - A node is away while its Node exists and is not Ready. Only time that
//     this controller has observed counts: see [Reconciler].
//   - A node is lost when it is gone, or away for longer than a grace period.
//   - An Instance names a node if the node is in spec.nodes, in status.nodes,
//     or holds one of its slots.
//
// A lost node leaves spec.nodes of every Instance and its slots become free, in
// one write. Nobody needs the place of an Instance's last node, and what runs
// there may still work behind a broken link. So if that node is only away, it
// stays for a second, longer period; then the Instance is deleted. The Instance of
// a shared device stays without nodes while another node holds a slot. Whoever
// frees the last one deletes it; if that agent ended before it did, the Instance
// names nobody, and is deleted here. Moving brokers to other nodes is the job of package broker.
//
// # Agents
//
// What is removed here is owned by the agents' server-side applies. It is
// removed by a JSON patch that tests what it removes ([Patch]), so ownership
// does not change: when the node is back, its agent applies again without
// conflict. If only the kubelet of a node has stopped, its agent is not away
// and applies again at once. That is right: the controller then leaves the node
// alone for a minute, and twice as long each further time.
//
// # Safety
//
// The cache alone is never enough to act on. Every check reads the Node and
// another one, the witness, from the API server, and counts only if the witness
// is Ready. If no node is Ready, the fault is in the API server or its network,
// and nothing happens until one is Ready again. Time in which the API server
// did not answer does not count, nor what an earlier leader had counted. The
// Instance is read from the API server too, and the write fails if it has
// changed since.
//
// # Resources
//
// When a device plugin is gone, the kubelet keeps the names of its resources
// for ever, with the value 0. [PlanResources] finds those of ours that belong
// to no Instance and no Configuration; [Resources] removes them.
package node
