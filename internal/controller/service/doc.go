// Package service makes the Services that a Configuration declares over its
// brokers: one for each Instance (instanceServiceSpec) and one over all of
// them (configurationServiceSpec).
//
// Nouns:
//
//   - The subject of a Service is the Instance or the Configuration that it
//     is for; it owns the Service and gives it its name: "<subject>-svc".
//   - A backend is a Pod with the labels that the Service selects by. Pods
//     that the controller did not make count too, if they carry all of them.
//   - A Service is ours if its controlling owner is its subject, or an
//     earlier subject of that name, and it carries the labels. Any other
//     Service under the name is foreign, and is never touched.
//
// A Service is made when its first backend runs, written again when its spec
// changes, and removed when no backend is left and none is to come. While a
// broker is replaced or waits for its back-off, the Service stays for
// [linger], so that a node port or cluster IP survives that.
package service
