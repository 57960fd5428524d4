// Package follow watches what package explain needs to know of a cluster.
//
// A [Follower] has a cache of each of snapshot's sources, of what matters of their
// objects. [Follower.Seen] is what is in them now. While the API server does not
// answer, that is what it said last, and time stands still: else all agents would
// seem to be silent.
package follow
