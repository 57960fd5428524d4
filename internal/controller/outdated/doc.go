// Package outdated handles users' Pods whose device has changed since they got
// it.
//
// An agent lists in status.nodes of an Instance which Pods on its node got the
// device before it changed under its id. Brokers are replaced (package broker).
// All other Pods belong to users: an Event on the Pod says what has changed,
// and a condition of the Instance names the Pod (package status). A Pod with
// the annotation akri.sh/evict-on-change: "true" is evicted, so that its owner
// makes a new one. Pods of Jobs are users' Pods here: a Job may be half done.
//
// An agent is believed only about Pods that run on its own node and ask for the
// Instance's slots.
package outdated
