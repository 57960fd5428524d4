// Package autonomy keeps the Pods of an edge node where they are while the node
// is cut off.
//
// A node that is not heard of gets the taints node.kubernetes.io/not-ready and
// unreachable, and what does not tolerate them is deleted: by default 300 s
// later, for that is the tolerationSeconds that the API server gives to Pods
// that say nothing. The API lets tolerationSeconds of a Pod change after the Pod
// has been bound, and nothing else of its tolerations. So cloudcore takes them
// off the Pods that are bound to edge nodes, once each, and needs no webhook.
//
// [Annotation] on a Pod, its Namespace or its Node, with the value false, leaves
// Pods as they are: they are deleted and replaced elsewhere, as on other nodes.
// Of a Pod's own annotation and those of its Namespace and Node the first that
// there is decides.
package autonomy
