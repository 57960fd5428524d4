// Package charthook is what the Helm chart has done by Jobs around an install,
// an upgrade and an uninstall; akri-controller's subcommands of the same names
// run it.
//
//   - crds ([UpdateCRDs]) makes the cluster's CRDs those of this version. Helm
//     itself installs a chart's CRDs once and never again.
//   - cleanup ([Cleanup]) deletes the Configurations before the agents go, and
//     with them, by owner references, Instances, brokers and Services.
//
// Both end by themselves: they wait for nothing longer than they are given.
package charthook

// FieldManager owns what UpdateCRDs writes.
const FieldManager = "akri-crds"

// VersionAnnotation is on a CRD and says which version of Akri wrote it.
const VersionAnnotation = "akri.sh/crd-version"
