// Package wsdiscovery speaks WS-Discovery (April 2005) as ONVIF asks for it: it
// probes for cameras, by multicast or one address after the other, and listens
// for what they announce.
//
// A [Message] says of [Endpoint]s that they are there (ProbeMatches, Hello) or
// leave (Bye). An [Air] has the sockets and tells what it [Heard]. Nothing that
// comes from the network is believed here: anybody can send it.
package wsdiscovery

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/akri-go/akri/internal/onvif/plainxml"
	"github.com/akri-go/akri/internal/onvif/users"
)

// Kind is what a message says.
type Kind string

// The kinds that matter to whoever looks for cameras.
const (
	ProbeMatches Kind = "ProbeMatches" // the answer to a probe
	Hello        Kind = "Hello"        // the endpoint has come, or has changed
	Bye          Kind = "Bye"          // the endpoint leaves
)

// Message is what cameras send.
type Message struct {
	Kind Kind
	// ID is the message's own, RelatesTo that of the probe that it answers.
	ID, RelatesTo string
	Endpoints     []Endpoint
}

// Endpoint is what a message says of one camera.
type Endpoint struct {
	// UUID is its endpoint reference as of [users.UUID].
	UUID string
	// Types are the local parts of its types' names.
	Types  []string
	Scopes []string
	// XAddrs are the URLs of its device service as it believes them to be.
	XAddrs []string
	// Version counts the changes of all this, in the camera's own way.
	Version uint64
}

// Limits of a message; what is more is left out.
const (
	// MaxMessage is the size of a message, in bytes.
	MaxMessage   = 16 << 10
	maxEndpoints = 64
	maxList      = 64      // of types or scopes
	maxXAddrs    = 8       // of one camera
	maxWord      = 512     // bytes of one of these
	maxWords     = 2 << 10 // bytes of a list of them; real ones have some hundred
	maxUUID      = 256     // bytes
)

// ErrOther says that a message is none of the three kinds: another's probe, say.
var ErrOther = errors.New("neither ProbeMatches nor Hello nor Bye")

type endpointXML struct {
	Reference string `xml:"EndpointReference>Address"`
	Types     string `xml:"Types"`
	Scopes    string `xml:"Scopes"`
	XAddrs    string `xml:"XAddrs"`
	Version   string `xml:"MetadataVersion"`
}

type envelopeXML struct {
	XMLName xml.Name `xml:"Envelope"`
	Header  struct {
		MessageID string `xml:"MessageID"`
		RelatesTo string `xml:"RelatesTo"`
	} `xml:"Header"`
	Body struct {
		ProbeMatches *struct {
			Match []endpointXML `xml:"ProbeMatch"`
		} `xml:"ProbeMatches"`
		Hello *endpointXML `xml:"Hello"`
		Bye   *endpointXML `xml:"Bye"`
	} `xml:"Body"`
}

// Parse reads a message. Namespaces are not looked at, since many a camera has
// them wrong; whoever lies about them could as well lie in the right ones.
func Parse(datagram []byte) (Message, error) {
	if len(datagram) > MaxMessage {
		return Message{}, fmt.Errorf("%d bytes, at most %d are read", len(datagram), MaxMessage)
	}
	var e envelopeXML
	if err := plainxml.Unmarshal(datagram, &e); err != nil {
		return Message{}, err
	}
	m := Message{ID: id(e.Header.MessageID), RelatesTo: id(e.Header.RelatesTo)}
	var all []endpointXML
	switch {
	case e.Body.ProbeMatches != nil:
		m.Kind, all = ProbeMatches, e.Body.ProbeMatches.Match
	case e.Body.Hello != nil:
		m.Kind, all = Hello, []endpointXML{*e.Body.Hello}
	case e.Body.Bye != nil:
		m.Kind, all = Bye, []endpointXML{*e.Body.Bye}
	default:
		return Message{}, ErrOther
	}
	for _, x := range all[:min(len(all), maxEndpoints)] {
		p := Endpoint{
			UUID:  strings.Clone(users.UUID(x.Reference)), // not with the white space around it
			Types: words(x.Types, maxList), Scopes: words(x.Scopes, maxList), XAddrs: words(x.XAddrs, maxXAddrs),
		}
		if p.UUID == "" || len(p.UUID) > maxUUID || strings.ContainsFunc(p.UUID, unfit) {
			return Message{}, fmt.Errorf("%.64q is no endpoint reference that a device could be known by", x.Reference)
		}
		for i, t := range p.Types {
			p.Types[i] = t[strings.LastIndexByte(t, ':')+1:]
		}
		p.Version, _ = strconv.ParseUint(strings.TrimSpace(x.Version), 10, 64) // 0 if it says nothing
		m.Endpoints = append(m.Endpoints, p)
	}
	return m, nil
}

// IsCamera tells whether an endpoint says that it is a camera of ONVIF's: a
// NetworkVideoTransmitter, or a Device with scopes of ONVIF.
func (e Endpoint) IsCamera() bool {
	return slices.Contains(e.Types, "NetworkVideoTransmitter") || slices.Contains(e.Types, "Device") &&
		slices.ContainsFunc(e.Scopes, func(s string) bool { return strings.HasPrefix(s, "onvif://www.onvif.org/") })
}

// words splits a list, without what is too long to be of use. What it returns
// takes no more memory than its words: cameras are known for long.
func words(s string, most int) (list []string) {
	size := 0
	for w := range strings.FieldsSeq(s) {
		if len(w) > maxWord || strings.ContainsFunc(w, unfit) {
			continue
		}
		if size += len(w); len(list) == most || size > maxWords {
			break
		}
		list = append(list, strings.Clone(w))
	}
	return slices.Clip(list)
}

// Bytes is how much memory the texts of a message take, about.
func (m Message) Bytes() (n int) {
	for _, e := range m.Endpoints {
		n += len(e.UUID)
		for _, list := range [][]string{e.Types, e.Scopes, e.XAddrs} {
			for _, w := range list {
				n += len(w) + 16
			}
		}
	}
	return n
}

func unfit(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }

// id makes ids of messages comparable: cameras write them with urn:uuid: or
// without.
func id(s string) string {
	if s = users.UUID(s); len(s) > maxUUID {
		return ""
	}
	return s
}

// probe is the text of a Probe (WS-Discovery, section 5.2) for ONVIF's cameras
// (ONVIF Core Specification, section 7.3). The prefix dn is declared: it is part
// of a value, which upstream's is not.
func probe(messageID string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, `<?xml version="1.0" encoding="UTF-8"?>`+
		`<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"`+
		` xmlns:a="http://schemas.xmlsoap.org/ws/2004/08/addressing"`+
		` xmlns:d="http://schemas.xmlsoap.org/ws/2005/04/discovery"`+
		` xmlns:dn="http://www.onvif.org/ver10/network/wsdl">`+
		`<s:Header>`+
		`<a:Action s:mustUnderstand="1">http://schemas.xmlsoap.org/ws/2005/04/discovery/Probe</a:Action>`+
		`<a:MessageID>urn:uuid:%s</a:MessageID>`+
		`<a:ReplyTo><a:Address>http://schemas.xmlsoap.org/ws/2004/08/addressing/role/anonymous</a:Address></a:ReplyTo>`+
		`<a:To s:mustUnderstand="1">urn:schemas-xmlsoap-org:ws:2005:04:discovery</a:To>`+
		`</s:Header>`+
		`<s:Body><d:Probe><d:Types>dn:NetworkVideoTransmitter</d:Types></d:Probe></s:Body>`+
		`</s:Envelope>`, messageID)
	return b.Bytes()
}
