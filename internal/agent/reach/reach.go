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

// Party is somebody whom the agent asks. A [Monitor] is one.
type Party interface {
	// Reachable tells whether the party can be asked, as far as is known.
	Reachable() bool
	// OnReachable has f called with what Reachable says, once and after each
	// change. It must be called before the party is watched; f must return
	// soon. Quick changes may be told as one.
	OnReachable(f func(up bool))
}

// Parties are those whom the agent asks.
type Parties struct {
	// API is the API server that the agent reads from and writes to.
	API Party
	// Arbiter decides on slots of shared devices. It is not reachable when API
	// is not: it is asked through it.
	Arbiter Party
}

// Direct returns the parties of a node that talks to the one API server of its
// cluster.
func Direct(server Party) Parties { return Parties{API: server, Arbiter: server} }
