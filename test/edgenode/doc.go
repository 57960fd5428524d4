// Package edgenode tests both halves of an edge node together: cloudcore's
// EdgeController on a real API server, and edgecore's store, sync and local API.
// Their link is in memory; package edgelink has the real one.
package edgenode
