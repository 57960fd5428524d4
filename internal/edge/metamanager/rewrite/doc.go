// Package rewrite is what the edge node's local API shows otherwise than the
// cluster has it. It is pure: what is shown of an object follows from the object
// and the [Rules].
//
//   - The API server's EndpointSlice (default/kubernetes) has the address at which
//     Pods of this node reach the local API. So the API server's Service leads
//     there, and Pods need no other settings than elsewhere.
//   - The ConfigMap kube-root-ca.crt of each namespace has the local API's own
//     authority beside the cluster's, so that Pods trust its certificate.
//   - All other EndpointSlices keep only the endpoints that this node can reach:
//     its own, those of its neighbours, and those of no node, which somebody has
//     put there. Nodes with the same label [edgev1.SiteLabel] are neighbours. A
//     Service with the label [edgev1.EndpointsLabel] keeps all.
//   - An endpoint that is a Pod of this node has the address and the readiness that
//     the Pod has, as the node knows it. While the link is cut nobody else could
//     tell: after a power cut Pods have other addresses.
//   - Endpoints, their deprecated form, have the same addresses.
//
// What is shown otherwise must not be written through the local API: the cluster
// would get what is meant for this node alone. [Rules.Show] says what that is.
package rewrite
