// Package cloud is cloudcore: the wiring of the hub (edge nodes' links), the join
// server (their certificates) and the edge controller (what they may see and
// write), and its configuration.
//
// All replicas do the same; a node is connected to one of them. What they share
// is the cluster, and one Secret with the certificates and tokens.
package cloud
