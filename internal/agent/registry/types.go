// Package registry knows the discovery handlers of a node and asks them.
//
// A handler registers an [Endpoint]: a socket or network address (or, for one
// built into the agent, a Go value) under a handler name. A [Question] is what
// one Configuration asks all endpoints of a name. Each endpoint answers with a
// stream of [Report]s, the complete list of devices that it sees now. What a
// handler sends is vetted against [Limits] before anybody else sees it.
//
// The registry keeps no devices: reports go to an [Observer], in order per
// question and endpoint.
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

// Question is one Configuration's request to the handlers of a name.
type Question struct {
	// Configuration is the namespace and name, which identify the question:
	// one Configuration asks one question at a time.
	Configuration types.NamespacedName
	// UID is that of the Configuration: one that was deleted and made again
	// asks anew.
	UID types.UID
	// Handler is the name that handlers register with.
	Handler string
	// Request is what they are asked.
	Request discovery.Request
	// Salt is not asked, but is part of the ID: where properties are secret, a
	// random one keeps others from trying out which values lead to that ID.
	Salt string
}

// ID tells questions apart: it changes when the answer could.
func (q Question) ID() string {
	h := sha256.New()
	add(h, string(q.UID), q.Handler, q.Request.Details)
	names := make([]string, 0, len(q.Request.Properties))
	for name := range q.Request.Properties {
		names = append(names, name)
	}
	slices.Sort(names)
	if q.Salt != "" {
		add(h, "", q.Salt)
	}
	for _, name := range names {
		value := q.Request.Properties[name]
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

// Report is the complete list of devices that one endpoint sees for a question.
type Report struct {
	Configuration types.NamespacedName
	// Question is the [Question.ID] that was answered.
	Question string
	// Endpoint identifies who answered: the registered address, or
	// "builtin:<name>".
	Endpoint string
	Shared   bool
	// Registration is the number of the endpoint's registration: later ones have
	// higher ones. Alone tells that no other endpoint of its name is registered.
	Registration int
	Alone        bool
	// Devices have distinct ids.
	Devices []discovery.Device
	// Received is when it came.
	Received time.Time
	// Refused says what was left out and why, here or by the handler itself (its
	// note); it is nil if nothing was.
	Refused error
}

// Answer tells what became of one call of a handler.
type Answer struct {
	Configuration types.NamespacedName
	Handler       string
	// Took is the time until the first report, if there was one that could be
	// used; otherwise Err says why not.
	Took time.Duration
	Err  error
}

// Failure says that an endpoint, or all of a name, cannot answer a question now.
type Failure struct {
	Configuration types.NamespacedName
	Question      string
	// Endpoint is "" if no endpoint of that name is registered.
	Endpoint string
	Err      error
	// Final means that asking again is of no use: the question itself was
	// refused ([discovery.IsInvalid], gRPC InvalidArgument).
	Final bool
	// Silent means that the endpoint is connected but has not answered yet. It
	// need not be a fault: upstream's handlers send no empty first list.
	Silent bool
}

// Loss says that the stream of an endpoint that had reported has ended.
type Loss struct {
	Configuration types.NamespacedName
	Question      string
	Endpoint      string
	// Alone tells that no other endpoint of its name was registered then, and
	// Registration is the number of the last registration of any.
	Alone        bool
	Registration int
}

// Observer is told what handlers say. Calls do not overlap, and must return
// soon.
type Observer interface {
	// Reported brings a new complete list from an endpoint. After an error, which
	// says why there is no room for it, the endpoint is asked again later.
	Reported(Report) error
	// Failed says why an endpoint does not answer. What it reported before
	// stays true until it is Lost or reports again.
	Failed(Failure)
	// Lost says that the stream of an endpoint that had reported has ended:
	// nothing is known of its devices from now on. It comes again when the
	// endpoint is no longer registered: then its failures are void, too.
	Lost(Loss)
}
