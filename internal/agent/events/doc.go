// Package events writes Events on Configurations and on the node: few, and
// never more than the object's share.
//
// What is of one kind and comes within a second is one Event with a count. Each
// object has a bucket of ten Events that fills by one in thirty seconds, and the
// same warning is not repeated for ten minutes. Events are a courtesy: one that
// cannot be written is dropped.
package events
