// Package writer makes an edge node's calls at the API server, in the name of the
// node or of one of its Pods.
//
// The API server decides about each call by that user's rights, so the Node
// authorizer, NodeRestriction and every policy of the cluster hold as if the node
// had called itself. The writer only keeps calls from being anything else than
// calls of that user: [Check] has the list of methods, paths and parameters that
// pass, and a call has no headers but two media types.
//
// What needs a connection of its own does not pass: watches, which interests are
// for; exec, attach, port-forward and proxy; logs.
package writer
