package reach

// Party is a server that the agent asks. A [Monitor] is one.
type Party interface {
	// Reachable tells whether the party answers, as far as is known.
	Reachable() bool
	// OnReachable makes the party call f with what Reachable returns, once and
	// after each change. Call it before the party is watched; f must return
	// soon. Quick changes may be told as one.
	OnReachable(f func(up bool))
}

// Parties are the servers that the agent asks.
type Parties struct {
	// API is the API server that the agent reads from and writes to.
	API Party
	// Arbiter decides on slots of shared devices. It is asked through API, so
	// it is not reachable when API is not.
	Arbiter Party
}

// Direct returns the parties of a node that talks to the one API server of its
// cluster.
func Direct(server Party) Parties { return Parties{API: server, Arbiter: server} }
