// Package contract is what agents ask of discovery handlers: limits, and the form
// of endpoints and devices. Agents enforce it (internal/agent/registry), and
// discovery/discoverytest tells the authors of handlers.
//
// It also reads reports without believing them: see [RawCodec].
package contract

// AgentSocket is the name of the agent's socket in the directory where it meets
// the handlers.
const AgentSocket = "agent-registration.sock"

// MaxHandlerNameBytes is the longest name that a handler may register with.
const MaxHandlerNameBytes = 253
