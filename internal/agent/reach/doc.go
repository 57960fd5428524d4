// Package reach says whom the agent can ask right now.
//
// There are two questions, and each part of the agent asks one of them:
//
//   - Can the API be asked? This is about the API server that the agent has
//     been given. What is to be written waits while it cannot be, and grace
//     periods stand still: the kubelet hears of a handler's Pod from the same
//     server, so without it a handler that is gone cannot come back.
//   - Can the arbiter be asked? The arbiter decides which node gets a slot of a
//     shared device. While it cannot be asked no new slot of one is granted,
//     and what this node holds already is given again without asking.
//
// With one API server for all nodes it is the arbiter too. Behind the local API
// server of an edge node the answers differ: the local one goes on answering
// while the cloud, which is the arbiter, is away.
//
// A [Monitor] finds the answer for one server.
package reach
