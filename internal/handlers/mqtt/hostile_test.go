package mqtt

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/akri-go/akri/internal/eventually"
	"github.com/akri-go/akri/internal/handlers/address"
	"github.com/akri-go/akri/internal/handlers/mqtt/mqtttest"
)

// Whatever a broker says, it is noted what is wrong, and another broker's devices
// are there all the same.
func TestHostileBrokers(t *testing.T) {
	connack := []byte{0x20, 3, 0, 0, 0}
	says := func(b ...byte) func(net.Conn) {
		return func(c net.Conn) { _, _ = c.Write(b) }
	}
	endless := func(first, more []byte) func(net.Conn) {
		more = bytes.Repeat(more, 1000)
		return func(c net.Conn) {
			_, err := c.Write(first)
			for err == nil {
				_, err = c.Write(more)
			}
		}
	}
	for name, c := range map[string]struct {
		talk func(net.Conn)
		note string
	}{
		"HTTP":                {says([]byte("HTTP/1.1 400 Bad Request\r\n\r\n")...), "begins with the byte 0x48, which is not MQTT: is it the port of another service?"},
		"nothing":             {says(), "closes the connection without a word: does it want TLS there"},
		"a header for ever":   {endless([]byte{0x20}, []byte{0xff}), "the broker sends what is not MQTT"},
		"4 GiB":               {says(append(connack, 0x30, 0xff, 0xff, 0xff, 0xff, 0x0f)...), "the broker sends what is not MQTT"},
		"256 MiB":             {endless(append(connack, 0x30, 0xff, 0xff, 0xff, 0x7f), []byte{0}), "with 268435455 bytes, which is too much"},
		"another packet":      {says(append(connack, 0x10, 0)...), "a packet of type 1, which was not asked for"},
		"it hangs up at once": {says(connack...), "has closed the connection that it had accepted"},
		"it says why":         {says(append(connack, 0xe0, 2, 0x8b, 0)...), "has closed the connection: it is shutting down"},
		"a wrong SUBACK":      {says(append(connack, 0x90, 5, 0, 1, 0, 0, 0)...), "a SUBSCRIBE that was not sent"},
		"banned":              {says(0x20, 3, 0, 0x8a, 0), "the broker has banned this client"},
	} {
		t.Run(name, func(t *testing.T) {
			b := mqtttest.Start(t)
			b.Be(mqtttest.Faults{Talk: c.talk})
			note(t, asking(t, Options{}, "broker: "+b.URL+"\nhomie: {}", nil), c.note)
		})
	}
}

// A flood of messages is read no faster than the handler wants, and takes no more
// memory than there is room; another request goes on.
func TestFlood(t *testing.T) {
	bad, good := mqtttest.Start(t), mqtttest.Start(t)
	bad.Be(mqtttest.Faults{Talk: func(c net.Conn) {
		_, err := c.Write([]byte{0x20, 3, 0, 0, 0})
		for i := 0; err == nil; i++ {
			topic := fmt.Sprintf("homie/%d/$name", i)
			body := append([]byte{0, byte(len(topic))}, topic+"\x00"+strings.Repeat("x", 900)...)
			_, err = c.Write(append([]byte{0x31, byte(len(body)%128) | 128, byte(len(body) / 128)}, body...))
		}
	}})
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	homie(good, "one", "ready")
	h := New(Options{Log: quietly(), retry: quick(), Patience: time.Millisecond})
	flooded := askingOf(t, h, "broker: "+bad.URL+"\nhomie: {}", nil)
	note(t, flooded, "there is no more room")
	reports := askingOf(t, h, "broker: "+good.URL+"\nhomie: {}", nil)
	wait(t, reports, "homie/one")
	good.Retain("homie/one/$state", "lost")
	wait(t, reports, "")
	eventually.Succeeds(t, eventually.Patience, func(context.Context) error { // what is being read counts too
		runtime.GC()
		runtime.ReadMemStats(&after)
		if used := int64(after.HeapAlloc) - int64(before.HeapAlloc); used > 24<<20 {
			return fmt.Errorf("%d MiB", used>>20)
		}
		return nil
	})
}

// TLS that is not as it should be is explained.
func TestTLS(t *testing.T) {
	authority := mqtttest.NewAuthority(t)
	roots := map[string]string{"ca_certificates": string(authority.PEM)}
	for name, c := range map[string]struct {
		host       string // of the certificate
		until      time.Duration
		client     bool // wants a certificate of clients
		properties map[string]string
		note       string // "" if it works
	}{
		"good":               {"127.0.0.1", time.Hour, false, roots, ""},
		"unknown authority":  {"127.0.0.1", time.Hour, false, nil, "from an authority that is not known: give ca_certificates"},
		"another host":       {"other.example", time.Hour, false, roots, "its certificate is for another host"},
		"expired":            {"127.0.0.1", -time.Hour, false, roots, "has expired or is not valid yet"},
		"wants certificates": {"127.0.0.1", time.Hour, true, roots, "does it want client_certificate and client_key in discoveryProperties"},
	} {
		t.Run(name, func(t *testing.T) {
			plain := mqtttest.Start(t)
			homie(plain, "one", "ready")
			pair, err := tls.X509KeyPair(authority.Certificate(c.host, time.Now().Add(c.until)))
			if err != nil {
				t.Fatal(err)
			}
			config := &tls.Config{Certificates: []tls.Certificate{pair}}
			if c.client {
				config.ClientAuth = tls.RequireAnyClientCert
			}
			plain.UseTLS(config)
			text := "broker: mqtts://" + plain.Address() + "\nhomie: {}"
			reports := asking(t, Options{}, text, c.properties)
			if c.note == "" {
				wait(t, reports, "homie/one")
				return
			}
			note(t, reports, c.note)
			if name == "unknown authority" {
				wait(t, asking(t, Options{}, text+"\ninsecureSkipTLSVerify: true", nil), "homie/one")
			}
		})
	}
	plain := mqtttest.Start(t)
	note(t, asking(t, Options{}, "broker: mqtts://"+plain.Address()+"\nhomie: {}", nil), "does not speak TLS there")
}

// A name does not lead where only the node can go.
func TestMetadata(t *testing.T) {
	n := address.System()
	n.Lookup = func(context.Context, string) ([]netip.Addr, error) {
		return []netip.Addr{netip.MustParseAddr("169.254.169.254")}, nil
	}
	n.Dial = func(context.Context, netip.AddrPort) (net.Conn, error) { panic("called") }
	note(t, asking(t, Options{network: &n}, "broker: mqtt://broker.example\nhomie: {}", nil),
		"mqtt://broker.example:1883: 169.254.169.254 is a cloud's metadata service")
}

// A broker that cannot be reached is not called all the time.
func TestBackOff(t *testing.T) {
	if reconnect.Delay(1) > time.Second || reconnect.Delay(100) < 30*time.Second || reconnect.Jitter == 0 {
		t.Errorf("%+v", reconnect)
	}
	b := mqtttest.Start(t)
	b.Be(mqtttest.Faults{Talk: func(net.Conn) {}})
	reports := asking(t, Options{}, "broker: "+b.URL+"\nhomie: {}", nil)
	note(t, reports, "closes the connection")
	homie(b, "one", "ready")
	b.Be(mqtttest.Faults{})
	wait(t, reports, "homie/one")
	eventually.Succeeds(t, eventually.Patience, func(context.Context) error {
		if got := b.Subscribed(); len(got) != 7 {
			return fmt.Errorf("subscribed to %q", got)
		}
		return nil
	})
}
