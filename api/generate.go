// Package api holds the contracts of Akri with other programs: its Kubernetes
// types in v0, and the discovery protocol in discovery/v0.
package api

//go:generate go -C ../tools/gen run ./protogen -I ../../api/discovery/v0 -out ../../api/discovery/v0 discovery.proto
//go:generate go -C ../tools/gen tool controller-gen object paths=../../api/v0/...
//go:generate go -C ../tools/gen tool controller-gen crd paths=../../api/v0/... output:crd:dir=../../charts/akri/crds
