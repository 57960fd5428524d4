// Package webhook is the admission webhook: for every Configuration that is
// written, the API server asks it, and [admission.Check] decides.
//
// [Validator] answers a review. It collects the facts that Check needs: which
// names are taken, what the user may do, and the results of trials. A trial
// creates in a dry run what the controller would make from a spec.
//
// The keeper renews the webhook's certificates (package certs). It also
// switches the webhook on: it writes it into the ValidatingWebhookConfiguration
// once it can be reached, and not before. [Setup] adds both to a manager. They
// run in every replica.
package webhook
