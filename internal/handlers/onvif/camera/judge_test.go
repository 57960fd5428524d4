package camera

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func prefixes(list ...string) (all []netip.Prefix) {
	for _, s := range list {
		all = append(all, netip.MustParsePrefix(s))
	}
	return all
}

// seen is an answer on eth0 of a node at 192.168.1.2.
func seen(from string) Sighting {
	return Sighting{From: addr(from), Interface: "eth0", Local: prefixes("192.168.1.2/24", "10.5.0.2/16", "fe80::2/64", "2001:db8::2/64")}
}

func TestJudge(t *testing.T) {
	for _, c := range []struct {
		a    string
		s    Sighting
		want string // why not; "" if it may be called
	}{
		{"192.168.1.7", seen("192.168.1.7"), ""},
		{"192.168.1.8", seen("192.168.1.7"), ""},
		{"10.5.3.4", seen("192.168.1.7"), ""}, // another network of the same link
		{"2001:db8::7", seen("192.168.1.7"), ""},
		{"fe80::7", seen("192.168.1.7"), ""},
		{"192.168.1.7", seen("fe80::7%eth0"), ""},
		{"::ffff:192.168.1.7", seen("192.168.1.7"), ""},
		{"192.168.2.7", seen("192.168.1.7"), "in another network"},
		{"8.8.8.8", seen("192.168.1.7"), "in another network"},
		{"192.168.1.8", seen("172.16.0.1"), "came from 172.16.0.1"},
		{"172.16.0.1", seen("172.16.0.1"), "in no network of eth0"}, // anybody can write a sender
		{"127.0.0.1", seen("127.0.0.1"), "in no network of eth0"},
		{"10.77.0.9", seen("10.77.0.9"), ""},
		{"172.16.0.1", Sighting{From: addr("172.16.0.1")}, ""}, // it was probed there
		{"10.77.0.9", seen("192.168.1.7"), ""},                 // configured
		{"127.0.0.1", seen("192.168.1.7"), "this node itself"},
		{"::1", seen("192.168.1.7"), "this node itself"},
		{"::ffff:127.0.0.1", seen("192.168.1.7"), "this node itself"},
		{"192.168.1.2", seen("192.168.1.7"), "this node itself"},
		{"fe80::2", seen("192.168.1.7"), "this node itself"},
		{"192.168.1.2", seen("192.168.1.2"), ""},             // a camera on this node
		{"127.0.0.1", Sighting{From: addr("127.0.0.1")}, ""}, // that was probed there
		{"127.0.0.2", Sighting{From: addr("127.0.0.1")}, ""},
		{"169.254.169.254", seen("192.168.1.7"), "credentials"},
		{"169.254.169.254", seen("169.254.169.254"), "credentials"}, // whoever says so
		{"::ffff:169.254.169.254", seen("169.254.1.1"), "credentials"},
		{"fd00:ec2::254", seen("192.168.1.7"), "credentials"},
		{"169.254.7.7", seen("169.254.7.7"), ""}, // a camera without DHCP
		{"169.254.7.8", seen("192.168.1.7"), "belongs to a link"},
		{"0.0.0.0", seen("192.168.1.7"), "not the address of a camera"},
		{"239.255.255.250", seen("192.168.1.7"), "not the address of a camera"},
		{"fe80::7", Sighting{From: addr("10.77.0.1")}, "in another network"},
	} {
		err := Judge(addr(c.a), c.s, prefixes("10.77.0.0/24"))
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s, from %s: %v, want %q", c.a, c.s.From, err, c.want)
		}
	}
}

// names answers each question about a name once, with its next answer.
type names map[string][]string

func (n names) LookupNetIP(_ context.Context, _, host string) (list []netip.Addr, err error) {
	if len(n[host]) == 0 {
		return nil, errors.New("no such host")
	}
	for s := range strings.FieldsSeq(n[host][0]) {
		list = append(list, addr(s))
	}
	n[host] = n[host][1:]
	return list, nil
}

