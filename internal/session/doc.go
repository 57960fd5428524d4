// Package session runs one connection between cloudcore and an edge node's
// edgecore, the same way at both ends. It knows bytes, frames and the messages
// of api/edge/v1, and nothing of what they are about.
//
// A session has two lanes of messages to send. What fits in a frame is urgent
// and goes first, also between the frames of a longer message; but not past
// another message of its own interest or call. Each lane holds little:
// [Session.Send] waits while it is full. So a peer that reads slowly costs what
// is in the lanes, and the waiting is the sender's, who can decide anew what is
// worth sending.
//
// A session notices that the other end is gone: an end that has sent nothing for
// a while sends a Ping, and one that has heard nothing for longer ends the
// session. An idle session has one goroutine, which reads; writers come and go
// with what there is to write.
package session
