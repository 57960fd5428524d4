package dns

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/akri-go/akri/internal/eventually"
	"github.com/akri-go/akri/internal/leaktest"
)

// serve serves records, with resolvers for the rest, and returns a client.
func serve(t *testing.T, records *Records, resolvers ...string) (*net.Resolver, *Server) {
	t.Helper()
	s, err := Listen(t.Context(), "127.0.0.1:0", Options{
		Records: func() *Records { return records }, Domain: "cluster.local", Resolvers: func() []string { return resolvers },
		Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, s.Address())
	}}, s
}

// Go's own resolver, as it is in many Pods, gets all kinds of answers: the
// cluster's, and those of the node's resolver, of which the first does not answer.
func TestServer(t *testing.T) {
	leaktest.Check(t)
	var many []string
	for i := range 120 {
		many = append(many, fmt.Sprintf(`{"addresses":["10.2.0.%d"]}`, i))
	}
	upstream := Build("example.org",
		[][]byte{[]byte(`{"metadata":{"name":"api","namespace":"x"},"spec":{"clusterIP":"192.0.2.77"}}`), []byte(`{"metadata":{"name":"big","namespace":"x"},"spec":{"clusterIP":"None"}}`)},
		[][]byte{[]byte(`{"metadata":{"namespace":"x","labels":{"kubernetes.io/service-name":"big"}},"endpoints":[` + strings.Join(many, ",") + `]}`)})
	_, node := serve(t, upstream)
	silent, err := net.ListenPacket("udp", "127.0.0.1:0") // its port is used a moment later
	if err != nil {
		t.Fatal(err)
	}
	nobody := silent.LocalAddr().String()
	silent.Close()
	records := Build("cluster.local", [][]byte{
		[]byte(`{"metadata":{"name":"web","namespace":"shop"},"spec":{"clusterIP":"10.96.0.7","ports":[{"name":"http","protocol":"TCP","port":80}]}}`),
		[]byte(`{"metadata":{"name":"big","namespace":"shop"},"spec":{"clusterIP":"None"}}`),
		[]byte(`{"metadata":{"name":"away","namespace":"shop"},"spec":{"type":"ExternalName","externalName":"api.x.svc.example.org"}}`),
		[]byte(`{"metadata":{"name":"far","namespace":"shop"},"spec":{"type":"ExternalName","externalName":"big.x.svc.example.org"}}`),
		[]byte(`{"metadata":{"name":"here","namespace":"shop"},"spec":{"type":"ExternalName","externalName":"web.shop.svc.cluster.local"}}`),
		[]byte(`{"metadata":{"name":"loop","namespace":"shop"},"spec":{"type":"ExternalName","externalName":"loop.shop.svc.cluster.local"}}`),
	}, [][]byte{[]byte(`{"metadata":{"namespace":"shop","labels":{"kubernetes.io/service-name":"big"}},"endpoints":[` + strings.Join(many, ",") + `]}`)})
	r, _ := serve(t, records, nobody, node.Address())
	for name, want := range map[string]string{
		"web.shop.svc.cluster.local.":  "10.96.0.7",
		"away.shop.svc.cluster.local.": "192.0.2.77",
		"here.shop.svc.cluster.local.": "10.96.0.7",
		"api.x.svc.example.org.":       "192.0.2.77",
	} {
		if got, err := r.LookupHost(t.Context(), name); err != nil || !slices.Equal(got, []string{want}) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	// Over TCP, since it is too long for UDP.
	for _, name := range []string{"big.shop.svc.cluster.local.", "big.x.svc.example.org.", "far.shop.svc.cluster.local."} {
		if got, err := r.LookupHost(t.Context(), name); err != nil || len(got) != len(many) {
			t.Errorf("%s: %d addresses, %v", name, len(got), err)
		}
	}
	for _, name := range []string{"gone.shop.svc.cluster.local.", "loop.shop.svc.cluster.local.", "gone.x.svc.example.org."} {
		got, err := r.LookupHost(t.Context(), name)
		if dns, ok := err.(*net.DNSError); !ok || !dns.IsNotFound {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	if _, srv, err := r.LookupSRV(t.Context(), "http", "tcp", "web.shop.svc.cluster.local."); err != nil || len(srv) != 1 || srv[0].Port != 80 {
		t.Errorf("SRV: %v, %v", srv, err)
	}
	if names, err := r.LookupAddr(t.Context(), "10.96.0.7"); err != nil || !slices.Equal(names, []string{"web.shop.svc.cluster.local."}) {
		t.Errorf("PTR: %v, %v", names, err)
	}
	if name, err := r.LookupCNAME(t.Context(), "away.shop.svc.cluster.local."); err != nil || name != "api.x.svc.example.org." {
		t.Errorf("CNAME: %v, %v", name, err)
	}
}

// What is not known is not denied, and nothing waits for resolvers that are not
// there.
func TestUnknown(t *testing.T) {
	leaktest.Check(t)
	r, _ := serve(t, nil)
	for _, name := range []string{"web.shop.svc.cluster.local.", "example.org."} {
		_, err := r.LookupHost(t.Context(), name)
		if dns, ok := err.(*net.DNSError); !ok || dns.IsNotFound || !dns.IsTemporary {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A query that is not as it should be is answered, or is not, and harms nothing.
func TestStrange(t *testing.T) {
	leaktest.Check(t)
	r, s := serve(t, cluster())
	question := func(change func(*dnsmessage.Message)) []byte {
		m := dnsmessage.Message{Header: dnsmessage.Header{ID: 7}, Questions: []dnsmessage.Question{{
			Name: dnsmessage.MustNewName("web.shop.svc.cluster.local."), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}}}
		change(&m)
		out, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	for name, c := range map[string]struct {
		raw  []byte
		want dnsmessage.RCode
		none bool
	}{
		"good":          {raw: question(func(*dnsmessage.Message) {})},
		"an answer":     {raw: question(func(m *dnsmessage.Message) { m.Response = true }), none: true},
		"short":         {raw: []byte{1, 2, 3}, none: true},
		"an update":     {raw: question(func(m *dnsmessage.Message) { m.OpCode = 5 }), want: dnsmessage.RCodeNotImplemented},
		"no question":   {raw: question(func(m *dnsmessage.Message) { m.Questions = nil }), want: dnsmessage.RCodeFormatError},
		"two questions": {raw: question(func(m *dnsmessage.Message) { m.Questions = append(m.Questions, m.Questions[0]) }), want: dnsmessage.RCodeFormatError},
		"another class": {raw: question(func(m *dnsmessage.Message) { m.Questions[0].Class = dnsmessage.ClassCHAOS }), want: dnsmessage.RCodeRefused},
		"cut off":       {raw: question(func(*dnsmessage.Message) {})[:20], want: dnsmessage.RCodeFormatError},
		"EDNS": {raw: question(func(m *dnsmessage.Message) {
			var h dnsmessage.ResourceHeader
			_ = h.SetEDNS0(4096, 0, false)
			m.Additionals = []dnsmessage.Resource{{Header: h, Body: &dnsmessage.OPTResource{}}}
		})},
	} {
		out := s.answer(t.Context(), netip.Addr{}, c.raw, false)
		var m dnsmessage.Message
		switch err := m.Unpack(out); {
		case c.none:
			if out != nil {
				t.Errorf("%s: answered %v", name, m)
			}
		case err != nil || m.RCode != c.want || !m.Response || m.ID != 7:
			t.Errorf("%s: %+v, %v", name, m, err)
		case name == "EDNS" && len(m.Additionals) != 1:
			t.Errorf("%s: %+v", name, m)
		}
	}
	conn, err := net.Dial("udp", s.Address())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for range 2 * maxQueries {
		if _, err := conn.Write([]byte{0}); err != nil {
			t.Fatal(err)
		}
	}
	eventually.Succeeds(t, eventually.Patience, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second) // a query may be lost in the flood
		defer cancel()
		_, err := r.LookupHost(ctx, "web.shop.svc.cluster.local.")
		return err
	})
}

// An answer counts only if it has the question's id and names.
func TestForged(t *testing.T) {
	leaktest.Check(t)
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var asked atomic.Int32
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, maxDatagram)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			asked.Add(1)
			var m dnsmessage.Message
			if m.Unpack(buf[:n]) != nil {
				continue
			}
			m.Response, m.Additionals = true, nil
			send := func() {
				out, err := m.Pack()
				if err == nil {
					_, err = conn.WriteTo(out, from)
				}
				if err != nil {
					t.Error(err)
				}
			}
			honest := m
			m.ID++
			m.Answers = []dnsmessage.Resource{resource("bank.example", &dnsmessage.AResource{A: [4]byte{6, 6, 6, 6}})}
			send()
			m.ID--
			m.Questions = []dnsmessage.Question{{Name: dnsmessage.MustNewName("other.example."), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}}
			send()
			m = honest
			if m.Questions[0].Type == dnsmessage.TypeA {
				m.Answers = []dnsmessage.Resource{resource("bank.example", &dnsmessage.AResource{A: [4]byte{192, 0, 2, 1}})}
			}
			send()
		}
	}()
	r, _ := serve(t, cluster(), conn.LocalAddr().String())
	got, err := r.LookupHost(t.Context(), "bank.example.")
	if err != nil || !slices.Equal(got, []string{"192.0.2.1"}) || asked.Load() == 0 {
		t.Errorf("%v, %v", got, err)
	}
	conn.Close()
	<-done
}

// A Pod whose queries wait for resolvers that do not answer takes nothing from
// others, and all names of the cluster are answered.
func TestForwardsAreFew(t *testing.T) {
	leaktest.Check(t)
	upstream := Build("example.org", [][]byte{[]byte(`{"metadata":{"name":"api","namespace":"x"},"spec":{"clusterIP":"192.0.2.77"}}`)}, nil)
	_, node := serve(t, upstream)
	r, s := serve(t, cluster(), node.Address())
	other := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		from := net.Addr(&net.UDPAddr{IP: net.IPv4(127, 0, 0, 2)})
		if strings.HasPrefix(network, "tcp") {
			from = &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}
		}
		return (&net.Dialer{LocalAddr: from}).DialContext(ctx, network, s.Address())
	}}
	pod, second := netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("127.0.0.2")
	for range maxPeerForwards {
		if !s.forwards.enter(pod) {
			t.Fatal("a client has less than its share")
		}
	}
	if got, err := r.LookupHost(t.Context(), "web.shop.svc.cluster.local."); err != nil || len(got) != 2 {
		t.Errorf("a name of the cluster: %v, %v", got, err)
	}
	if got, err := r.LookupHost(t.Context(), "api.x.svc.example.org."); err == nil {
		t.Errorf("more than its share: %v", got)
	}
	if got, err := other.LookupHost(t.Context(), "api.x.svc.example.org."); err != nil || len(got) != 1 {
		t.Errorf("another client: %v, %v", got, err)
	}
	for i := maxPeerForwards; i < maxForwards; i++ {
		if !s.forwards.enter(netip.AddrFrom4([4]byte{10, 0, 0, byte(i)})) {
			t.Fatal("there are less places than there should be")
		}
	}
	if s.forwards.enter(second) {
		t.Error("there is no end of places")
	}
	for range 2 { // A and AAAA
		s.forwards.leave(pod)
	}
	if got, err := r.LookupHost(t.Context(), "api.x.svc.example.org."); err != nil || len(got) != 1 {
		t.Errorf("places are free again: %v, %v", got, err)
	}
}

// Nothing that is sent can crash the server.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte{0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 3, 'w', 'e', 'b', 0, 0, 1, 0, 1}, false)
	s := &Server{Options: Options{Records: cluster, Domain: "cluster.local", Resolvers: func() []string { return nil }, Log: slog.New(slog.DiscardHandler)}}
	f.Fuzz(func(t *testing.T, raw []byte, tcp bool) {
		out := s.answer(t.Context(), netip.Addr{}, raw, tcp)
		if !tcp && len(out) > maxUDP {
			t.Errorf("%d bytes", len(out))
		}
	})
}
