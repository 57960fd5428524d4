package browse

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/akri-go/akri/internal/handlers/mdns/dnsmsg"
)

var (
	t0    = time.Unix(1_700_000_000, 0)
	local = dnsmsg.MustName("local")
	ipp   = dnsmsg.MustName("_ipp", "_tcp", "local")
	node  = netip.MustParsePrefix("10.0.0.1/24")
	one   = netip.MustParseAddr("10.0.0.11")
	two   = netip.MustParseAddr("10.0.0.12")
)

// bench is a link with a clock, and what it asked last.
type bench struct {
	t     *testing.T
	link  *Link
	now   time.Time
	asked []Question
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{t: t, link: NewLink("eth0", &Census{}), now: t0}
	b.link.SetAddresses([]netip.Prefix{node})
	b.link.Want([]Wanted{{ipp, ipp}}, b.now)
	return b
}

// wait lets time pass, and does all that is due meanwhile.
func (b *bench) wait(d time.Duration) {
	b.asked = nil
	for end := b.now.Add(d); ; {
		next := b.link.Next()
		if next.IsZero() || next.After(end) {
			b.now = end
			return
		}
		if next.After(b.now) {
			b.now = next
		}
		questions, _ := b.link.Due(b.now)
		b.asked = append(b.asked, questions...)
	}
}

func (b *bench) hear(from netip.Addr, records ...dnsmsg.Record) Heard {
	return b.link.Hear(records, from, V4, b.now)
}

// services are the names of the services, with their first address.
func (b *bench) services() string {
	var names []string
	list, _ := b.link.Services([]dnsmsg.Name{ipp})
	for _, s := range list {
		names = append(names, s.Name.First()+"@"+s.Addresses[0].String())
	}
	slices.Sort(names)
	if n := len(b.link.instances) - len(list); n > 0 {
		names = append(names, fmt.Sprintf("+%d", n))
	}
	return strings.Join(names, " ")
}

func (b *bench) want(services string) {
	b.t.Helper()
	if got := b.services(); got != services {
		b.t.Errorf("after %s: services %q, want %q", b.now.Sub(t0), got, services)
	}
}

// count is how often something was asked.
func (b *bench) count(name dnsmsg.Name, kind uint16) (n int) {
	for _, q := range b.asked {
		if q.Name == name && q.Type == kind {
			n++
		}
	}
	return n
}

func ptr(label string, ttl uint32) dnsmsg.Record {
	return dnsmsg.Record{Name: ipp, Type: dnsmsg.TypePTR, TTL: ttl, Target: ipp.Child(label)}
}

func srv(label, host string, port uint16, ttl uint32) dnsmsg.Record {
	return dnsmsg.Record{Name: ipp.Child(label), Type: dnsmsg.TypeSRV, TTL: ttl, Target: local.Child(host), Port: port, Flush: true}
}

func txt(label, text string, ttl uint32) dnsmsg.Record {
	b := append([]byte{byte(len(text))}, text...)
	return dnsmsg.Record{Name: ipp.Child(label), Type: dnsmsg.TypeTXT, TTL: ttl, Text: b, Flush: true}
}

func addr(host string, a netip.Addr, ttl uint32) dnsmsg.Record {
	r := dnsmsg.Record{Name: local.Child(host), Type: dnsmsg.TypeA, TTL: ttl, Addr: a, Flush: true}
	if a.Is6() {
		r.Type = dnsmsg.TypeAAAA
	}
	return r
}

// all is what a device announces.
func all(label, host string, a netip.Addr) []dnsmsg.Record {
	return []dnsmsg.Record{addr(host, a, 120), txt(label, "id="+label, 4500), srv(label, host, 631, 120), ptr(label, 4500)}
}

