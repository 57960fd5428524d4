// Package grant says what a container gets with slots of devices, and what of it
// is no longer so.
//
// [Of] answers for all doors, and for the comparison with what a container was
// given before ([Changes]): a difference between the two would replace brokers
// for ever.
package grant
