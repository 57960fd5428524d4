// Package admission is what a Configuration must be.
//
// [Check] decides: a pure function of the Configuration, of what it was before,
// and of [Facts] that only the cluster knows. It returns errors, for which the
// Configuration is refused, and warnings, which the user is told. The CRD has
// refused before what its schema can say, and dropped what it does not know
// (package crd says the same without a cluster).
//
// The schema does not look into Pod, Job and Service specs, so that they may
// have fields of any Kubernetes. Whether a spec has only fields that there are,
// and makes sense, is for the cluster to say ([Verdict]). Without a cluster, as
// in "akri check", the types that this program was built with judge instead.
//
// Package webhook asks the cluster and answers the API server's reviews. It is
// apart from this one so that "akri check" links none of it.
package admission