func TestTargets(t *testing.T) {
	for _, c := range []struct {
		name, xaddrs string
		from         string
		want         string // URL and address of each
		err          string
	}{
		{"as it says", "http://192.168.1.7/onvif/device_service", "192.168.1.7", "http://192.168.1.7/onvif/device_service 192.168.1.7:80", ""},
		{"the best first", "http://[fe80::7]/a https://192.168.1.7/b http://192.168.1.8:8080/c http://192.168.1.7/d", "192.168.1.7",
			"http://192.168.1.7/d 192.168.1.7:80, https://192.168.1.7/b 192.168.1.7:443, http://192.168.1.8:8080/c 192.168.1.8:8080, " +
				"http://[fe80::7%25eth0]/a [fe80::7%eth0]:80", ""},
		{"nothing", "", "192.168.1.7", "http://192.168.1.7/onvif/device_service 192.168.1.7:80", ""},
		{"nothing of a link", "", "fe80::7%eth0", "http://[fe80::7%25eth0]/onvif/device_service [fe80::7%eth0]:80", ""},
		{"its own name of itself", "http://127.0.0.1:8000/x", "192.168.1.7", "http://192.168.1.7:8000/x 192.168.1.7:8000", ""},
		{"nonsense", "ftp://192.168.1.7/ http:///x http://a:b@192.168.1.7/ http://192.168.1.7:0/ http://%zz/ x", "192.168.1.7",
			"http://192.168.1.7/onvif/device_service 192.168.1.7:80", ""},
		{"a name", "http://camera/x", "192.168.1.7", "http://camera/x 192.168.1.7:80", ""},
		{"a name of several", "http://several/x", "192.168.1.7", "http://several/x 192.168.1.7:80", ""},
		{"a name for metadata", "http://metadata/x", "192.168.1.7", "http://192.168.1.7/x 192.168.1.7:80", ""},
		{"a name that is none", "http://unknown/x", "192.168.1.7", "http://192.168.1.7/x 192.168.1.7:80", ""},
		{"sent by metadata", "http://8.8.8.8/", "169.254.169.254", "", "credentials"},
	} {
		s := seen(c.from)
		s.XAddrs = strings.Fields(c.xaddrs)
		list, err := targets(t.Context(), s, nil, names{
			"camera":   {"192.168.1.7", "169.254.169.254"}, // the second time it would be another
			"several":  {"8.8.8.8 127.0.0.1 192.168.1.7"},
			"metadata": {"169.254.169.254"},
		})
		var got []string
		for _, l := range list {
			got = append(got, l.URL.String()+" "+l.Address.String())
		}
		if strings.Join(got, ", ") != c.want || (err != nil) != (c.err != "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %v\ngot  %s\nwant %s", c.name, err, strings.Join(got, ", "), c.want)
		}
	}
}

// Whatever XAddrs a stranger sends, nothing is called that must not be.
func FuzzTargets(f *testing.F) {
	f.Add("http://192.168.1.7/onvif/device_service http://[fe80::7]:8000/x", []byte{192, 168, 1, 7})
	f.Add("https://camera/x http://2852039166/ http://[::ffff:a9fe:a9fe]/", []byte{169, 254, 7, 7})
	f.Add("http://192.168.1.7:0/ http://[fe80::7%25eth1]/", addr("fe80::7").AsSlice())
	f.Fuzz(func(t *testing.T, xaddrs string, from []byte) {
		sender, ok := netip.AddrFromSlice(from)
		if !ok {
			return
		}
		s := seen("192.168.1.7")
		s.From, s.XAddrs = sender, strings.Fields(xaddrs)
		list, err := targets(t.Context(), s, nil, names{"camera": {"169.254.169.254 ::1 192.168.1.8"}})
		if len(list) > maxTargets || (len(list) == 0) != (err != nil) {
			t.Errorf("%d targets, %v", len(list), err)
		}
		for _, l := range list {
			if err := Judge(l.Address.Addr(), s, nil); err != nil || l.Address.Port() == 0 {
				t.Errorf("%s is called: %v", l.Address, err)
			}
			if again, _, err := parseXAddr(l.URL.String()); err != nil {
				t.Errorf("%q: %v, %v", l.URL, again, err)
			}
		}
	})
}
