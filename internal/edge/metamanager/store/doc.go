// Package store keeps what the edge node has of the cluster: in memory, where it
// is read, and in a SQLite file, from which it comes back after a restart.
//
// The words:
//
//   - An interest is what is followed: a resource, a namespace, selectors, and
//     in whose name ([edgev1.Interest] without its ID). It is synced once the
//     cloud has said so, and stays synced while the link is cut.
//   - A holder of an object is an interest that the object belongs to. An
//     object that nobody holds any more is gone.
//   - An overlay is what the edge node has made of an object while it was cut.
//     It is shown instead of what the cloud has said, until the cloud speaks
//     again.
//   - A version is the cluster's resourceVersion. An RV is the local one: one
//     counter for all objects, which goes on after a restart, and which begins
//     at the time in Unix milliseconds, so that after a lost store no client has
//     a larger one.
//
// Memory is what counts. A flusher writes what has changed to the file in the
// background, many changes at once; what changes twice meanwhile is written
// once. A power cut may lose the last moment's changes, and the next sync with
// the cloud finds them again. Clients that saw an RV that was lost are told that
// it is expired. If the disk is full, everything goes on in memory,
// [Store.Healthy] tells, and what is due is written when there is room. If
// nothing changes, nothing is written.
//
// A file that is damaged is moved aside, where the last one of its kind stays,
// and a new one is begun. One that cannot be opened for another reason is not
// touched, and [Open] fails.
package store
