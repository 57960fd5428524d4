// Package outdated looks after Pods of users that hold a device as it no longer
// is.
//
// An agent says in status.nodes of an Instance which Pods of its node were given
// the device before it changed under its id. Brokers are replaced (package
// broker). All others are their users': an Event on the Pod says what has
// changed, a condition of the Instance names it (package status), and a Pod that
// has the annotation akri.sh/evict-on-change: "true" is evicted, so that what
// made it makes it anew. Pods of Jobs are among these: a Job that is half done is
// its user's business.
//
// An agent is heard about Pods that run on its own node and ask for the
// Instance's slots, and about no others.
package outdated
