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

// FieldManager owns what UpdateCRDs writes. It is Helm's own name: Helm 4
// applies a chart's CRDs at every install, under this name, and another owner
// would make it fail with a conflict when Akri is installed again.
const FieldManager = "helm"

// VersionAnnotation is on a CRD and says which version of Akri wrote it.
const VersionAnnotation = "akri.sh/crd-version"
