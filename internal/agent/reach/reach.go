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
