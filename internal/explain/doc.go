// Package explain says why a device, a Pod, a Configuration or a node is not as
// one wants it, from what the cluster says of itself.
//
// A [Cluster] is what was read, at one time. [All] returns what is not well in
// it, and [Of] what that means to one [Subject]. Both are pure functions: they
// read nothing, and have no clock. Package snapshot reads a Cluster; whoever
// watches a cluster has one anyway.
//
// A [Finding] is one thing that is not well, as data: its [Cause] in one word,
// the [Subject] that it is about, its [Evidence] and what to do. Findings are
// sorted by the [Step] in which the cause lies, on a device's way from the
// release that looks for it to the Pod that uses it; so the first of several is
// the one to mend first. A finding that follows from another one says so
// (Because).
//
// What could not be read is not guessed at: [Cluster.Unseen] says what that is,
// and nothing is concluded from objects that are missing there.
package explain
