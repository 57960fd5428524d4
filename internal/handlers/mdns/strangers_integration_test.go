//go:build integration

package mdns_test

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/internal/handlers/mdns/air"
	"github.com/akri-go/akri/internal/handlers/mdns/browse"
	"github.com/akri-go/akri/internal/handlers/mdns/dnsmsg"
	"github.com/akri-go/akri/internal/handlers/multicast"
	"github.com/akri-go/akri/internal/handlers/multicast/multicasttest"
	"github.com/akri-go/akri/internal/leaktest"
)

// Whoever sends nonsense, much of it, or from elsewhere, costs others nothing.
func strangers(t *testing.T, a *avahi) {
	w := watch(t, "types: [_strange._tcp]\ndiscoveryTimeoutSeconds: 1")
	w.devices()
	send := func(from string, messages ...[]byte) {
		a.in(func() {
			shared := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
				controlErr := c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1) })
				return errors.Join(controlErr, err)
			}}
			conn, err := shared.ListenPacket(t.Context(), "udp4", from)
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			for _, m := range messages {
				if _, err := conn.WriteTo(m, &net.UDPAddr{IP: net.IPv4(224, 0, 0, 251), Port: 5353}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	answer := []byte("\x00\x00\x84\x00\x00\x00\x00\x01\x00\x00\x00\x00\x08_strange\x04_tcp\x05local\x00\x00\x0c\x00\x01\x00\x00\x11\x94\x00\x08\x05False\xc0\x0c")
	send("10.99.0.12:5353", answer[:len(answer)-1], []byte{}, []byte("short"))
	send("10.99.0.12:5454", answer)
	var flood [][]byte
	for n := range 2000 {
		m := slices.Clone(answer)
		copy(m[len(m)-7:], fmt.Sprintf("%05d", n))
		flood = append(flood, m)
	}
	send("10.99.0.13:5353", flood...)
	a.publish("Real", "_strange._tcp", "1")
	w.devices("real._strange._tcp.local")
	w.until(func(r discovery.Report) error {
		if !strings.Contains(r.Note, "services are announced whose hosts do not answer") {
			return errors.New("the note does not tell of the false ones")
		}
		return nil
	})
	// Good-byes for the real one, of each of its records: it is asked, and stays.
	real := dnsmsg.MustName("Real", "_strange", "_tcp", "local")
	goodbye := func(name dnsmsg.Name, kind byte, data string) []byte {
		m := append([]byte("\x00\x00\x84\x00\x00\x00\x00\x01\x00\x00\x00\x00"), name...)
		return append(append(m, 0, 0, kind, 0, 1, 0, 0, 0, 0, 0, byte(len(data))), data...)
	}
	for n := range 3 {
		send("10.99.0.14:5353", goodbye(real.Parent(), dnsmsg.TypePTR, string(real)+"\x00"),
			goodbye(real, dnsmsg.TypeSRV, "\x00\x00\x00\x00\x00\x01\x05lobby\x05local\x00"), goodbye(real, dnsmsg.TypeTXT, "\x00"))
		another := fmt.Sprint("Another ", n)
		a.publish(another, "_strange._tcp", "1")
		r := w.until(func(r discovery.Report) error {
			if !slices.ContainsFunc(r.Devices, func(d discovery.Device) bool { return d.Properties["MDNS_INSTANCE"] == another }) {
				return errors.New("the other one is not there")
			}
			return nil
		})
		if len(r.Devices) != 2+n || len(r.Departed) > 0 {
			t.Errorf("after good-byes of another: %+v", r)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.dropped["malformed"] != 1 || w.dropped["foreign"] != 1 || w.dropped["flood"] == 0 || !strings.Contains(w.log.String(), "from=10.99.0.12") {
		t.Errorf("dropped %v, the log is\n%s", w.dropped, w.log.String())
	}
}

// Answers for this node alone are asked for only while nobody else has the port,
// and that keeps nobody from having it.
func TestPrivate(t *testing.T) {
	leaktest.Check(t)
	multicasttest.NewStreet(t)
	a := air.New(air.Options{
		Heard: func(air.Heard) {}, Changed: func() {}, Dropped: func(netip.Addr, air.Drop, error) {}, Log: slog.New(slog.DiscardHandler),
	})
	defer a.Close()
	all, err := a.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	eth0 := multicast.Suitable(all, []string{"eth0"})
	if err := a.Listen(eth0); err != nil || len(eth0) != 1 {
		t.Fatalf("%v, %v", eth0, err)
	}
	four, six := a.Private(eth0[0].Index, browse.V4), a.Private(eth0[0].Index, browse.V6)
	if !four || !six {
		t.Errorf("alone: %v over IPv4, %v over IPv6", four, six)
	}
	other, err := multicast.Open(netip.MustParseAddrPort("0.0.0.0:5353"), func(fd int) error {
		return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	})
	if err != nil {
		t.Fatalf("another cannot have the port: %v", err)
	}
	defer other.Close()
	if err := a.Listen(nil); err != nil {
		t.Error(err)
	}
	if err := a.Listen(eth0); err != nil {
		t.Error(err)
	}
	if a.Private(eth0[0].Index, browse.V4) {
		t.Error("another has the port, and would get the answers")
	}
}