// Questions are asked after 20 to 120 ms, then after a second, two, four, and so on
// to an hour (RFC 6762, section 5.2), and only the first is for us alone.
func TestSeries(t *testing.T) {
	b := newBench(t)
	var at []time.Duration
	for range 20 {
		next := b.link.Next()
		q, _ := b.link.Due(next)
		if len(q) != 1 || q[0].Name != ipp || q[0].First != (len(at) == 0) || q[0].Over != Both {
			t.Fatalf("asked %+v", q)
		}
		at = append(at, next.Sub(t0))
	}
	if at[0] < 20*time.Millisecond || at[0] > 120*time.Millisecond {
		t.Errorf("the first question comes after %s", at[0])
	}
	for i := 1; i < len(at); i++ {
		if got, want := at[i]-at[i-1], min(time.Second<<(i-1), time.Hour); got != want {
			t.Errorf("question %d comes %s after the one before, want %s", i, got, want)
		}
	}
}

func TestAnnounced(t *testing.T) {
	b := newBench(t)
	b.wait(10 * time.Second)
	if h := b.hear(one, all("Printer 2.0", "p", one)...); !h.Changed {
		t.Error("no change")
	}
	b.want("Printer 2.0@10.0.0.11")
	if h := b.hear(one, all("Printer 2.0", "p", one)...); h.Changed {
		t.Error("a change of nothing")
	}
	b.hear(one, dnsmsg.Record{Name: dnsmsg.MustName("_http", "_tcp", "local"), Type: dnsmsg.TypePTR, TTL: 9, Target: ipp.Child("x")},
		dnsmsg.Record{Name: ipp, Type: dnsmsg.TypePTR, TTL: 9, Target: dnsmsg.MustName("x", "_http", "_tcp", "local")},
		dnsmsg.Record{Name: ipp, Type: dnsmsg.TypePTR, TTL: 9, Target: ipp.Child("bell\a")}, addr("other", one, 9))
	b.want("Printer 2.0@10.0.0.11")
}

// What is missing is asked for, and no more once it is there.
func TestResolve(t *testing.T) {
	b := newBench(t)
	b.hear(one, ptr("a", 4500))
	b.want("+1")
	b.wait(time.Second)
	if b.count(ipp.Child("a"), dnsmsg.TypeSRV) != 1 || b.count(ipp.Child("a"), dnsmsg.TypeTXT) != 1 {
		t.Errorf("asked %+v", b.asked)
	}
	b.hear(one, srv("a", "p", 631, 120))
	b.wait(time.Second)
	if b.count(local.Child("p"), dnsmsg.TypeA) == 0 || b.count(local.Child("p"), dnsmsg.TypeAAAA) == 0 || b.count(ipp.Child("a"), dnsmsg.TypeSRV) != 0 {
		t.Errorf("asked %+v", b.asked)
	}
	b.hear(one, addr("p", one, 120))
	b.want("+1") // its TXT record
	b.wait(2 * time.Second)
	b.want("a@10.0.0.11") // which it does not have
	b.hear(one, txt("a", "x", 4500))
	b.wait(30 * time.Second)
	if len(b.asked) > 5 { // the type alone
		t.Errorf("asked %+v", b.asked)
	}
}

// A host that does not answer is counted once it was asked thrice.
func TestMute(t *testing.T) {
	b := newBench(t)
	b.hear(one, ptr("a", 4500))
	b.hear(two, ptr("b", 4500), srv("b", "q", 1, 120))
	for _, want := range []int{0, 2} {
		b.wait(2 * time.Second)
		if _, mute := b.link.Services([]dnsmsg.Name{ipp}); mute != want {
			t.Errorf("%d are mute after %s, want %d", mute, b.now.Sub(t0), want)
		}
	}
	b.hear(one, all("a", "p", one)...)
	b.hear(two, all("b", "q", two)...)
	if list, mute := b.link.Services([]dnsmsg.Name{ipp}); len(list) != 2 || mute != 0 {
		t.Errorf("%d services, %d mute", len(list), mute)
	}
}

