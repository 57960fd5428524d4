// Package labs replays two documents that show Akri to an audience, on a cluster of
// this machine: `akri dev lab k3s` and `akri dev lab microk8s`.
//
// A [Lab] is a document as a list of steps. A [Step] has the commands for a real K3s
// or MicroK8s, which the page in docs/labs has too, and what is done on this machine
// if that is something else. Commands are run as they are written, by bash; those of
// helm by Helm's library, since the machine may have none. A [Deed] is what the
// program does itself, and a [Check] what must be so after a step.
//
// Where the machine has no camera, simulated network cameras stand in for the
// documents' USB cameras.
package labs
