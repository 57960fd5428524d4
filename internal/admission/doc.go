// Package admission is what a Configuration must be.
//
// [Check] decides: a pure function of the Configuration, of what it was before,
// and of [Facts] that only the cluster knows. It returns errors, for which the
// Configuration is refused, and warnings, which the user is told. The CRD has
// refused before what its schema can say, and dropped what it does not know.
//
// The schema does not look into Pod, Job and Service specs, so that they may
// have fields of any Kubernetes. Whether a spec has only fields that there are,
// and makes sense, is for the cluster to say: a trial asks the API server to
// create what the controller would make from it, as a dry run ([Verdict]).
// Without a cluster, as in "akri check", the types that this program was built
// with judge instead.
//
// [Validator] is the webhook around Check. The keeper has its certificates
// renewed (see package certs), and switches it on: it writes the webhook into
// the ValidatingWebhookConfiguration when the webhook can be reached, and not
// before. [Setup] adds both to a manager. They run in every replica.
package admission
