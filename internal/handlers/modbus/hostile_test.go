package modbus

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/internal/eventually"
	"github.com/akri-go/akri/internal/handlers/address"
	"github.com/akri-go/akri/internal/handlers/handlertest"
	"github.com/akri-go/akri/internal/handlers/modbus/details"
	"github.com/akri-go/akri/internal/handlers/modbus/modbustest"
)

// Where nobody answers, where somebody takes connections and says nothing, one who
// talks without end, in bits, or of something else, hold up nobody else.
func TestOthersDoNotMatter(t *testing.T) {
	good := modbustest.Start(t, units{1: pump("a")})
	hostile := map[string]func(net.Conn){
		"silent":  func(c net.Conn) { _, _ = c.Read(make([]byte, 1)); <-t.Context().Done() },
		"endless": func(c net.Conn) { flood(c, []byte{9, 9, 0, 0, 0, 5, 1, 3, 2, 0, 0}) },
		"http":    func(c net.Conn) { _, _ = c.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n")) },
		"garbage": func(c net.Conn) { flood(c, bytes.Repeat([]byte{0xA5}, 4096)) },
		"longest": func(c net.Conn) { flood(c, append([]byte{0, 1, 0, 0, 0xFF, 0xFF, 1}, make([]byte, 70000)...)) },
		"slow": func(c net.Conn) {
			for _, b := range []byte{0, 1, 0, 0, 0} {
				if _, err := c.Write([]byte{b}); err != nil {
					return
				}
			}
			<-t.Context().Done()
		},
		"gone": func(net.Conn) {},
	}
	text := "servers: [127.0.0.1:1, '" + good.Address() + "'"
	for _, f := range hostile {
		s := modbustest.Start(t, nil)
		s.Hijack(func(c net.Conn) {
			stop := context.AfterFunc(t.Context(), func() { c.Close() })
			defer stop()
			f(c)
		})
		text += ", '" + s.Address() + "'"
	}
	reports := handlertest.Ask(t, handler(Options{Patience: time.Minute}), text+"]"+fast)
	handlertest.Until(t, reports, "the good one is there", are(good.Address()+"/1"))
	before := good.Asked(1, 43)
	eventually.Succeeds(t, eventually.Patience, func(context.Context) error {
		select {
		case r := <-reports:
			if handlertest.IDs(r) != good.Address()+"/1" {
				t.Fatalf("%s", handlertest.IDs(r))
			}
		default:
		}
		if n := good.Asked(1, 43) - before; n < 5 {
			return fmt.Errorf("the good one was asked %d times", n)
		}
		return nil
	})
}

func flood(c net.Conn, b []byte) {
	for {
		if _, err := c.Write(b); err != nil {
			return
		}
	}
}

// What each of the hostile ones costs is bounded, and what it did is said.
func TestHostile(t *testing.T) {
	for name, tt := range map[string]struct {
		say  []byte
		want string
	}{
		"another's answers":      {bytes.Repeat([]byte{9, 9, 0, 0, 0, 5, 1, 3, 2, 0, 0}, 1000), "it answers what was not asked"},
		"HTTP":                   {[]byte("HTTP/1.1 400 Bad Request\r\n\r\n"), `it sends "HTTP/1.": does a Modbus TCP server run there`},
		"too long":               {[]byte{0, 1, 0, 0, 0xFF, 0xFF, 1, 3}, "it does not speak Modbus TCP"},
		"nothing in it":          {[]byte{0, 1, 0, 0, 0, 1, 1}, "it does not speak Modbus TCP"},
		"nothing":                {nil, "it closes the connection: has it as many clients as it takes"},
		"half an answer":         {[]byte{0, 1, 0, 0, 0, 9, 1, 43}, "no answer"},
		"of another unit":        {bytes.Repeat([]byte{0, 1, 0, 0, 0, 5, 2, 3, 2, 0, 0, 0, 2, 0, 0, 0, 5, 2, 3, 2, 0, 0}, 2), "unit 1 was asked, and the answer is unit 2's"},
		"of another function":    {[]byte{0, 1, 0, 0, 0, 3, 1, 4, 0, 0, 2, 0, 0, 0, 3, 1, 4, 0}, "function 3 is answered with function 4"},
		"objects without an end": {append([]byte{0, 1, 0, 0, 0, 13, 1, 43, 14, 2, 1, 0xFF, 0, 255, 0, 255, 'x', 'x', 'x'}, 0, 2, 0, 0, 0, 3, 1, 3, 0), "1 bytes are answered where 1 values"},
	} {
		s := modbustest.Start(t, nil)
		s.Hijack(func(c net.Conn) {
			if _, _ = c.Write(tt.say); tt.say == nil {
				return
			}
			_, _ = c.Read(make([]byte, 100))
			_, _ = c.Read(make([]byte, 100))
			_, _ = c.Read(make([]byte, 100))
		})
		d := mustDetails(t, "servers: ['"+s.Address()+"']"+fast)
		l := newAsker(address.System()).look(t.Context(), "1", newServer(d.Servers[0]), d)
		got := fmt.Sprint(l.err)
		if a, ok := l.answers[0]; ok {
			got = problemOf(a.err)
		}
		if !strings.Contains(got, tt.want) {
			t.Errorf("%s: %s, want %s", name, got, tt.want)
		}
	}
}

// A host's name does not lead to the node itself or to a cloud's metadata service.
func TestWhereNamesLead(t *testing.T) {
	s := modbustest.Start(t, units{1: plain})
	_, port, _ := net.SplitHostPort(s.Address())
	n := address.System()
	n.Lookup = func(_ context.Context, host string) ([]netip.Addr, error) {
		return map[string][]netip.Addr{
			"metadata": {netip.MustParseAddr("169.254.169.254")}, "node": {netip.MustParseAddr("127.0.0.1")},
		}[host], map[bool]error{true: &net.DNSError{Err: "no such host", IsNotFound: true}}[host == "nobody"]
	}
	dial := n.Dial
	n.Dial = func(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
		if !to.Addr().IsLoopback() {
			t.Errorf("%s was called", to)
		}
		return dial(ctx, to)
	}
	reports := handlertest.Ask(t, handler(Options{Patience: time.Minute, network: &n}),
		fmt.Sprintf("servers: ['metadata:80', 'node:%s', nobody, 'localhost:%s']"+fast, port, port))
	r := handlertest.Until(t, reports, "one is there", are("localhost:"+port+"/1"))
	for _, want := range []string{"metadata:80: 169.254.169.254 is a cloud's metadata service, and is not called unless the Configuration names it",
		"node:" + port + ": 127.0.0.1 is the node itself", "nobody:502: there is no such host"} {
		if !strings.Contains(r.Note, want) {
			t.Errorf("no %s in %s", want, r.Note)
		}
	}
}

// counted counts connections that are open.
type counted struct {
	net.Conn
	open *atomic.Int64
	once sync.Once
}

func (c *counted) Close() error {
	c.once.Do(func() { c.open.Add(-1) })
	return c.Conn.Close()
}

// Two Configurations that name a server connect to it one after the other.
func TestOneConnection(t *testing.T) {
	s := modbustest.Start(t, units{1: {Identify: modbustest.Silence}})
	var open, most atomic.Int64
	n := address.System()
	dial := n.Dial
	n.Dial = func(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
		c, err := dial(ctx, to)
		if err == nil {
			c = &counted{Conn: c, open: &open}
			most.Store(max(most.Load(), open.Add(1)))
		}
		return c, err
	}
	h := handler(Options{network: &n})
	all := []<-chan discovery.Report{handlertest.Ask(t, h, "servers: ['"+s.Address()+"']"+fast), handlertest.Ask(t, h, "servers: ['"+s.Address()+"']"+fast)}
	for _, reports := range all {
		handlertest.Until(t, reports, "it is there", are(s.Address()+"/1"))
	}
	eventually.Succeeds(t, eventually.Patience, func(context.Context) error {
		if total := s.Connections(); total < 10 {
			return fmt.Errorf("%d connections", total)
		}
		return nil
	})
	if most.Load() != 1 {
		t.Errorf("%d connections at a time", most.Load())
	}
}

// Many units that are not there do not keep those that are from being asked.
func TestSilentUnits(t *testing.T) {
	s := modbustest.Start(t, units{1: pump("a"), 30: pump("b")})
	h := handler(Options{Patience: time.Millisecond})
	h.asker.search = 100 * time.Millisecond
	at := s.Address()
	reports := handlertest.Ask(t, h, "servers: ['"+at+"']\nunits: [1-32]"+fast)
	handlertest.Until(t, reports, "one is there", func(r discovery.Report) bool {
		return handlertest.IDs(r) == at+"/1" && strings.Contains(r.Note, "not asked yet")
	})
	handlertest.Until(t, reports, "the other is there", are(at+"/1 "+at+"/30"))
	if n := s.Asked(1, 43); n < 5 {
		t.Errorf("the first was asked %d times until the others were", n)
	}
}

// A server that hangs up after each answer has all its units found, also those that
// a look has no connections left for, and those that identify themselves in several
// answers.
func TestHangsUpAfterEach(t *testing.T) {
	all, want := units{}, []string{}
	s := modbustest.Start(t, nil)
	s.Once()
	for id := byte(1); id <= 20; id++ {
		all[id] = plain
		want = append(want, fmt.Sprintf("%s/%d", s.Address(), id))
	}
	long := pump("a")
	long.Page = 1
	all[7] = long
	s.Set(modbustest.Silence, all)
	slices.Sort(want)
	reports := handlertest.Ask(t, handler(Options{}), "servers: ['"+s.Address()+"']\nunits: [1-20]"+fast)
	handlertest.Until(t, reports, "all are there", func(r discovery.Report) bool {
		return handlertest.IDs(r) == strings.Join(want, " ") && slices.ContainsFunc(r.Devices, func(d discovery.Device) bool {
			return d.Properties[details.PropertyApplication] == "a"
		})
	})
}
