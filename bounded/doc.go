// Package bounded bounds what strangers can make a program spend: connections
// ([Listener]), requests ([Serve]), work ([Gate]) and memory ([Memory]).
//
// Whoever can reach a port can open connections to it and say nothing, send
// bodies that never end, or ask for everything at once. A plain limit keeps the
// program alive, but lets one stranger keep out all others. So limits here are
// shared fairly between peers: a peer is a remote address unless told
// otherwise. Who has least comes first, nobody can have everything, and when all
// is taken, who has most gives way.
//
//	listener, err := bounded.Listen(ctx, ":8080", bounded.Limits{})
//	if err != nil {
//		return err
//	}
//	return bounded.Serve(ctx, listener, &http.Server{Handler: mux})
package bounded
