// Package charthook is what the Helm chart's hooks run in Jobs around an
// install, an upgrade and an uninstall. They call akri-controller's subcommands
// of the same names.
//
//   - crds ([UpdateCRDs]) updates the cluster's CRDs to this version. Helm
//     itself installs a chart's CRDs once and never again.
//   - cleanup ([Cleanup]) deletes the Configurations before the agents are
//     removed, and with them, by owner references, Instances, brokers and
//     Services.
//
// Both end when they are done or their time is over.
package charthook

// FieldManager owns what UpdateCRDs writes. It is Helm's own name: Helm 4
// applies a chart's CRDs at every install under this name, and with another
// owner an install after an uninstall would fail with a conflict.
const FieldManager = "helm"

// VersionAnnotation is set on a CRD to the version of Akri that wrote it.
const VersionAnnotation = "akri.sh/crd-version"
