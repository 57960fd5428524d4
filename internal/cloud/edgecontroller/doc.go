// Package edgecontroller gives edge nodes what they may see of the cluster, and
// writes to the cluster what they may write.
//
// [Controller] has what all nodes share: the index of objects, grants, Leases,
// autonomy, labels. A session ([Controller.Open]) is one node's connection. What
// a session keeps of an interest is which objects have changed since it was sent
// last ("dirty"), and it reads the newest state when it sends. So nothing grows
// with a node that is slow, and an object that changes ten times meanwhile is
// sent once.
//
// An interest goes through these steps:
//
//	Interest → grant (package grant) → feed (package index) → Have
//	  digest equal → Synced
//	  digest differs → Differ → Have with items → Put, Gone, ... → Synced
//	  nothing at the edge → Put, ... → Synced
//	then Put and Gone as objects change
//
// Of EndpointSlices a node has those with an endpoint that it reaches: its own, its
// site's, and nobody's. When its site changes, they are followed anew.
//
// Not here yet: addresses and ports of nodes are not rewritten, so logs and exec
// do not reach edge nodes.
package edgecontroller
