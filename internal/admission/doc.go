// Package admission checks Configurations before they are stored.
//
// [Check] decides. It is a pure function of the Configuration, of what it was
// before, and of [Facts] that only the cluster knows. It returns errors, for
// which the Configuration is refused, and warnings for the user. By then the
// CRD's schema has been enforced (package crd does the same without a cluster).
//
// The schema does not cover Pod, Job and Service specs, so that they may have
// fields of any Kubernetes. The cluster itself judges them in a dry run: see
// [Verdict]. Without a cluster, as in "akri check", the types that this program
// was built with judge instead.
//
// Package webhook asks the cluster, and answers the API server's reviews. It is
// a separate package so that "akri check" does not link it.
package admission
