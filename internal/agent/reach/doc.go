// Package reach tells whether the agent can reach the API and the arbiter.
//
//   - The API is the API server that the agent was given. While it is not
//     reachable, writes wait and grace periods stand still: the kubelet gets a
//     handler's Pod from the same server, so without it a handler that is gone
//     cannot come back.
//   - The arbiter decides which node gets a slot of a shared device. While it
//     is not reachable, no new slots of shared devices are granted; slots that
//     this node holds already are granted again without asking.
//
// If all nodes use one API server, it is the arbiter too. An edge node has an API
// server of its own, which answers while the cloud, the arbiter, is away.
//
// A [Monitor] watches one server.
package reach
