// Package outbox keeps what programs on the edge node have written while the link
// was cut, and makes these requests when the cloud can be asked again.
//
// The words:
//
//   - An entry is one request that waits ([store.Entry]). Its key is the object
//     that it is about, its kind what it does. Of entries with one key and one
//     kind the last one of a user counts, and takes its place at the end.
//   - A pass is what is done in one session: the entries of a key are made one
//     after another, those of several keys beside each other. A key of which the
//     cloud has no answer, or one that says later, waits longer and longer; it
//     keeps no other waiting. But if several fail in a row because the API server
//     does not answer, or cannot now, all wait together, and one at a time tries
//     whether it is back.
//
// Deletions are durable: they are on the disk before the program hears that its
// object is gone, and a deletion names the object's UID, so that it can be made
// twice and never meets another object. Events are not: they are written in the
// background with the rest of the store, so the last moment's may be lost with
// the power; of too many the oldest go, and they are made after everything else.
// Those of Pods have a share of their own, and so has each service account.
//
// What the cloud refuses is dropped and logged: nobody waits for the answer any
// more.
package outbox
