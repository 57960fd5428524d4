// Package cloudhub is cloudcore's end of the links: a server at which edge nodes
// open one WebSocket each, over TLS 1.3 with certificates of both ends.
//
// Who an edge node is, its certificate says and nothing else: the common name is
// system:node:<node>. A node has one session. If it connects again, the newest
// connection counts and the one before is closed. A node whose certificate was
// revoked, or has expired since, loses its session when the hub looks next, 5 s
// later at most.
//
// What sessions are about is a [Controller]'s affair. The hub gives it whole
// messages in their order, and takes what it sends as fast as the node reads it.
//
// Nobody can fill the hub: connections that have not shown a certificate and
// said Hello are few, for each address and in all, and have 30 s; sessions have
// a number; frames, messages and what waits to be sent have sizes; and each
// session is read no faster than its rate, so that a node that floods the hub
// waits itself.
package cloudhub
