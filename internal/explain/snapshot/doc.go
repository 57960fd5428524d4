// Package snapshot reads what package explain needs to know of a cluster.
//
// [Sources] says which objects these are, and what of them matters. [Read] lists
// each source in pages, once, and stops at a limit; whoever wants to know of
// changes watches them. What the user may not read in all namespaces is read in
// one; what could not be read at all is in Cluster.Unseen, with the reason. The
// clock is the API server's.
package snapshot
