package dns

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// cluster is a small one.
func cluster() *Records {
	return Build("cluster.local", [][]byte{
		[]byte(`{"metadata":{"name":"web","namespace":"shop"},"spec":{"clusterIP":"10.96.0.7","clusterIPs":["10.96.0.7","fd00::7"],"ports":[{"name":"http","protocol":"TCP","port":80},{"protocol":"UDP","port":90}]}}`),
		[]byte(`{"metadata":{"name":"old","namespace":"shop"},"spec":{"clusterIP":"10.96.0.8"}}`),
		[]byte(`{"metadata":{"name":"db","namespace":"shop"},"spec":{"clusterIP":"None","clusterIPs":["None"],"ports":[{"name":"sql","protocol":"TCP","port":5432}]}}`),
		[]byte(`{"metadata":{"name":"away","namespace":"shop"},"spec":{"type":"ExternalName","externalName":"Api.Example.org."}}`),
		[]byte(`{"metadata":{"name":"bad","namespace":"shop"},"spec":[]}`), []byte(`x`),
	}, [][]byte{
		[]byte(`{"metadata":{"name":"db-1","namespace":"shop","labels":{"kubernetes.io/service-name":"db"}},"ports":[{"name":"sql","protocol":"TCP","port":5433}],"endpoints":[
			{"addresses":["10.1.0.1"],"hostname":"DB-0","conditions":{"ready":true}},{"addresses":["10.1.0.2"]},{"addresses":["10.1.0.3"],"conditions":{"ready":false}},{"addresses":["host.example.org"]}]}`),
		[]byte(`{"metadata":{"name":"db-2","namespace":"shop","labels":{"kubernetes.io/service-name":"db"}},"endpoints":[{"addresses":["fd00:1::1"]}]}`),
		[]byte(`{"metadata":{"name":"web-1","namespace":"shop","labels":{"kubernetes.io/service-name":"web"}},"endpoints":[{"addresses":["10.1.0.9"]}]}`),
		[]byte(`{"metadata":{"name":"x","namespace":"shop","labels":{"kubernetes.io/service-name":"gone"}},"endpoints":[{"addresses":["10.1.0.8"]}]}`),
		[]byte(`[]`),
	})
}

// text is what was found, in words.
func text(f found) string {
	var out []string
	for _, r := range f.answers {
		s := fmt.Sprintf("%T", r.Body)
		switch b := r.Body.(type) {
		case *dnsmessage.AResource:
			s = fmt.Sprintf("A %d.%d.%d.%d", b.A[0], b.A[1], b.A[2], b.A[3])
		case *dnsmessage.AAAAResource:
			s = fmt.Sprintf("AAAA %x..%x", b.AAAA[:2], b.AAAA[15:])
		case *dnsmessage.SRVResource:
			s = fmt.Sprintf("SRV %d %s", b.Port, b.Target)
		case *dnsmessage.PTRResource:
			s = "PTR " + b.PTR.String()
		case *dnsmessage.TXTResource:
			s = "TXT " + strings.Join(b.TXT, " ")
		}
		out = append(out, s)
	}
	slices.Sort(out)
	switch {
	case !f.ours:
		return "not ours"
	case !f.exists:
		return "no such name"
	case f.alias != "":
		out = append(out, "alias "+f.alias)
	case len(out) == 0:
		return "nothing"
	}
	return strings.Join(out, ", ")
}

