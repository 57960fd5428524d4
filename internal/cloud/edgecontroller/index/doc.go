// Package index knows what there is of the objects that edge nodes follow.
//
// The words:
//
//   - A [Selection] is what a node follows: a resource, a namespace, selectors.
//   - A feed is one watch at the API server. All nodes that follow the same
//     selection share one feed, and what each node selects by its own name is a
//     slice of one feed: spec.nodeName=N of a watch of all Pods, akri.sh/node=N
//     of a watch of all objects that have this label, the EndpointSlices with an
//     endpoint that N reaches of a watch of all. So the API server has as many
//     watches with ten thousand nodes as with one, but for selections that
//     no other node has, such as a ConfigMap by name.
//   - A [Subscription] is one node's part in a feed. Its [Listener] is told which
//     objects have changed, not how: who is slow reads the newest state later.
//
// Of an object the index keeps key, UID and version. Its bytes are in a cache of
// limited size, and read again when they are needed and no longer there.
//
// A feed is opened in the name of one of its subscribers, so the API server
// decides about each with its own authorizers, and cloudcore needs no rights of
// its own to what nodes follow. Only the few that cloudcore itself lives on
// ([Own]) are opened in its own name.
//
// When the API server restarts, no longer has the events since the last version
// (410), or has forgotten its history (a restored etcd), a feed reads its list
// anew and compares: subscribers are told what has really changed, mostly
// nothing. A watch is resumed only if the last one has ended and the next begins
// at the first try; after anything else versions of the two may not be of the
// same history.
package index
