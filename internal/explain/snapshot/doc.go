// Package snapshot reads what package explain needs to know of a cluster, once.
//
// It lists each kind of objects in pages, keeps of them what matters, and stops
// at a limit. What the user may not read in all namespaces is read in one; what
// could not be read at all is in Cluster.Unseen, with the reason. The clock is
// the API server's.
package snapshot
