// Package service creates the Services that a Configuration declares: one for
// each Instance (instanceServiceSpec) and one for all its brokers
// (configurationServiceSpec).
//
// Nouns:
//
//   - The subject of a Service is the Instance or Configuration that it is for.
//     It owns the Service and gives it its name: "<subject>-svc".
//   - A backend is a Pod with the labels that the Service selects. Pods that
//     the controller did not make count too, if they carry all of them.
//   - A Service is ours if its controlling owner is its subject, or an earlier
//     subject of that name, and it carries the labels. Any other Service of
//     that name is foreign, and never touched.
//
// A Service is created when its first backend runs, updated when its spec
// changes, and deleted when no backend is left and none is expected. While a
// broker is replaced or in back-off, the Service stays for [lingerPeriod], so
// that its node port or cluster IP survives.
package service
