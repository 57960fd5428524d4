package simulator

import (
	"crypto/rand"
	"encoding/xml"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Addresses and actions of WS-Discovery (4 to 6).
const (
	toEverybody   = "urn:schemas-xmlsoap-org:ws:2005:04:discovery"
	toAnonymous   = nsAddressing + "/role/anonymous"
	actionProbe   = nsDiscovery + "/Probe"
	actionResolve = nsDiscovery + "/Resolve"
)

// question is a Probe or a Resolve.
type question struct {
	id    string // its MessageID
	probe *probe
	// resolve is the endpoint reference that is asked for.
	resolve string
}

// errNotAsked says that a message is none that a Target Service answers.
var errNotAsked = errors.New("neither Probe nor Resolve")

// readQuestion reads a datagram.
func readQuestion(data []byte) (question, error) {
	root, err := parse(data)
	if err != nil {
		return question{}, err
	}
	if root.name != (xml.Name{Space: nsEnvelope, Local: "Envelope"}) {
		return question{}, fmt.Errorf("%s is no SOAP 1.2 envelope", root.name.Local)
	}
	header := root.find(envelope("Header"))
	body := root.find(envelope("Body"))
	q := question{id: header.find(addressing("MessageID")).content()}
	if q.id == "" {
		return q, errors.New("no MessageID")
	}
	switch header.find(addressing("Action")).content() {
	case actionProbe:
		p := body.find(discovery("Probe"))
		if p == nil {
			return q, errors.New("a Probe without a body")
		}
		q.probe = &probe{}
		if types := p.find(discovery("Types")); types != nil {
			if q.probe.types, err = types.qnames(); err != nil {
				return q, err
			}
		}
		if scopes := p.find(discovery("Scopes")); scopes != nil {
			q.probe.scopes, q.probe.matchBy = strings.Fields(scopes.content()), scopes.attr("MatchBy")
		}
		return q, nil
	case actionResolve:
		reference := body.find(discovery("Resolve"), addressing("EndpointReference"), addressing("Address"))
		if q.resolve = reference.content(); q.resolve == "" {
			return q, errors.New("a Resolve without an endpoint reference")
		}
		return q, nil
	}
	return q, errNotAsked
}

func envelope(local string) xml.Name   { return xml.Name{Space: nsEnvelope, Local: local} }
func addressing(local string) xml.Name { return xml.Name{Space: nsAddressing, Local: local} }
func discovery(local string) xml.Name  { return xml.Name{Space: nsDiscovery, Local: local} }

// target is what a Target Service says of itself.
type target struct {
	reference string // endpoint reference
	types     []xml.Name
	scopes    []string
	xaddrs    []string
	version   uint32 // of its metadata
}

// properties are the children of Hello, ProbeMatch and ResolveMatch.
func (t target) properties() []node {
	var types []string
	for _, name := range t.types {
		for _, p := range prefixes {
			if p.namespace == name.Space {
				types = append(types, p.prefix+":"+name.Local)
			}
		}
	}
	return []node{
		endpointReference(t.reference),
		tx("d:Types", strings.Join(types, " ")),
		tx("d:Scopes", strings.Join(t.scopes, " ")),
		tx("d:XAddrs", strings.Join(t.xaddrs, " ")),
		tx("d:MetadataVersion", strconv.FormatUint(uint64(t.version), 10)),
	}
}

func endpointReference(reference string) node {
	return el("a:EndpointReference", tx("a:Address", reference))
}

// sequence orders the messages of a Target Service (WS-Discovery, appendix I).
type sequence struct{ instance, number uint64 }

func (s sequence) node() node {
	return node{name: "d:AppSequence"}.with("InstanceId", strconv.FormatUint(s.instance, 10)).
		with("MessageNumber", strconv.FormatUint(s.number, 10))
}

func hello(t target, s sequence) []byte {
	return announce("Hello", el("d:Hello", t.properties()...), s)
}

// bye names the endpoint alone, as a camera that goes has nothing more to say.
func bye(t target, s sequence) []byte {
	return announce("Bye", el("d:Bye", endpointReference(t.reference)), s)
}

func announce(what string, body node, s sequence) []byte {
	return document([]node{
		tx("a:MessageID", newReference()), tx("a:To", toEverybody), tx("a:Action", nsDiscovery+"/"+what), s.node(),
	}, []node{body})
}

func probeMatches(t target, relatesTo string, s sequence) []byte {
	return answer("ProbeMatches", relatesTo, el("d:ProbeMatches", el("d:ProbeMatch", t.properties()...)), s)
}

func resolveMatches(t target, relatesTo string, s sequence) []byte {
	return answer("ResolveMatches", relatesTo, el("d:ResolveMatches", el("d:ResolveMatch", t.properties()...)), s)
}

func answer(what, relatesTo string, body node, s sequence) []byte {
	return document([]node{
		tx("a:MessageID", newReference()), tx("a:RelatesTo", relatesTo), tx("a:To", toAnonymous),
		tx("a:Action", nsDiscovery+"/"+what), s.node(),
	}, []node{body})
}

// newReference returns "urn:uuid:" with a random UUID.
func newReference() string {
	var u [16]byte
	_, _ = rand.Read(u[:]) // it never fails
	u[6], u[8] = u[6]&0x0f|0x40, u[8]&0x3f|0x80
	return fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", u[0:4], u[4:6], u[6:8], u[8:10], u[10:16])
}
