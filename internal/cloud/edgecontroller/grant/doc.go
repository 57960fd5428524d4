// Package grant decides who an edge node may ask as, and what it may have.
//
// An edge node may ask as itself, as kube-proxy, which runs on it, and as a
// service account, if a Pod of that account is bound to the node and has not
// ended. Whether that user may have an interest is for the API server to say: a
// SubjectAccessReview asks its own authorizers, among them the Node authorizer,
// which gives a node its own Pods, and the Secrets and ConfigMaps that these
// mention.
//
// What is granted is the right to watch: who may watch may see all that the
// selection has.
package grant
