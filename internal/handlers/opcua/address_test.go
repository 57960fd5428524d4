package opcua

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/akri-go/akri/internal/handlers/address"
	"github.com/akri-go/akri/internal/handlers/opcua/details"
)

func mustURL(t testing.TB, text string) details.URL {
	t.Helper()
	u, err := details.ParseURL(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func addresses(texts string) (all []netip.Addr) {
	for _, text := range strings.Fields(texts) {
		all = append(all, netip.MustParseAddr(text))
	}
	return all
}

var (
	noSuchHost = &net.DNSError{Err: "no such host", IsNotFound: true}
	dnsAway    = &net.DNSError{Err: "server misbehaving", IsTemporary: true}
)

func TestPlace(t *testing.T) {
	for _, tt := range []struct {
		name, told, known string
		err               error
		asked, at         string
		want, fault       string
	}{
		{"as it is written", "opc.tcp://plc:1/x", "10.0.0.7", nil, "opc.tcp://lds", "10.0.0.5", "opc.tcp://plc:1/x", ""},
		{"another subnet", "opc.tcp://plc", "192.168.9.9", nil, "opc.tcp://lds", "10.0.0.5", "opc.tcp://plc:4840", ""},
		{"one of its addresses will do", "opc.tcp://plc:1", "169.254.1.1 10.0.0.7", nil, "opc.tcp://lds", "10.0.0.5", "opc.tcp://plc:1", ""},
		{"no such host", "opc.tcp://plc:1/x", "", noSuchHost, "opc.tcp://lds:2/y", "10.0.0.5", "opc.tcp://lds:1/x", ""},
		{"nobody can tell", "opc.tcp://plc:1", "", dnsAway, "opc.tcp://lds", "10.0.0.5", "", "cannot be looked up"},
		{"its own loopback", "opc.tcp://localhost:1", "127.0.0.1 ::1", nil, "opc.tcp://lds", "10.0.0.5", "opc.tcp://lds:1", ""},
		{"Debian's name of itself", "opc.tcp://plc:1", "127.0.1.1", nil, "opc.tcp://10.0.0.5", "10.0.0.5", "opc.tcp://10.0.0.5:1", ""},
		{"any of its addresses", "opc.tcp://0.0.0.0:1", "0.0.0.0", nil, "opc.tcp://lds", "10.0.0.5", "opc.tcp://lds:1", ""},
		{"the node asks itself", "opc.tcp://127.0.0.1:1", "127.0.0.1", nil, "opc.tcp://localhost", "127.0.0.1", "opc.tcp://127.0.0.1:1", ""},
		{"in IPv6", "opc.tcp://[::1]:1", "::1", nil, "opc.tcp://localhost", "::ffff:127.0.0.1", "opc.tcp://[::1]:1", ""},
		{"metadata", "opc.tcp://169.254.169.254:80", "169.254.169.254", nil, "opc.tcp://lds", "10.0.0.5", "", "a cloud's metadata service"},
		{"a name for metadata", "opc.tcp://innocent:80", "169.254.169.254", nil, "opc.tcp://lds", "10.0.0.5", "", "a cloud's metadata service"},
		{"metadata in IPv6", "opc.tcp://[fd00:ec2::254]:80", "fd00:ec2::254", nil, "opc.tcp://lds", "fd00::1", "", "a cloud's metadata service"},
		{"metadata, mapped", "opc.tcp://x:80", "::ffff:169.254.169.254", nil, "opc.tcp://lds", "10.0.0.5", "", "a cloud's metadata service"},
		{"link-local", "opc.tcp://plc", "fe80::1", nil, "opc.tcp://lds", "10.0.0.5", "", "link-local"},
		{"metadata, by a translator", "opc.tcp://x:80", "64:ff9b::a9fe:a9fe", nil, "opc.tcp://lds", "10.0.0.5", "", "a cloud's metadata service"},
		{"metadata, by 6to4", "opc.tcp://x:80", "2002:a9fe:a9fe::1", nil, "opc.tcp://lds", "10.0.0.5", "", "a cloud's metadata service"},
		{"loopback, compatible", "opc.tcp://x:80", "::127.0.0.1", nil, "opc.tcp://lds", "10.0.0.5", "", "is the node itself"},
		{"Oracle's", "opc.tcp://x:80", "192.0.0.192", nil, "opc.tcp://lds", "10.0.0.5", "", "a cloud's metadata service"},
		{"link-local, as who tells of it", "opc.tcp://plc:1", "169.254.7.7", nil, "opc.tcp://lds", "169.254.7.8", "opc.tcp://plc:1", ""},
		{"but not metadata", "opc.tcp://plc:1", "169.254.169.254", nil, "opc.tcp://lds", "169.254.7.8", "", "metadata"},
		{"unless that was named", "opc.tcp://plc:1", "169.254.169.254", nil, "opc.tcp://169.254.169.254", "169.254.169.254", "opc.tcp://plc:1", ""},
		{"multicast", "opc.tcp://224.0.0.1", "224.0.0.1", nil, "opc.tcp://lds", "10.0.0.5", "", "no host's address"},
		{"broadcast", "opc.tcp://255.255.255.255", "255.255.255.255", nil, "opc.tcp://lds", "10.0.0.5", "", "no host's address"},
	} {
		u, j, err := place(mustURL(t, tt.told), addresses(tt.known), tt.err, mustURL(t, tt.asked), netip.MustParseAddr(tt.at))
		if tt.fault != "" {
			if err == nil || !strings.Contains(err.Error(), tt.fault) {
				t.Errorf("%s: %s, %v, want %s", tt.name, u, err, tt.fault)
			}
			continue
		}
		if err != nil || u.Text() != tt.want || j == nil {
			t.Errorf("%s: %s, %v, want %s", tt.name, u.Text(), err, tt.want)
		}
	}
}

// A name server that comes and goes changes nothing that is known.
func TestHosts(t *testing.T) {
	now := time.Unix(1000, 0)
	found, missing, away := addresses("10.0.0.7"), error(noSuchHost), error(dnsAway)
	type step struct {
		after time.Duration
		says  error // nil: found
		want  error
	}
	for _, tt := range []struct {
		name  string
		steps []step
	}{
		{"found once is found", []step{{0, nil, nil}, {time.Hour, missing, nil}, {time.Hour, away, nil}}},
		{"missing is looked up again, but not at once", []step{{0, missing, missing}, {time.Minute, nil, missing}, {recheckInterval, nil, nil}}},
		{"missing stays while nobody can tell", []step{{0, missing, missing}, {2 * recheckInterval, away, missing}}},
		{"nobody can tell", []step{{0, away, away}, {time.Second, missing, missing}}},
	} {
		var h hosts
		at := now
		for i, s := range tt.steps {
			at = at.Add(s.after)
			n := address.Network{Lookup: func(context.Context, string) ([]netip.Addr, error) {
				if s.says != nil {
					return nil, s.says
				}
				return found, nil
			}}
			got, err := h.find(t.Context(), n, mustURL(t, "opc.tcp://plc"), at)
			if !errors.Is(err, s.want) || (err == nil) != slices.Equal(got, found) {
				t.Errorf("%s: step %d: %v, %v, want %v", tt.name, i, got, err, s.want)
			}
			h.forget()
		}
		h.forget()
		if len(h.known) != 0 {
			t.Errorf("%s: %d hosts that nobody asks for are kept", tt.name, len(h.known))
		}
	}
}

// A server that tells of very many hosts makes no flood of look-ups.
func TestLookupsAreFew(t *testing.T) {
	var h hosts
	asked := 0
	n := address.Network{Lookup: func(context.Context, string) ([]netip.Addr, error) { asked++; return addresses("10.0.0.7"), nil }}
	for look := 1; look <= 2; look++ {
		later := 0
		for i := range maxLookups + 50 {
			u := mustURL(t, fmt.Sprintf("opc.tcp://plc%d", i))
			known, err := h.find(t.Context(), n, u, time.Unix(1000, 0))
			if _, _, err := place(u, known, err, u, netip.MustParseAddr("10.0.0.1")); errors.Is(err, errLater) {
				later++
			}
		}
		h.forget()
		if want := []int{50, 0}[look-1]; later != want || asked != []int{maxLookups, maxLookups + 50}[look-1] {
			t.Errorf("look %d: %d looked up, %d not, want %d", look, asked, later, want)
		}
	}
}

// hostsOf is a name server that knows no host, and fails for some.
func hostsOf(_ context.Context, host string) ([]netip.Addr, error) {
	if strings.HasPrefix(host, "later") {
		return nil, dnsAway
	}
	return nil, noSuchHost
}

// guard lets only the loopback be dialled.
func guard(t *testing.T, dial func(context.Context, netip.AddrPort) (net.Conn, error)) func(context.Context, netip.AddrPort) (net.Conn, error) {
	return func(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
		if !to.Addr().IsLoopback() {
			t.Errorf("%s was called", to)
			return nil, errors.New("refused")
		}
		return dial(ctx, to)
	}
}
