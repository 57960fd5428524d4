// Package webhook lets the API server ask [admission.Check] about every
// Configuration that is written.
//
// [Validator] answers a review. It finds the facts that Check needs: which names
// are taken, what the user may do, and what the API server says to a trial. A
// trial asks the API server to create what the controller would make from a
// spec, as a dry run.
//
// The keeper has the webhook's certificates renewed (see package certs), and
// switches the webhook on: it writes it into the ValidatingWebhookConfiguration
// when it can be reached, and not before. [Setup] adds both to a manager. They
// run in every replica.
package webhook
