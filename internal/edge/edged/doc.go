// Package edged runs the stock programs of an edge node, the kubelet and
// kube-proxy: it writes their configuration and their credentials, starts them,
// and starts them again when they end.
//
// They know one API server, the node's local API (package api), and have
// certificates that only that API takes and that have no end. So nothing of
// theirs expires while the link is cut. They speak JSON, so that edgecore need
// know no type of the API.
//
// A program that ends is started again after a delay that grows. It ends with
// edgecore; containers run on, and so do the rules of Services. containerd is the
// node's own affair.
package edged
