// Package edgedemo is `make demo-edge`: a cluster and two edge nodes on one
// machine, whose link and power a person cuts, and both ends side by side.
//
// A [State] is what both ends say at a time. [Tell] says in words what has
// happened between two of them, and [Draw] makes a screen of one; both only
// compute.
package edgedemo
