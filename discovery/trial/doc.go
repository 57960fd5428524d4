// Package trial plays Akri's agent for a discovery handler, and says what the
// handler does wrong. The handler may be one of this process, a program that the
// trial starts, or one that somebody else runs.
//
// A [Subject] is a handler and what to ask it. [Run] makes a trial: it makes the
// agent's socket, waits for the handler to register, calls it as an agent does,
// drops calls, restarts the agent, and kills the handler. A [Finding] says of one
// thing what was done, what came, what the protocol asks for, and what to change.
//
// A [Failure] is a fault that an agent or a user would notice. A [Warning] works,
// but not as well as it could: what upstream Akri's own handlers do is at most a
// warning. What was not tried is [Skipped], with the reason.
//
// What is a fault is decided by functions over plain values, in judge*.go. The
// rules for endpoints and devices are the agent's own.
//
// For `go test` see package discoverytest, for the shell `akri handler test`.
package trial
