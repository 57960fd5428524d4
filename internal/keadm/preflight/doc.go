// Package preflight says whether a machine can be an edge node, and what to do if
// it cannot.
//
// [Look] looks at the machine and at the way to cloudcore, and changes nothing.
// What it finds are [Facts]. [Judge] decides from them alone: a [Finding] is what
// stands in the way, or what should be known.
package preflight
