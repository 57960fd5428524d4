// Package bounded limits what a server spends on its clients: connections
// ([Listener]), requests ([Serve]), work ([Gate]) and memory ([Memory]).
//
// Whoever can reach a port can open connections and leave them idle, send
// bodies that never end, or make many requests at once. A plain limit keeps the
// program alive, but lets one client keep out all others. So the limits are
// shared fairly between peers; a peer is a remote IP address by default. The
// peer that has least comes first, no peer can have all, and when all is taken,
// the peer that has most loses some.
//
//	listener, err := bounded.Listen(ctx, ":8080", bounded.Limits{})
//	if err != nil {
//		return err
//	}
//	return bounded.Serve(ctx, listener, &http.Server{Handler: mux})
package bounded
