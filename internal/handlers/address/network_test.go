package address

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// A Configuration may name any address, and by a name only what is not the node's
// own.
func TestNamed(t *testing.T) {
	for _, tt := range []struct {
		host, ip string
		called   bool
	}{
		{"127.0.0.1", "127.0.0.1", true}, {"169.254.169.254", "169.254.169.254", true}, {"::1", "::1", true},
		{"localhost", "127.0.0.1", true}, {"localhost", "::1", true}, {"localhost", "169.254.169.254", false},
		{"plc", "10.0.0.7", true}, {"plc", "2001:db8::7", true},
		{"plc", "127.0.1.1", false}, {"plc", "::ffff:127.0.0.1", false}, {"plc", "169.254.169.254", false},
		{"plc", "fe80::1%eth0", false}, {"plc", "100.100.100.200", false}, {"plc", "0.0.0.0", false},
		{"plc", "224.0.0.1", false}, {"plc", "255.255.255.255", false}, {"plc", "64:ff9b::a9fe:a9fe", false},
	} {
		err := Named(tt.host, "the URL")(netip.MustParseAddr(tt.ip))
		if (err == nil) != tt.called || err != nil && !strings.HasSuffix(err.Error(), "is not called unless the URL names it") {
			t.Errorf("%s at %s: %v", tt.host, tt.ip, err)
		}
	}
}

var noSuchHost = &net.DNSError{Err: "no such host", IsNotFound: true}

// Addresses are judged when they are called, so that a name cannot come to mean
// another one.
func TestConnect(t *testing.T) {
	var dialled []netip.AddrPort
	answers := "10.0.0.9"
	n := Network{
		Lookup: func(_ context.Context, host string) (all []netip.Addr, err error) {
			if host != "plc" {
				return nil, noSuchHost
			}
			for _, ip := range []string{"127.0.0.1", "10.0.0.7", "::ffff:10.0.0.8", "10.0.0.9", "169.254.169.254", "10.0.0.10", "10.0.0.11"} {
				all = append(all, netip.MustParseAddr(ip))
			}
			return all, nil
		},
		Dial: func(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
			if _, ok := ctx.Deadline(); !ok {
				t.Error("without a deadline")
			}
			dialled = append(dialled, to)
			if to.Addr().String() == answers {
				ours, _ := net.Pipe()
				return ours, nil
			}
			return nil, errors.New("refused")
		},
	}
	conn, ip, err := n.Connect(t.Context(), "plc", 7, Ordinary)
	want := []netip.AddrPort{netip.MustParseAddrPort("10.0.0.7:7"), netip.MustParseAddrPort("10.0.0.8:7"), netip.MustParseAddrPort("10.0.0.9:7")}
	if err != nil || conn == nil || ip.String() != "10.0.0.9" || !slices.Equal(dialled, want) {
		t.Errorf("%v, %s, dialled %v", err, ip, dialled)
	}
	answers, dialled = "10.0.0.11", nil
	if _, _, err := n.Connect(t.Context(), "plc", 7, Ordinary); err == nil || len(dialled) != maxAddresses {
		t.Errorf("%v after %d addresses", err, len(dialled))
	}
	none := func(netip.Addr) error { return errors.New("not that") }
	if _, _, err := n.Connect(t.Context(), "plc", 7, none); err == nil || err.Error() != "not that" {
		t.Errorf("%v", err)
	}
	if _, _, err := n.Connect(t.Context(), "nobody", 7, none); !NotFound(err) {
		t.Errorf("%v", err)
	}
}

func TestExplain(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want string
	}{
		{noSuchHost, "there is no such host"},
		{&net.DNSError{Err: "server misbehaving", IsTimeout: true}, "the host cannot be looked up (server misbehaving)"},
		{fmt.Errorf("dial: %w", syscall.ECONNREFUSED), "does an OPC UA server run there"},
		{context.DeadlineExceeded, "no answer in time"}, {syscall.ETIMEDOUT, "no answer in time"},
		{syscall.EHOSTUNREACH, "is there a route"}, {syscall.ENETUNREACH, "is there a route"},
		{errors.New("other"), ""},
	} {
		if got := Explain(tt.err, "an OPC UA server"); !strings.Contains(got, tt.want) || (got == "") != (tt.want == "") {
			t.Errorf("%v: %q, want %q", tt.err, got, tt.want)
		}
	}
}
