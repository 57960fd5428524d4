package ua

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Numbers of the types in the binary encoding (OPC 10000-6, annex A).
const (
	idServiceFault         = 397
	idFindServers          = 422
	idGetEndpoints         = 428
	idOpenSecureChannel    = 446
	idCloseSecureChannel   = 452
	idFindServersOnNetwork = 12208
	toResponse             = 3 // from a request's number, but for:
	idServersOnNetwork     = 12209
)

// ApplicationType is what an application is (OPC 10000-4, 7.4).
type ApplicationType uint32

// The types.
const (
	Server ApplicationType = iota
	Client
	ClientAndServer
	DiscoveryServer
)

// Application is what a server says of itself, or a discovery server of it (OPC
// 10000-4, 7.2).
type Application struct {
	URI, ProductURI, Name string
	Type                  ApplicationType
	DiscoveryURLs         []string // the first 16
}

// Found is an answer to FindServers.
type Found struct {
	Applications []Application
	// Total is how many the answer has. Those beyond [MaxEntries], and those whose
	// texts are longer than [MaxText], or beyond [MaxTexts], are not in
	// Applications.
	Total int
}

// FindServers asks which servers the server knows: itself at least, and a
// discovery server those that have registered with it.
func (c *Channel) FindServers() (Found, error) {
	r, err := c.call(idFindServers, idFindServers+toResponse, func(w *writer) {
		w.text(c.endpoint)
		w.u32(0) // any language
		w.u32(0) // all servers
	})
	if err != nil {
		return Found{}, err
	}
	var f Found
	f.Total = r.length()
	for range f.Total {
		if r.err != nil {
			break
		}
		if a, ok := r.application(); ok && len(f.Applications) < MaxEntries {
			f.Applications = append(f.Applications, a)
		}
	}
	return f, r.end()
}

// application reads an ApplicationDescription; false if not all of it was kept.
func (r *reader) application() (a Application, ok bool) {
	r.long = false
	a.URI, a.ProductURI, a.Name = r.text(), r.text(), r.localized()
	a.Type = ApplicationType(r.u32())
	r.skipText() // of a gateway
	r.skipText() // of a discovery profile
	for n := r.length(); n > 0 && r.err == nil; n-- {
		if len(a.DiscoveryURLs) == maxURLs {
			r.skipText()
		} else {
			a.DiscoveryURLs = append(a.DiscoveryURLs, r.text())
		}
	}
	return a, !r.long
}

// NetworkServer is a server that a discovery server has heard of by multicast
// (OPC 10000-4, 7.37).
type NetworkServer struct {
	Name, DiscoveryURL string
	// IsDiscovery tells that it is a discovery server, by its capabilities (OPC
	// 10000-12, annex D).
	IsDiscovery bool
}

// FindServersOnNetwork asks which servers the server has heard of by multicast.
// Only some discovery servers can tell; errors of the others are [Unsupported].
func (c *Channel) FindServersOnNetwork() (servers []NetworkServer, total int, err error) {
	r, err := c.call(idFindServersOnNetwork, idServersOnNetwork, func(w *writer) {
		w.u32(0)          // from the first record
		w.u32(MaxEntries) // at most
		w.u32(0)          // with any capability
	})
	if err != nil {
		return nil, 0, err
	}
	r.skip(8) // when its records began
	total = r.length()
	for range total {
		if r.err != nil {
			break
		}
		r.long = false
		r.skip(4) // the record's number
		s := NetworkServer{Name: r.text(), DiscoveryURL: r.text()}
		for n := r.length(); n > 0 && r.err == nil; n-- {
			if c := r.text(); c == "LDS" || c == "GDS" {
				s.IsDiscovery = true
			}
		}
		if !r.long && len(servers) < MaxEntries {
			servers = append(servers, s)
		}
	}
	return servers, total, r.end()
}

// SecurityMode is how messages are secured (OPC 10000-4, 7.20).
type SecurityMode uint32

// The modes.
const (
	ModeNone SecurityMode = iota + 1
	ModeSign
	ModeSignAndEncrypt
)

func (m SecurityMode) String() string {
	switch m {
	case ModeNone:
		return "None"
	case ModeSign:
		return "Sign"
	case ModeSignAndEncrypt:
		return "SignAndEncrypt"
	}
	return ""
}

