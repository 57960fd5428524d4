package dns

import (
	"errors"
	"math/rand/v2"

	"golang.org/x/net/dns/dnsmessage"
)

const (
	// minUDP is what every client takes over UDP, and maxUDP what passes most
	// networks in one piece.
	minUDP, maxUDP = 512, 1232
	maxTCP         = 65535
)

// query is what is read of a query.
type query struct {
	raw      []byte
	header   dnsmessage.Header
	question dnsmessage.Question
	edns     bool
	limit    int // of the answer's bytes
}

// errStrange is for messages that get no answer.
var errStrange = errors.New("not a query")

// read reads a query. With an rcode other than success it is answered by that.
func read(raw []byte, tcp bool) (q query, rcode dnsmessage.RCode, err error) {
	var p dnsmessage.Parser
	q = query{raw: raw, limit: minUDP}
	if q.header, err = p.Start(raw); err != nil || q.header.Response {
		return q, 0, errStrange
	}
	if tcp {
		q.limit = maxTCP
	}
	if q.header.OpCode != 0 {
		return q, dnsmessage.RCodeNotImplemented, nil
	}
	all, err := p.AllQuestions()
	if err != nil || len(all) != 1 {
		return q, dnsmessage.RCodeFormatError, nil
	}
	q.question = all[0]
	if q.question.Class != dnsmessage.ClassINET {
		return q, dnsmessage.RCodeRefused, nil
	}
	if p.SkipAllAnswers() != nil || p.SkipAllAuthorities() != nil {
		return q, dnsmessage.RCodeFormatError, nil
	}
	for {
		h, err := p.AdditionalHeader()
		if err != nil {
			break // there are no more, or it is not needed
		}
		if h.Type == dnsmessage.TypeOPT {
			q.edns = true
			if !tcp {
				q.limit = min(max(int(h.Class), minUDP), maxUDP)
			}
		}
		if p.SkipAdditional() != nil {
			break
		}
	}
	return q, dnsmessage.RCodeSuccess, nil
}

// reply packs an answer to a query. One that is too long is left out, and the
// client comes again over TCP.
func (q query) reply(rcode dnsmessage.RCode, f found, domain string) ([]byte, error) {
	m := dnsmessage.Message{
		Header: dnsmessage.Header{
			ID: q.header.ID, Response: true, OpCode: q.header.OpCode, Authoritative: f.ours,
			RecursionDesired: q.header.RecursionDesired, RecursionAvailable: true, RCode: rcode,
		},
		Answers: f.answers, Additionals: f.extra,
	}
	if q.question.Type != 0 {
		m.Questions = []dnsmessage.Question{q.question}
	}
	if f.alias == "" { // the order of an alias and what it stands for matters
		rand.Shuffle(len(m.Answers), func(i, j int) { m.Answers[i], m.Answers[j] = m.Answers[j], m.Answers[i] })
	}
	if f.ours && len(f.answers) == 0 && domain != "" {
		m.Authorities = []dnsmessage.Resource{resource(domain, &dnsmessage.SOAResource{
			NS: nameOf("ns.dns." + domain), MBox: nameOf("hostmaster." + domain), Serial: 1,
			Refresh: 7200, Retry: 1800, Expire: 86400, MinTTL: ttlSeconds,
		})}
	}
	if q.edns {
		var h dnsmessage.ResourceHeader
		if err := h.SetEDNS0(maxUDP, rcode, false); err != nil {
			return nil, err
		}
		m.Additionals = append(m.Additionals, dnsmessage.Resource{Header: h, Body: &dnsmessage.OPTResource{}})
	}
	out, err := m.Pack()
	if err == nil && len(out) > q.limit {
		m.Truncated, m.Answers, m.Authorities, m.Additionals = true, nil, nil, nil
		out, err = m.Pack()
	}
	return out, err
}
