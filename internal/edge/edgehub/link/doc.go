// Package link keeps an edge node connected with cloudcore: one WebSocket over
// TLS 1.3, in which both ends show certificates. It is the only connection that
// the edge node opens to the cloud, but for that by which it gets certificates
// (package join).
//
// [Run] dials for ever, with growing delays that are partly random, so that the
// edge nodes of a cloudcore that was away do not all come back at once. What is
// said on a connection is for a [Handler]: it gets whole messages in their
// order, and sends within the lanes of package session. A connection that is
// broken, silent or does not take what is sent is closed, and the next one
// begins anew: nothing is kept from one to the next.
//
// cloudcore can say Goodbye. Then the next attempt is when it says.
package link
