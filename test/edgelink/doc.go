// Package edgelink tests the two ends of the link together, as programs run
// them: cloudhub with its join server, and edgehub's join and link. Its
// benchmarks measure what edge nodes cost cloudcore, and how long a short message
// waits beside a long one. Both ends are real; the controller answers calls by
// itself, without an API server.
package edgelink
