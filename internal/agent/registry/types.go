// Package registry knows the discovery handlers of a node and asks them.
//
// A handler registers an endpoint under its name: a socket, a network address
// or, for a handler built into the agent, a Go value. A [Request] is what one
// Configuration asks all endpoints of a name. Each endpoint answers with a stream
// of [Report]s; a report is the complete list of devices that it sees now. What a
// handler sends is checked against [contract.Limits] before anybody else sees it.
//
// The registry keeps no devices. It passes reports to an [Observer], in order for
// each request and endpoint.
package registry

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/akri-go/akri/discovery"
)

// Request is what one Configuration asks the handlers of a name.
type Request struct {
	// Configuration identifies the request: a Configuration has one at a time.
	Configuration types.NamespacedName
	// UID is the Configuration's: one that was deleted and created again makes
	// another request.
	UID types.UID
	// Handler is the name that handlers register with.
	Handler string
	// Request is what is sent to them.
	discovery.Request
	// Salt is not sent, but is part of the ID. Where properties are secret, a
	// random salt keeps others from guessing the values by their ID.
	Salt string
}

// ID identifies the request: it changes whenever the answer could change.
func (req Request) ID() string {
	h := sha256.New()
	add(h, string(req.UID), req.Handler, req.Request.Details)
	names := make([]string, 0, len(req.Request.Properties))
	for name := range req.Request.Properties {
		names = append(names, name)
	}
	slices.Sort(names)
	if req.Salt != "" {
		add(h, "", req.Salt)
	}
	for _, name := range names {
		value := req.Request.Properties[name]
		if value == nil {
			add(h, name, "absent")
			continue
		}
		add(h, name, "present", string(value))
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// add hashes fields with their lengths, so that no two lists look the same.
func add(h hash.Hash, fields ...string) {
	for _, f := range fields {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(f)))
		h.Write(n[:])
		h.Write([]byte(f))
	}
}

// Report is the complete list of devices that one endpoint sees for a request.
type Report struct {
	Configuration types.NamespacedName
	// RequestID is the [Request.ID] that was answered.
	RequestID string
	// Endpoint tells who answered: the registered address, or "builtin:<name>".
	Endpoint string
	Shared   bool
	// Registration is the number of the endpoint's registration; numbers rise.
	// Alone tells that no other endpoint of its name is registered.
	Registration int
	Alone        bool
	// Devices have distinct ids.
	Devices []discovery.Device
	// Departed are ids of devices that have said that they go.
	Departed []string
	// Received is when it came.
	Received time.Time
	// Refused says which devices were left out and why, by the agent or by the
	// handler itself (in its note); nil if none was.
	Refused error
}

// Answer tells how one call of a handler went.
type Answer struct {
	Configuration types.NamespacedName
	Handler       string
	// Took is the time until the first usable report; if there was none, Err says
	// why.
	Took time.Duration
	Err  error
}

// Failure says that an endpoint, or all of a name, cannot answer a request now.
type Failure struct {
	Configuration types.NamespacedName
	RequestID     string
	// Endpoint is "" if no endpoint of that name is registered.
	Endpoint string
	Err      error
	// Final means that asking again is of no use: the handler refused the request
	// as invalid ([discovery.IsInvalid], gRPC InvalidArgument).
	Final bool
	// Silent means that the endpoint is connected but has not answered yet. That
	// need not be an error: upstream's handlers do not send an empty first list.
	Silent bool
}

// Loss says that the stream of an endpoint that had reported has ended.
type Loss struct {
	Configuration types.NamespacedName
	RequestID     string
	Endpoint      string
	// Alone tells that no other endpoint of its name was registered then, and
	// Registration is the number of the last registration of any.
	Alone        bool
	Registration int
}

// Observer is told what handlers say. Calls do not overlap, and must return
// soon.
type Observer interface {
	// Reported brings a new complete list from an endpoint. An error says why
	// there is no room for it; the endpoint is then asked again later.
	Reported(Report) error
	// Failed says why an endpoint does not answer. What it reported before
	// stays true until it is Lost or reports again.
	Failed(Failure)
	// Lost says that the stream of an endpoint that had reported has ended:
	// from now on nothing is known of its devices. It is called again when the
	// endpoint is no longer registered; its failures no longer count then.
	Lost(Loss)
}
