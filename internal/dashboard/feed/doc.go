// Package feed sends browsers what changes on a board.
//
// A [Feed] has the newest entries, each with the number of the version in which it
// changed last. A [Viewer] knows nothing but the version that its browser has. What
// it gets next is whatever has changed since, as it is then: nothing waits for a
// slow browser, and it costs no more than a quick one. A browser that is new gets
// everything.
package feed
