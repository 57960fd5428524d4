// Package board decides what the dashboard shows of a cluster.
//
// A board is a set of entries, each with a key: one [Overview], a [Node], a
// [Configuration], a [Device] (an Instance) or an [Event] each. [Of] makes it of
// what is known of a cluster and what package explain found out about that; it is
// a pure function. What a browser gets when one thing is clicked is [Details].
//
// Entries have only what a browser may see, and texts of strangers are cut.
package board
