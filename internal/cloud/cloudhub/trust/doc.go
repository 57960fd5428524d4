// Package trust decides which edge nodes may connect: it is the certificate
// authority of cloudcore and its edge nodes, and has the join tokens and the
// list of nodes that were reset.
//
//   - A node's certificate is for a year, and names it in its common name,
//     system:node:<node>. What it may be used for is decided here; of the node's
//     request only the key and the name count.
//   - A join token lets one node ask for its first certificate. It is for the
//     node that it names, or for the first new one that uses it, and then for
//     that one. It is short-lived, can be listed and deleted, and is of no use
//     for a node of the cluster itself. Its text is
//     hex(sha256(authority's certificate)).<JWT>, so that the edge node knows
//     which authority to believe (RFC 7519; HS256, with a key that only
//     cloudcore has).
//   - A reset node's certificates are no longer good; those that it gets later
//     are.
//
// All of it is the data of one [Store], a Secret, which all replicas of cloudcore
// share. A change is written only over what it was made from; so a token is used
// once, whichever replica is asked. Replicas look every [refreshInterval].
package trust
