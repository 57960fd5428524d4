package main

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/akri-go/akri/bounded"
	"github.com/akri-go/akri/internal/freeport"
	"github.com/akri-go/akri/internal/handlers/opcua/opcuatest"
	"github.com/akri-go/akri/internal/leaktest"
	"github.com/akri-go/akri/samples/opcuanode"
)

// A node's value comes as it changes; when the server dies and comes back, the broker
// says so and goes on.
func TestServer(t *testing.T) {
	server := opcuatest.StartThermometer(t, "", nil, 75.0)
	b := start(t, "OPCUA_DISCOVERY_URL_ABCDEF="+server.URL)
	b.gives(75)
	for _, v := range []float64{76.5, -3, 76.5} {
		server.Set(v)
		b.gives(v)
	}
	server.Set("a text")
	b.lacks("the node's value is no number, but a string")
	server.Set(int16(80))
	b.gives(80)
	if n := strings.Count(b.log.String(), "msg=connected"); n != 1 {
		t.Errorf("it has connected %d times for values that were there all the time", n)
	}
	server.Close()
	b.lacks("connection")
	opcuatest.StartThermometer(t, strings.TrimPrefix(server.URL, "opc.tcp://"), nil, 70.0)
	b.gives(70)
}

// With certificates as upstream's chart mounts them: encrypted, and not with a server
// that is not trusted.
func TestSecurity(t *testing.T) {
	ca := certificate(t, "ca", key(t, 0), nil, authority)
	own := certificate(t, "broker", key(t, 1), ca, nil)
	its := certificate(t, "server", key(t, 2), ca, nil)
	server := opcuatest.StartThermometer(t, "", &opcuatest.Identity{Certificate: its.Raw, Key: its.key}, 75.0)
	folder := func(trusted []byte) string {
		return "CREDENTIAL_DIRECTORY=" + mount(t, map[string][]byte{"own/certs/AkriBroker.der": own.Raw,
			"own/private/AkriBroker.pem": x509.MarshalPKCS1PrivateKey(own.key), "trusted/certs/SomeCA.der": trusted, "trusted/crl/SomeCA.crl": revoke(t, ca).Raw})
	}
	url := "OPCUA_DISCOVERY_URL=" + server.URL
	t.Run("trusted", func(t *testing.T) {
		b := start(t, url, folder(ca.Raw), "OPCUA_APPLICATION_URI=urn:test:server")
		b.gives(75)
		server.Set(76.0)
		b.gives(76)
	})
	t.Run("not trusted", func(t *testing.T) { start(t, url, folder(own.Raw)).lacks("is not trusted") })
	t.Run("another application", func(t *testing.T) {
		start(t, url, folder(ca.Raw), "OPCUA_APPLICATION_URI=urn:test:other").lacks("was found as")
	})
	t.Run("no certificates", func(t *testing.T) { start(t, url).lacks("mount certificates") })
	t.Run("no key", func(t *testing.T) {
		start(t, url, "CREDENTIAL_DIRECTORY="+mount(t, map[string][]byte{"own/certs/a.der": own.Raw})).lacks("read the broker's key")
	})
}

// A server without security does not get a broker that has certificates.
func TestNoWeakerSecurity(t *testing.T) {
	ca := certificate(t, "ca", key(t, 0), nil, authority)
	own := certificate(t, "broker", key(t, 1), ca, nil)
	server := opcuatest.StartThermometer(t, "", nil, 75.0)
	dir := mount(t, map[string][]byte{"own/certs/AkriBroker.der": own.Raw, "own/private/k.pem": x509.MarshalPKCS1PrivateKey(own.key), "trusted/certs/ca.der": ca.Raw})
	start(t, "OPCUA_DISCOVERY_URL="+server.URL, "CREDENTIAL_DIRECTORY="+dir).lacks("the server offers None only")
}

func TestNoSuchNode(t *testing.T) {
	server := opcuatest.StartThermometer(t, "", nil, 75.0)
	start(t, "OPCUA_DISCOVERY_URL="+server.URL, "IDENTIFIER=Other").lacks("the server has no such node: look at IDENTIFIER")
}

