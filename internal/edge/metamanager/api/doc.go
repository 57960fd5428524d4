// Package api is the edge node's local Kubernetes API. Programs on the node use
// it as they use the cluster's own: the kubelet knows no other API server.
//
// What it answers:
//
//   - Lists and watches come from the store, whether the link is cut or not.
//     What was never asked for is asked of the cloud first; while the link is
//     cut the answer is 503, never an empty list. resourceVersions are local
//     (see package store).
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
//     owner writes again); Events wait, the newest of each name, in memory;
//     everything else is 503 with Retry-After.
//   - The Lease of the node is answered from memory at all times: cloudcore
//     renews the one in the cluster for as long as the link lives. If the kubelet
//     stops to renew it, the Node's Ready condition is made Unknown.
//
// Clients present a certificate that this edgecore itself has issued (package
// localca). Bearer tokens of Pods are not taken yet: 401.
//
// What it does not have: Table output, pages (limit is ignored, as the API
// server may), protobuf answers (406; every client of Kubernetes takes JSON),
// exact old resourceVersions, tokens and reviews while cut, streams (logs, exec:
// 501). Lists that were not asked for while the link was there are 503 even if
// they could be told from others.
package api
