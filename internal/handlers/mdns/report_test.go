package mdns

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/internal/handlers/mdns/browse"
	"github.com/akri-go/akri/internal/handlers/mdns/details"
	"github.com/akri-go/akri/internal/handlers/mdns/dnsmsg"
)

var t0 = time.Unix(1_700_000_000, 0)

// service is a printer that was heard some seconds after others.
func service(label string, after int, addresses []string, texts ...string) browse.Service {
	s := browse.Service{
		Name: ipp.Child(label), Host: dnsmsg.MustName("h", "local"), Port: 631, Since: t0.Add(time.Duration(after) * time.Second), Link: "eth0",
	}
	for _, a := range addresses {
		ip := netip.MustParseAddr(strings.TrimPrefix(a, "far "))
		s.Addresses = append(s.Addresses, browse.Address{Addr: ip, Near: !strings.HasPrefix(a, "far ")})
	}
	for _, x := range texts {
		s.Text += string([]byte{byte(len(x))}) + x
	}
	return s
}

func leaving(s browse.Service) browse.Service {
	s.Leaving = true
	return s
}

func TestPlan(t *testing.T) {
	near := []string{"10.0.0.11"}
	for _, tt := range []struct {
		name, details string
		known         known
		want, note    string // ids with addresses; parts of the note, with ; between
	}{
		{"nothing", "", known{}, "", ""},
		{"one", "", known{services: []browse.Service{service("A.b", 0, near)}}, `a\.b._ipp._tcp.local@10.0.0.11`, ""},
		{"problem", "", known{problems: []string{"bad"}, mute: 2}, "", "bad;2 services are announced whose hosts do not answer"},
		{"twice", "", known{services: []browse.Service{service("A", 5, []string{"fe80::1%eth0"}), service("a", 3, near)}},
			"a._ipp._tcp.local@10.0.0.11", ""},
		{"IPv4 first", "", known{services: []browse.Service{service("a", 0, []string{"fe80::1%eth0", "2001:db8::1", "169.254.1.1", "10.0.0.9", "10.0.0.1"})}},
			"a._ipp._tcp.local@10.0.0.9", ""},
		{"IPv6 of all", "", known{services: []browse.Service{service("a", 0, []string{"fe80::1%eth0", "169.254.1.1", "2001:db8::1"})}},
			"a._ipp._tcp.local@2001:db8::1", ""},
		{"of the link", "", known{services: []browse.Service{service("a", 0, []string{"fe80::1%eth0", "169.254.1.1"})}},
			"a._ipp._tcp.local@169.254.1.1", ""},
		{"other network", "", known{services: []browse.Service{service("a", 0, []string{"far 10.9.0.1"})}},
			"", `"a": its address 10.9.0.1 is of another network: name that in networks`},
		{"other network that is named", "networks: [10.9.0.0/16]", known{services: []browse.Service{service("a", 0, []string{"far 10.9.0.1"})}},
			"a._ipp._tcp.local@10.9.0.1", ""},
		{"all filtered", "instances: {items: [b]}", known{services: []browse.Service{service("a", 0, near)}},
			"", "no device passes the filters of discoveryDetails (of 1)"},
		{"key", "identityKey: ID", known{services: []browse.Service{service("a", 0, near, "x=y", "id=7")}}, "_ipp._tcp.local 7@10.0.0.11", ""},
		{"no key", "identityKey: id", known{services: []browse.Service{service("a", 0, near), service("b", 0, near, "id"), service("c", 0, near, "id=\x01")}},
			"", `"a" and "b" and 1 more: it has no value of the key id`},
		{"key twice", "identityKey: id", known{services: []browse.Service{service("a", 9, near, "id=7"), service("b", 0, []string{"10.0.0.12"}, "id=7")}},
			"_ipp._tcp.local 7@10.0.0.12", `"a": it has the same id as "b", which was there before and counts`},
		{"renamed", "identityKey: id", known{services: []browse.Service{service("a", 9, near, "id=7"), leaving(service("b", 0, []string{"10.0.0.12"}, "id=7"))}},
			"_ipp._tcp.local 7@10.0.0.11", `"b": it has the same id as "a"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d, err := details.Parse("types: [_ipp._tcp]\n" + tt.details)
			if err != nil {
				t.Fatal(err)
			}
			r := Plan(d, tt.known, t0.Add(time.Minute))
			var got []string
			for _, v := range r.Devices {
				got = append(got, v.ID+"@"+v.Properties[details.PropertyAddress])
			}
			if strings.Join(got, " ") != tt.want || (r.Note == "") != (tt.note == "") {
				t.Errorf("%q, note %q", got, r.Note)
			}
			for part := range strings.SplitSeq(tt.note, ";") {
				if !strings.Contains(r.Note, part) {
					t.Errorf("the note %q lacks %q", r.Note, part)
				}
			}
		})
	}
}

func TestText(t *testing.T) {
	many := []string{"a=1", "A=2", "b", "c=", "=x", "", "d#=\xff\x00", "http_proxy=x", "e=f=g", "k\x01=x", "d-=9"}
	for i := range 99 {
		many = append(many, fmt.Sprintf("n%d=x", i))
	}
	d, _ := details.Parse("types: [_ipp._tcp]")
	r := Plan(d, known{services: []browse.Service{service("a", 0, []string{"10.0.0.11"}, many...)}}, t0.Add(time.Minute))
	got := r.Devices[0].Properties
	for name, want := range map[string]string{
		"MDNS_TXT_A": "1", "MDNS_TXT_B": "", "MDNS_TXT_C": "", "MDNS_TXT_D__HEX": "ff00", "MDNS_TXT_HTTP_PROXY_": "x", "MDNS_TXT_E": "f=g", "MDNS_TXT_D_": "9",
	} {
		if value, there := got[name]; value != want || !there {
			t.Errorf("%s is %q, want %q", name, value, want)
		}
	}
	if len(got) != 5+maxTextProperties {
		t.Errorf("%d properties", len(got))
	}
	d, _ = details.Parse("types: [_ipp._tcp]\ntxtProperties: {items: [B]}")
	r = Plan(d, known{services: []browse.Service{service("a", 0, []string{"10.0.0.11"}, many...)}}, t0.Add(time.Minute))
	if got := r.Devices[0].Properties; len(got) != 6 {
		t.Errorf("%v", got)
	}
}

// A report that is too large loses those that say most of themselves.
func TestPlanFits(t *testing.T) {
	d, _ := details.Parse("types: [_ipp._tcp]")
	var k known
	for i := range 4000 {
		long := strings.Repeat("x", 240)
		k.services = append(k.services, service(fmt.Sprintf("false %d", i), 0, []string{"10.0.0.66"}, "a="+long, "b="+long, "c="+long, "d="+long))
	}
	k.services = append(k.services, service("real", 0, []string{"10.0.0.11"}))
	r := Plan(d, k, t0.Add(time.Minute))
	has := func(id string) bool {
		for _, v := range r.Devices {
			if v.ID == id {
				return true
			}
		}
		return false
	}
	if len(r.Devices) >= 4000 || !has("real._ipp._tcp.local") || !strings.Contains(r.Note, "those that say most of themselves") {
		t.Errorf("%d devices, note %q", len(r.Devices), r.Note)
	}
	if len(r.Note) > maxNoteBytes {
		t.Errorf("a note of %d bytes", len(r.Note))
	}
	again := Plan(d, k, t0.Add(time.Minute))
	if !discovery.Same(r.Devices, again.Devices) {
		t.Error("a second report differs")
	}
}

// A service that is heard over IPv6 first is not reported at an address that it
// has for a moment only.
func TestAddressWait(t *testing.T) {
	d, err := details.Parse("types: [_ipp._tcp]")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name      string
		addresses []string
		age       time.Duration
		want      int
		again     time.Duration
	}{
		{"of the link", []string{"fe80::1%eth0"}, 0, 0, addressWait},
		{"of the link, later", []string{"fe80::1%eth0"}, addressWait - time.Millisecond, 0, time.Millisecond},
		{"of the link and no other", []string{"fe80::1%eth0"}, addressWait, 1, 0},
		{"the other has come", []string{"fe80::1%eth0", "10.0.0.11"}, 0, 1, 0},
		{"IPv6 of all", []string{"2001:db8::1"}, 0, 1, 0},
		{"IPv4 of the link", []string{"169.254.1.1"}, 0, 1, 0},
	} {
		r := Plan(d, known{services: []browse.Service{service("a", 0, tt.addresses)}}, t0.Add(tt.age))
		if len(r.Devices) != tt.want || r.again != tt.again {
			t.Errorf("%s: %d devices, again after %s; want %d, %s", tt.name, len(r.Devices), r.again, tt.want, tt.again)
		}
	}
}