// The address of a Service has its name, whatever endpoints others write.
func TestReverseOfOthers(t *testing.T) {
	r := Build("cluster.local", [][]byte{
		[]byte(`{"metadata":{"name":"web","namespace":"shop"},"spec":{"clusterIP":"10.96.0.7"}}`),
		[]byte(`{"metadata":{"name":"evil","namespace":"evil"},"spec":{"clusterIP":"None"}}`),
	}, [][]byte{[]byte(`{"metadata":{"namespace":"evil","labels":{"kubernetes.io/service-name":"evil"}},"endpoints":[{"addresses":["10.96.0.7"]},{"addresses":["10.1.0.1"]}]}`)})
	for name, want := range map[string]string{
		"7.0.96.10.in-addr.arpa.": "PTR web.shop.svc.cluster.local.",
		"1.0.1.10.in-addr.arpa.":  "PTR 10-1-0-1.evil.evil.svc.cluster.local.",
	} {
		if got := text(r.find(name, dnsmessage.TypePTR)); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

func TestFind(t *testing.T) {
	const a, aaaa, srv, ptr, txt = dnsmessage.TypeA, dnsmessage.TypeAAAA, dnsmessage.TypeSRV, dnsmessage.TypePTR, dnsmessage.TypeTXT
	r := cluster()
	for _, c := range []struct {
		name string
		kind dnsmessage.Type
		want string
	}{
		{"web.shop.svc.cluster.local.", a, "A 10.96.0.7"},
		{"WEB.shop.SVC.cluster.local.", a, "A 10.96.0.7"},
		{"web.shop.svc.cluster.local.", aaaa, "AAAA fd00..07"},
		{"web.shop.svc.cluster.local.", txt, "nothing"},
		{"old.shop.svc.cluster.local.", a, "A 10.96.0.8"},
		{"old.shop.svc.cluster.local.", aaaa, "nothing"},
		{"db.shop.svc.cluster.local.", a, "A 10.1.0.1, A 10.1.0.2"},
		{"db.shop.svc.cluster.local.", aaaa, "AAAA fd00..01"},
		{"db-0.db.shop.svc.cluster.local.", a, "A 10.1.0.1"},
		{"10-1-0-2.db.shop.svc.cluster.local.", a, "A 10.1.0.2"},
		{"10-1-0-3.db.shop.svc.cluster.local.", a, "no such name"},
		{"fd00-1--1.db.shop.svc.cluster.local.", aaaa, "AAAA fd00..01"},
		{"10-1-0-9.web.shop.svc.cluster.local.", a, "no such name"},
		{"_http._tcp.web.shop.svc.cluster.local.", srv, "SRV 80 web.shop.svc.cluster.local."},
		{"_http._tcp.web.shop.svc.cluster.local.", a, "nothing"},
		{"_http._udp.web.shop.svc.cluster.local.", srv, "no such name"},
		{"_._udp.web.shop.svc.cluster.local.", srv, "no such name"},
		{"_sql._tcp.db.shop.svc.cluster.local.", srv, "SRV 5433 10-1-0-2.db.shop.svc.cluster.local., SRV 5433 db-0.db.shop.svc.cluster.local."},
		{"away.shop.svc.cluster.local.", a, "alias api.example.org"},
		{"bad.shop.svc.cluster.local.", a, "no such name"},
		{"gone.shop.svc.cluster.local.", a, "no such name"},
		{"web.other.svc.cluster.local.", a, "no such name"},
		{"a.b.c.web.shop.svc.cluster.local.", a, "no such name"},
		{"shop.svc.cluster.local.", a, "nothing"},
		{"other.svc.cluster.local.", a, "no such name"},
		{"svc.cluster.local.", a, "nothing"},
		{"pod.cluster.local.", a, "nothing"},
		{"other.cluster.local.", a, "no such name"},
		{"cluster.local.", a, "nothing"},
		{"dns-version.cluster.local.", txt, "TXT 1.1.0"},
		{"10-1-0-1.shop.pod.cluster.local.", a, "A 10.1.0.1"},
		{"fd00--1.shop.pod.cluster.local.", aaaa, "AAAA fd00..01"},
		{"10-1-0-1.other.pod.cluster.local.", a, "no such name"},
		{"x.shop.pod.cluster.local.", a, "no such name"},
		{"7.0.96.10.in-addr.arpa.", ptr, "PTR web.shop.svc.cluster.local."},
		{"1.0.1.10.in-addr.arpa.", ptr, "PTR db-0.db.shop.svc.cluster.local."},
		{"7.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa.", ptr, "PTR web.shop.svc.cluster.local."},
		{"9.9.9.9.in-addr.arpa.", ptr, "not ours"},
		{"in-addr.arpa.", ptr, "not ours"},
		{"x.ip6.arpa.", ptr, "not ours"},
		{"example.org.", a, "not ours"},
		{"notcluster.local.", a, "not ours"},
		{".", a, "not ours"},
	} {
		if got := text(r.find(c.name, c.kind)); got != c.want {
			t.Errorf("%s %s: %s, want %s", c.name, c.kind, got, c.want)
		}
	}
	if f := r.find("_sql._tcp.db.shop.svc.cluster.local.", srv); len(f.extra) != 2 {
		t.Errorf("the targets' addresses: %v", f.extra)
	}
}

func TestResolvers(t *testing.T) {
	const text = "# x\nsearch a b\nnameserver 192.0.2.1\nnameserver 169.254.30.10\nnameserver fe80::1%eth0\nnameserver\nnameserver 192.0.2.3\nnameserver 192.0.2.4\n"
	if got := strings.Join(Resolvers([]byte(text), "169.254.30.10:53"), " "); got != "192.0.2.1:53 [fe80::1%eth0]:53 192.0.2.3:53" {
		t.Error(got)
	}
}
