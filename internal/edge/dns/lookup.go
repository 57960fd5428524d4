package dns

import (
	"net/netip"
	"strings"

	"golang.org/x/net/dns/dnsmessage"
)

const (
	// ttlSeconds is how long clients may keep what they were told.
	ttlSeconds = 5
	// version is that of the specification.
	version = "1.1.0"
)

// found is what the records have of a name.
type found struct {
	ours    bool // the records know whether there is such a name
	exists  bool
	answers []dnsmessage.Resource
	extra   []dnsmessage.Resource // addresses of what the answers name
	// alias is what the name stands for, somewhere else.
	alias string
}

// find looks a name up.
func (r *Records) find(name string, kind dnsmessage.Type) found {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	if a, ok := fromReverse(name); ok {
		target, known := r.reverse[a]
		if !known {
			return found{} // the node's own resolvers may know it
		}
		f := found{ours: true, exists: true}
		if kind == dnsmessage.TypePTR {
			f.add(name, &dnsmessage.PTRResource{PTR: nameOf(target)})
		}
		return f
	}
	rest, ok := strings.CutSuffix(name, r.domain)
	if !ok || rest != "" && !strings.HasSuffix(rest, ".") {
		return found{}
	}
	f := found{ours: true}
	if rest == "" {
		f.exists = true
		return f
	}
	r.inDomain(&f, name, strings.Split(strings.TrimSuffix(rest, "."), "."), kind)
	return f
}

// inDomain looks up what stands before the domain.
func (r *Records) inDomain(f *found, name string, labels []string, kind dnsmessage.Type) {
	last := len(labels) - 1
	switch {
	case len(labels) == 1 && labels[0] == "dns-version":
		f.exists = true
		if kind == dnsmessage.TypeTXT {
			f.add(name, &dnsmessage.TXTResource{TXT: []string{version}})
		}
	case len(labels) == 1:
		f.exists = labels[0] == "svc" || labels[0] == "pod"
	case len(labels) == 2 && (labels[last] == "svc" || labels[last] == "pod"):
		f.exists = r.namespaces[labels[0]]
	case len(labels) == 3 && labels[last] == "pod" && r.namespaces[labels[1]]:
		if a, ok := undashed(labels[0]); ok {
			f.exists = true
			f.address(name, a, kind)
		}
	case labels[last] == "svc" && len(labels) <= 5:
		s := r.services[serviceName{labels[last-1], labels[last-2]}]
		if s != nil {
			r.inService(f, s, name, labels[:last-2], kind)
		}
	}
}

// inService looks up a Service, or what stands before its name.
func (r *Records) inService(f *found, s *service, name string, before []string, kind dnsmessage.Type) {
	switch len(before) {
	case 0:
		f.exists = true
		f.alias = s.external
		for _, a := range s.addresses {
			f.address(name, a, kind)
		}
		for _, e := range s.endpoints {
			f.address(name, e.address, kind)
		}
	case 1:
		for _, e := range s.endpoints {
			if e.host == before[0] {
				f.exists = true
				f.address(name, e.address, kind)
			}
		}
	case 2:
		r.port(f, s, name, before[0], before[1], kind)
	}
}

// port looks up a port of a Service: _port._protocol.
func (r *Records) port(f *found, s *service, name, called, protocol string, kind dnsmessage.Type) {
	_, of, _ := strings.Cut(name, ".")
	_, of, _ = strings.Cut(of, ".") // the Service's name
	add := func(p port, target string, addresses ...netip.Addr) {
		if "_"+strings.ToLower(p.Name) != called || "_"+strings.ToLower(p.Protocol) != protocol || p.Name == "" {
			return
		}
		f.exists = true
		if kind != dnsmessage.TypeSRV {
			return
		}
		f.add(name, &dnsmessage.SRVResource{Weight: 100, Port: p.Port, Target: nameOf(target)})
		for _, a := range addresses {
			f.extra = append(f.extra, resource(target, addressBody(a)))
		}
	}
	if len(s.addresses) > 0 {
		for _, p := range s.ports {
			add(p, of, s.addresses...)
		}
		return
	}
	for _, e := range s.endpoints {
		for _, p := range e.ports {
			add(p, e.host+"."+of, e.address)
		}
	}
}

func (f *found) add(name string, body dnsmessage.ResourceBody) {
	f.answers = append(f.answers, resource(name, body))
}

// address adds an address if it is of the kind that is asked for.
func (f *found) address(name string, a netip.Addr, kind dnsmessage.Type) {
	if a.Is4() && kind == dnsmessage.TypeA || a.Is6() && kind == dnsmessage.TypeAAAA {
		f.add(name, addressBody(a))
	}
}

func addressBody(a netip.Addr) dnsmessage.ResourceBody {
	if a.Is4() {
		return &dnsmessage.AResource{A: a.As4()}
	}
	return &dnsmessage.AAAAResource{AAAA: a.As16()}
}

func resource(name string, body dnsmessage.ResourceBody) dnsmessage.Resource {
	return dnsmessage.Resource{
		Header: dnsmessage.ResourceHeader{Name: nameOf(name), Class: dnsmessage.ClassINET, TTL: ttlSeconds},
		Body:   body,
	}
}

// nameOf is a name in a message. One that is too long is none, which cannot be
// packed: names of the API are not.
func nameOf(name string) dnsmessage.Name {
	n, err := dnsmessage.NewName(name + ".")
	if err != nil {
		return dnsmessage.Name{}
	}
	return n
}

// fromReverse is the address that a name below in-addr.arpa or ip6.arpa is of.
func fromReverse(name string) (netip.Addr, bool) {
	var text strings.Builder
	if four, ok := strings.CutSuffix(name, ".in-addr.arpa"); ok {
		labels := strings.Split(four, ".")
		for i := len(labels) - 1; i >= 0; i-- {
			text.WriteString(labels[i])
			if i > 0 {
				text.WriteByte('.')
			}
		}
	} else if six, ok := strings.CutSuffix(name, ".ip6.arpa"); ok {
		digits := strings.ReplaceAll(six, ".", "")
		for i := len(digits) - 1; i >= 0; i-- {
			text.WriteByte(digits[i])
			if n := len(digits) - i; n%4 == 0 && i > 0 {
				text.WriteByte(':')
			}
		}
	}
	a, err := netip.ParseAddr(text.String())
	return a, err == nil
}