// Servers that do not keep to the protocol: the broker says what they do, and goes
// on when there is one that does.
func TestHostile(t *testing.T) {
	hello := func(c net.Conn, then ...[]byte) {
		_, _ = c.Read(make([]byte, 1024)) // its Hello
		for _, b := range then {
			if _, err := c.Write(b); err != nil {
				return
			}
		}
		_, _ = io.Copy(io.Discard, c)
	}
	for _, c := range []struct {
		name string
		does func(net.Conn)
		want string
	}{
		{"hangs up", func(net.Conn) {}, "the server has ended the connection"},
		{"another service", func(c net.Conn) { hello(c, []byte("HTTP/1.1 400 Bad Request\r\n\r\n")) }, `it answers "HTTP/1.1", which is not OPC UA`},
		{"an end in the middle", func(c net.Conn) { _, _ = c.Read(make([]byte, 1024)); _, _ = c.Write(acknowledged[:12]) }, "in the middle of a message"},
		{"a memory of 4 GiB", func(c net.Conn) {
			hello(c, chunk("ACKF", words(0, 1<<32-1, 1<<32-1, 0, 0)), []byte("MSGF\xff\xff\xff\xff"))
		}, "it sends a chunk of 4294967295 bytes"},
		{"chunks without end", func(c net.Conn) {
			_, _ = c.Read(make([]byte, 1024))
			_, err := c.Write(acknowledged)
			_, _ = c.Read(make([]byte, 1024)) // the opening of a channel
			if err == nil {
				_, err = c.Write(opcuatest.Opened())
			}
			for err == nil {
				_, err = c.Write(chunk("MSGC", append(words(7, 1, 2, 2), make([]byte, 60_000)...)))
			}
		}, "its messages are too long"},
		{"a channel before it is asked for", func(c net.Conn) { hello(c, append(acknowledged, opcuatest.Opened()...)) }, "it was not asked for"},
		{"a channel that does not open", func(c net.Conn) { hello(c, acknowledged) }, "open a secure channel with None: the server does not answer in time"},
		{"half of one", func(c net.Conn) { hello(c, acknowledged, opcuatest.Opened()[:20]) }, "open a secure channel with None: the server does not answer in time"},
		{"a message before the channel", func(c net.Conn) { hello(c, acknowledged, chunk("MSGF", make([]byte, 100))) }, "open a secure channel with None"},
		{"an error", func(c net.Conn) { hello(c, chunk("ERRF", append(words(0x80010000, 4), "busy"...))) }, "connect to 127.0.0.1:"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, err := net.Listen("tcp", freeport.Address(t))
			if err != nil {
				t.Fatal(err)
			}
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				for {
					conn, err := l.Accept()
					if err != nil {
						return
					}
					c.does(conn)
					conn.Close()
				}
			}()
			defer func() { l.Close(); <-ended }()
			b := start(t, "OPCUA_DISCOVERY_URL=opc.tcp://"+l.Addr().String())
			b.lacks(c.want)
			if c.name != "chunks without end" {
				return // a server takes a second to start
			}
			l.Close()
			<-ended
			opcuatest.StartThermometer(t, l.Addr().String(), nil, 75.0)
			b.gives(75)
		})
	}
}

// serving serves readings that the test puts, at an address.
func serving(t *testing.T) (b *broker, address string) {
	t.Helper()
	leaktest.Check(t)
	s, err := parse([]string{"OPCUA_DISCOVERY_URL=opc.tcp://plc:4840", "IDENTIFIER=x", "METRICS_PORT=0"})
	if err != nil {
		t.Fatal(err)
	}
	b = newBroker(s, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.Background())
	listener, err := bounded.Listen(ctx, "127.0.0.1:0", bounded.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- b.serve(ctx, listener) }()
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return b, listener.Addr().String()
}

// What HTTP clients get.
func TestValue(t *testing.T) {
	b, address := serving(t)
	get := func() (int, string) {
		t.Helper()
		resp, err := http.Get("http://" + address + "/value")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(body)
	}
	if code, body := get(); code != http.StatusServiceUnavailable || body != "there is no value: no value has come yet\n" || b.ready() == nil {
		t.Errorf("%d %q", code, body)
	}
	b.latest.Put(reading{value: 75.5, taken: time.Unix(1000, 0).UTC()})
	code, body := get()
	want := `{"value":75.5,"server":"opc.tcp://plc:4840","node":"s=x","taken":"1970-01-01T00:16:40Z"}`
	if code != http.StatusOK || strings.TrimSpace(body) != want || !json.Valid([]byte(body)) || b.ready() != nil {
		t.Errorf("%d %s", code, body)
	}
}

// The stream gives what is there at once, and then what changes.
func TestStream(t *testing.T) {
	server := opcuatest.StartThermometer(t, "", nil, 1e10)
	b := start(t, "OPCUA_DISCOVERY_URL="+server.URL)
	b.gives(1e10)
	stream, err := b.client.StreamValues(t.Context(), &opcuanode.ValueRequest{})
	if err != nil {
		t.Fatal(err)
	}
	next := func(want float64) {
		t.Helper()
		m, err := stream.Recv()
		if err != nil || m.GetReading() != want || m.GetOpcuaServer() != server.URL || m.GetTakenUs() == 0 {
			t.Fatalf("%v, %v; want %g", m, err, want)
		}
		if want > math.MaxInt32 && m.GetValue() != math.MaxInt32 {
			t.Errorf("upstream's value is %d", m.GetValue())
		}
	}
	next(1e10)
	server.Set(2.0)
	next(2)
	server.Close()
	m, err := stream.Recv()
	if err != nil || m.Reading != nil || m.GetReason() == "" {
		t.Errorf("%v, %v", m, err)
	}
}

// One peer cannot take all places of streams.
func TestPlaces(t *testing.T) {
	b, address := serving(t)
	b.latest.Put(reading{value: 1})
	client := dial(t, address)
	for i := range maxPeerStreams {
		stream, err := client.StreamValues(t.Context(), &opcuanode.ValueRequest{})
		if err == nil {
			_, err = stream.Recv()
		}
		if err != nil {
			t.Fatalf("stream %d: %v", i, err)
		}
	}
	stream, err := client.StreamValues(t.Context(), &opcuanode.ValueRequest{})
	if err == nil {
		_, err = stream.Recv()
	}
	if status.Code(err) != codes.Unavailable {
		t.Errorf("one more: %v", err)
	}
	if m, err := client.GetValue(t.Context(), &opcuanode.ValueRequest{}); err != nil || m.GetValue() != 1 {
		t.Errorf("single values: %v, %v", m, err)
	}
}
