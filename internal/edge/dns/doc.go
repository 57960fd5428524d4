// Package dns answers the DNS queries of the Pods of an edge node, with the link
// and without it: the names of Services from what the node has stored, and all
// others as the node's own resolvers do.
//
// [Records] are the names of a cluster, by the specification of DNS for Services
// (github.com/kubernetes/dns, version 1.1.0): addresses, ports (SRV), ExternalName
// (CNAME), reverse names (PTR), and those of Pods by their addresses. They are
// made anew when Services or EndpointSlices change ([Source]). Endpoints are
// those that the node reaches (package view).
//
// What is not known is not denied: before Services were ever synced, the answer
// to a name of the cluster is SERVFAIL.
package dns