// Records are asked for four times before they end, and those that are heard again
// live on.
func TestRefresh(t *testing.T) {
	b := newBench(t)
	b.wait(3 * time.Hour) // only once in an hour
	b.hear(one, all("a", "p", one)...)
	b.wait(95 * time.Second)
	if len(b.asked) != 0 {
		t.Errorf("asked %+v", b.asked)
	}
	b.wait(6 * time.Second)
	if b.count(ipp.Child("a"), dnsmsg.TypeSRV) != 1 || b.count(local.Child("p"), dnsmsg.TypeA) != 1 || len(b.asked) != 2 || b.asked[0].Over != V4 {
		t.Errorf("asked %+v", b.asked)
	}
	b.hear(one, srv("a", "p", 631, 120), addr("p", one, 120))
	b.wait(119 * time.Second)
	if n := b.count(ipp.Child("a"), dnsmsg.TypeSRV); n != 4 {
		t.Errorf("asked %d times: %+v", n, b.asked)
	}
	b.want("a@10.0.0.11")
	b.wait(2 * time.Second)
	b.want("+1") // no answer: it is not there any more
	b.hear(one, all("a", "p", one)...)
	b.want("a@10.0.0.11")
}

// Known answers are those that are valid for more than half of their time.
func TestKnownAnswers(t *testing.T) {
	b := newBench(t)
	b.hear(one, all("a", "p", one)...)
	known := func() (list []string) {
		for _, q := range b.asked {
			for _, k := range q.Known {
				list = append(list, fmt.Sprint(k.Target.First(), k.TTL))
			}
		}
		return list
	}
	b.wait(time.Second)
	if got := fmt.Sprint(known()); got != "[a4499]" {
		t.Errorf("known: %s", got)
	}
	b.wait(4000 * time.Second)
	b.asked = nil
	b.link.types[ipp.Key()].series.next = b.now
	b.link.soon(b.now)
	b.wait(leastRest)
	if got := fmt.Sprint(known()); len(b.asked) == 0 || got != "[]" {
		t.Errorf("asked %+v, known: %s", b.asked, got)
	}
}

func TestGoodbye(t *testing.T) {
	b := newBench(t)
	b.wait(time.Hour)
	b.hear(one, all("a", "p", one)...)
	b.hear(two, all("b", "q", two)...)
	b.hear(one, ptr("a", 0))
	b.wait(999 * time.Millisecond)
	b.want("a@10.0.0.11 b@10.0.0.12")
	if len(b.asked) != 0 {
		t.Errorf("asked %+v", b.asked)
	}
	b.wait(time.Millisecond)
	b.want("b@10.0.0.12")
	b.hear(two, ptr("none", 0), srv("b", "q", 631, 0))
	b.wait(time.Second)
	b.want("+1")
	b.hear(two, srv("b", "q", 631, 120))
	b.hear(two, addr("q", two, 120))
	b.want("b@10.0.0.12")

	// Another says good-bye for b. It is asked, and is there.
	b.hear(one, ptr("b", 0))
	b.wait(100 * time.Millisecond)
	if b.count(ipp, dnsmsg.TypePTR) != 1 {
		t.Errorf("asked %+v", b.asked)
	}
	b.hear(two, ptr("b", 4500))
	b.wait(10 * time.Second)
	b.want("b@10.0.0.12")
}

// An address that comes with the cache-flush bit takes the place of older ones.
func TestCacheFlush(t *testing.T) {
	b := newBench(t)
	b.hear(one, all("a", "p", one)...)
	other := netip.MustParseAddr("10.0.0.99")
	b.hear(one, addr("p", other, 120)) // of one packet in two parts
	b.wait(2 * time.Second)
	b.want("a@10.0.0.11")
	b.hear(one, addr("p", two, 120))
	b.want("a@10.0.0.12") // at once
	b.wait(time.Second)
	list, _ := b.link.Services([]dnsmsg.Name{ipp})
	if n := len(list[0].Addresses); n != 1 {
		t.Errorf("%d addresses", n)
	}
	b.hear(one, srv("a", "p", 99, 120), txt("a", "new", 4500))
	list, _ = b.link.Services([]dnsmsg.Name{ipp})
	if list[0].Port != 99 || list[0].Text != "\x03new" {
		t.Errorf("%+v", list)
	}
}

