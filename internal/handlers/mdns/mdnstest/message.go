package mdnstest

import (
	"maps"
	"strings"

	"golang.org/x/net/dns/dnsmessage"
)

// How long records are valid, in seconds, as Avahi says.
const (
	hostTime  = 120
	otherTime = 4500
)

// Bits that RFC 6762 has in the class: of a question, that the answer may be for
// the one who asks (section 5.4); of a record, that there are no others (10.2).
const (
	aloneBit = 1 << 15
	flushBit = 1 << 15
)

// message is a message with questions.
type message struct {
	questions []question
	known     map[string]bool // services that need not be told, in lower case
	more      bool            // known answers go on in the next message
}

type question struct {
	name  string // in lower case
	kind  dnsmessage.Type
	alone bool
}

func (m *message) add(o *message) {
	m.questions = append(m.questions, o.questions...)
	maps.Copy(m.known, o.known)
}

// parse returns nil for what is not a question.
func parse(data []byte) *message {
	var p dnsmessage.Parser
	h, err := p.Start(data)
	if err != nil || h.Response {
		return nil
	}
	m := &message{known: map[string]bool{}, more: h.Truncated}
	asked, err := p.AllQuestions()
	if err != nil {
		return nil
	}
	for _, q := range asked {
		m.questions = append(m.questions, question{strings.ToLower(q.Name.String()), q.Type, q.Class&aloneBit != 0})
	}
	known, err := p.AllAnswers()
	if err != nil {
		return nil
	}
	for _, r := range known {
		// Half of its time must be left (RFC 6762, section 7.1).
		if ptr, ok := r.Body.(*dnsmessage.PTRResource); ok && r.Header.TTL >= otherTime/2 {
			m.known[strings.ToLower(ptr.PTR.String())] = true
		}
	}
	return m
}

// answer returns what a device answers, nil if nothing; shared tells that others
// may answer too.
func (d *device) answer(q question, known map[string]bool) (data []byte, shared bool) {
	var err error
	switch {
	case q.name == d.kind && q.kind == dnsmessage.TypePTR && !known[d.service]:
		data, err = d.all(false)
		shared = true
	case q.name == d.service && q.kind == dnsmessage.TypeSRV:
		data, err = build(d.srv(hostTime))
	case q.name == d.service && q.kind == dnsmessage.TypeTXT:
		data, err = build(d.txt(otherTime))
	case q.name == d.host && q.kind == dnsmessage.TypeA:
		data, err = build(d.a(hostTime))
	}
	if err != nil {
		return nil, false // its announcement had the same error
	}
	return data, shared
}

// all is all of a device's records; with bye they say that they end.
func (d *device) all(bye bool) ([]byte, error) {
	host, other := uint32(hostTime), uint32(otherTime)
	if bye {
		host, other = 0, 0
	}
	ptr := record{d.Type + ".local.", 0, other, func() (dnsmessage.ResourceBody, error) {
		name, err := dnsmessage.NewName(d.full())
		return &dnsmessage.PTRResource{PTR: name}, err
	}}
	return build(ptr, d.srv(host), d.txt(other), d.a(host))
}

// full is the service's name as it is announced.
func (d *device) full() string { return d.Name + "." + d.Type + ".local." }

func (d *device) srv(ttl uint32) record {
	return record{d.full(), flushBit, ttl, func() (dnsmessage.ResourceBody, error) {
		name, err := dnsmessage.NewName(d.Host + ".local.")
		return &dnsmessage.SRVResource{Target: name, Port: d.Port}, err
	}}
}

func (d *device) txt(ttl uint32) record {
	return record{d.full(), flushBit, ttl, func() (dnsmessage.ResourceBody, error) {
		text := d.Text
		if len(text) == 0 {
			text = []string{""} // it has one string at least (RFC 6763, section 6.1)
		}
		return &dnsmessage.TXTResource{TXT: text}, nil
	}}
}

func (d *device) a(ttl uint32) record {
	return record{d.Host + ".local.", flushBit, ttl, func() (dnsmessage.ResourceBody, error) {
		return &dnsmessage.AResource{A: d.Address.As4()}, nil
	}}
}

// record is one that can be built.
type record struct {
	name string
	bits dnsmessage.Class
	ttl  uint32
	body func() (dnsmessage.ResourceBody, error)
}

// build returns a message of answers.
func build(records ...record) ([]byte, error) {
	m := dnsmessage.Message{Header: dnsmessage.Header{Response: true, Authoritative: true}}
	for _, r := range records {
		name, err := dnsmessage.NewName(r.name)
		if err != nil {
			return nil, err
		}
		body, err := r.body()
		if err != nil {
			return nil, err
		}
		h := dnsmessage.ResourceHeader{Name: name, Class: dnsmessage.ClassINET | r.bits, TTL: r.ttl}
		m.Answers = append(m.Answers, dnsmessage.Resource{Header: h, Body: body})
	}
	return m.Pack()
}