// Endpoints is an answer to GetEndpoints.
type Endpoints struct {
	// Server is what the server says of itself.
	Server Application
	// Policies and Modes are what the endpoints offer, each once, sorted. Policies
	// of the OPC Foundation are named without its URI: "Basic256Sha256".
	Policies, Modes []string
}

// maxPolicies is how many different ones are kept, of at most maxPolicy bytes; the
// standard has about ten.
const maxPolicies, maxPolicy = 16, 64

// GetEndpoints asks the server itself what it offers.
func (c *Channel) GetEndpoints() (Endpoints, error) {
	r, err := c.call(idGetEndpoints, idGetEndpoints+toResponse, func(w *writer) {
		w.text(c.endpoint)
		w.u32(0) // any language
		w.u32(0) // all transports
	})
	if err != nil {
		return Endpoints{}, err
	}
	var e Endpoints
	known := false
	for n := r.length(); n > 0 && r.err == nil; n-- {
		r.long = false
		r.skipText() // its URL
		a, whole := r.application()
		if whole && !known {
			e.Server, known = a, true
		}
		r.skipText() // the certificate
		mode, policy := SecurityMode(r.u32()).String(), r.text()
		r.skipUserTokens()
		r.skipText() // the transport
		r.u8()       // how secure the server holds it to be
		if mode != "" && !slices.Contains(e.Modes, mode) {
			e.Modes = append(e.Modes, mode)
		}
		policy = strings.TrimPrefix(policy, strings.TrimSuffix(noSecurity, "None"))
		usable := policy != "" && len(policy) <= maxPolicy && len(e.Policies) < maxPolicies
		if usable && !slices.Contains(e.Policies, policy) {
			e.Policies = append(e.Policies, policy)
		}
	}
	slices.Sort(e.Modes)
	slices.Sort(e.Policies)
	if err := r.end(); err != nil {
		return Endpoints{}, err
	}
	if !known {
		return Endpoints{}, errors.New("the server lists no endpoint")
	}
	return e, nil
}

func (r *reader) skipUserTokens() {
	for n := r.length(); n > 0 && r.err == nil; n-- {
		r.skipText() // its name
		r.u32()      // the kind
		for range 3 {
			r.skipText() // issued by whom, where, and with which policy
		}
	}
}

// Status is a StatusCode (OPC 10000-4, 7.39).
type Status uint32

func (s Status) bad() bool { return s>>31 == 1 }

// String returns the standard's name of those that discovery meets, and the
// number.
func (s Status) String() string {
	names := map[Status]string{
		0x80010000: "BadUnexpectedError", 0x80020000: "BadInternalError", 0x80030000: "BadOutOfMemory",
		0x80040000: "BadResourceUnavailable", 0x80050000: "BadCommunicationError", 0x80070000: "BadDecodingError",
		0x80080000: "BadEncodingLimitsExceeded", 0x800a0000: "BadTimeout", 0x800b0000: "BadServiceUnsupported",
		0x800c0000: "BadShutdown", 0x800d0000: "BadServerNotConnected", 0x800e0000: "BadServerHalted",
		0x80100000: "BadTooManyOperations", 0x80130000: "BadSecurityChecksFailed", 0x80400000: "BadNotImplemented",
		0x80540000: "BadSecurityModeRejected", 0x80550000: "BadSecurityPolicyRejected", 0x807d0000: "BadTcpServerTooBusy",
		0x807e0000: "BadTcpMessageTypeInvalid", 0x80800000: "BadTcpMessageTooLarge", 0x80810000: "BadTcpNotEnoughResources",
		0x80820000: "BadTcpInternalError", 0x80830000: "BadTcpEndpointUrlInvalid", 0x80850000: "BadRequestTimeout",
	}
	if name := names[s&0xffff0000]; name != "" {
		return name
	}
	return fmt.Sprintf("status %#08x", uint32(s))
}

// StatusError is a refusal of the server.
type StatusError struct {
	Status Status
	Reason string // of the server's own; may be ""
}

func (e *StatusError) Error() string {
	if e.Reason == "" {
		return "the server refuses: " + e.Status.String()
	}
	return fmt.Sprintf("the server refuses: %s: %s", e.Status, e.Reason)
}

// Unsupported tells whether an error says that the server does not have the
// service that was asked for.
func Unsupported(err error) bool {
	var s *StatusError
	return errors.As(err, &s) && (s.Status == 0x800b0000 || s.Status == 0x80400000)
}
