// Package api is the edge node's local Kubernetes API. Programs on the node use
// it as they use the cluster's own: the kubelet knows no other API server.
//
// What it answers:
//
//   - Lists and watches come from the store, whether the link is cut or not.
//     What was never asked for is asked of the cloud first; while the link is
//     cut the answer is 503, never an empty list; only what is part of what the
//     same user follows is taken out of that: one ConfigMap of a namespace, say,
//     of which all are. resourceVersions are local (see package store).
//   - Gets come from the store where a watch keeps it current; else from the
//     cloud, and from what it said last while the link is cut.
//   - Objects are seen as package view shows them, which is not always how the
//     cluster has them. Such an object cannot be changed here: 403.
//   - Discovery, OpenAPI, /version and the keys of service accounts are what the
//     cloud said last.
//   - Writes go to the cloud in the name of whoever asks, with preconditions
//     translated to the cluster's versions. What comes back is in the store
//     before the client has its answer, so everybody reads their writes.
//   - While the link is cut: the node's own status and those of its Pods are
//     taken (an overlay in the store, until the cloud speaks again, and their
//     owner writes again); the kubelet's deletions of Pods are done here, and
//     wait for the cloud as Events do (package outbox); the kubelet gets tokens
//     for its Pods, which are made here (package tokens), and answers to its
//     reviews: a token is judged here, an access as it was judged last, else it
//     is denied. Everything else is 503 with Retry-After, and 507 if the disk is
//     full.
//   - The Lease of the node is answered from memory at all times: cloudcore
//     renews the one in the cluster for as long as the link lives. If the kubelet
//     stops to renew it, the Node's Ready condition is made Unknown.
//
// Who asks is known by a certificate that this edgecore itself has issued
// (package localca), or by the token of a Pod that runs on this node: signed by
// the cluster or by edgecore. A token ends here; what goes to the cloud is who
// has it ([edgev1.As]). What a user reads are interests of that user, so nobody
// sees what others were granted. All Pods of a service account are one user when
// they read. An account that was deleted counts until its tokens expire.
//
// Pods have shares of what is bounded, so that the kubelet always has its own:
// requests, watches, interests, and bytes of the store.
//
// What it does not have: Table output, pages (limit is ignored, as the API
// server may), protobuf answers (406; every client of Kubernetes takes JSON),
// exact old resourceVersions, anonymous requests, impersonation (403), streams
// (logs, exec: 501). Lists of who may not watch are the cloud's answer, and are
// not kept.
package api