func TestAddresses(t *testing.T) {
	b := newBench(t)
	own := node.Addr()
	for _, a := range []string{"127.0.0.1", "::1", "0.0.0.0", "224.0.0.1", "169.254.169.254", "64:ff9b::a9fe:a9fe", "10.0.0.1", "::ffff:127.0.0.1"} {
		if b.link.believable(netip.MustParseAddr(a).Unmap(), one) {
			t.Errorf("%s is believed", a)
		}
	}
	if !b.link.believable(own, own) || !b.link.believable(netip.MustParseAddr("169.254.3.4"), one) {
		t.Error("the node's own service, or one without DHCP, is not believed")
	}
	b.hear(one, all("a", "p", netip.MustParseAddr("10.9.9.9"))...)
	for n := range 20 {
		b.hear(one, addr("p", netip.AddrFrom4([4]byte{10, 0, 0, byte(100 + n)}), 120))
	}
	b.hear(one, addr("p", netip.MustParseAddr("fe80::7"), 120))
	list, _ := b.link.Services([]dnsmsg.Name{ipp})
	if got := list[0].Addresses; len(got) != maxAddresses || got[0].Near || !got[1].Near {
		t.Errorf("%+v", got)
	}
}

func TestLinkLocal(t *testing.T) {
	b := newBench(t)
	b.hear(one, all("a", "p", netip.MustParseAddr("fe80::7"))...)
	b.want("a@fe80::7%eth0")
}

// A name without a service is none, and costs no questions.
func TestNotOffered(t *testing.T) {
	b := newBench(t)
	b.wait(time.Hour)
	b.hear(one, ptr("a", 4500), srv("a", "p", 0, 120), txt("a", "", 4500))
	b.want("+1")
	b.wait(90 * time.Second)
	if len(b.asked) != 0 {
		t.Errorf("asked %+v", b.asked)
	}
}

// A subtype lists instances of its type.
func TestSubtype(t *testing.T) {
	sub := dnsmsg.MustName("_universal", "_sub", "_ipp", "_tcp", "local")
	b := newBench(t)
	b.link.Want([]Wanted{{sub, ipp}}, b.now)
	b.hear(one, all("a", "p", one)...)
	b.want("")
	b.hear(one, append(all("a", "p", one), dnsmsg.Record{Name: sub, Type: dnsmsg.TypePTR, TTL: 4500, Target: ipp.Child("a")})...)
	if list, _ := b.link.Services([]dnsmsg.Name{sub}); len(list) != 1 {
		t.Errorf("%+v", list)
	}
	b.link.Want(nil, b.now)
	if len(b.link.instances)+len(b.link.hosts)+b.link.census.total+len(b.link.census.sources) != 0 {
		t.Error("something is left")
	}
}

// Names that differ in case are one.
func TestCase(t *testing.T) {
	b := newBench(t)
	records := all("Printer", "p", one)
	records[2].Name = dnsmsg.MustName("PRINTER", "_IPP", "_tcp", "LOCAL")
	records[0].Name = dnsmsg.MustName("P", "Local")
	b.hear(one, records...)
	b.want("Printer@10.0.0.11")
}

// A service without a host, or on one that has no name, is none.
func TestNoHost(t *testing.T) {
	b := newBench(t)
	for _, host := range []dnsmsg.Name{"", dnsmsg.MustName("\xff", "local"), dnsmsg.MustName("h", "bell\a")} {
		r := srv("a", "p", 631, 120)
		r.Target = host
		b.hear(one, ptr("a", 4500), r, txt("a", "", 4500), dnsmsg.Record{Name: host, Type: dnsmsg.TypeA, TTL: 120, Addr: one})
		b.want("+1")
		b.wait(10 * time.Second)
		if _, mute := b.link.Services([]dnsmsg.Name{ipp}); mute != 0 {
			t.Errorf("%q: is awaited", host)
		}
	}
	b.hear(one, srv("a", "p", 631, 120), addr("p", one, 120))
	b.want("a@10.0.0.11")
}
