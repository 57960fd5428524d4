// Package edgev1 has the messages of the link between cloudcore and an edge
// node's edgecore: one WebSocket, which the edge node opens, with mutual TLS.
//
// The words:
//
//   - An interest is what the edge node wants to have of one kind of object: a
//     resource, a namespace and selectors, as one of its users. cloudcore grants
//     it or refuses it, and keeps what the edge node has of it up to date as
//     long as the link lives.
//   - A call is one request to the cluster's API server, which cloudcore makes
//     in the name of the edge node or of one of its Pods.
//   - A session is one connection of an edge node.
//
// The order of a session: each end says [Hello], the edge node first. The edge
// node sends the calls that wait in its outbox. For each interest it sends
// [Interest] and [Have]; cloudcore answers with [Refused], or with as many [Put]
// and [Gone] as make the edge node's copy complete, then [Synced]. From then on
// it sends [Put] and [Gone] as objects change. Calls and interests may begin at
// any time. Nothing is resent and nothing is acknowledged: what a broken link
// lost, the next Have finds.
//
// Versions are the cluster's resourceVersions: opaque text, compared only for
// being equal.
package edgev1
