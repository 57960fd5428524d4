package ua_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"reflect"
	"slices"
	"strings"
	"testing"

	gopcua "github.com/gopcua/opcua/ua"

	"github.com/akri-go/akri/internal/handlers/opcua/opcuatest"
	"github.com/akri-go/akri/internal/handlers/opcua/ua"
	"github.com/akri-go/akri/internal/leaktest"
)

// all asks everything that there is.
type all struct {
	found     ua.Found
	heard     []ua.NetworkServer
	total     int
	endpoints ua.Endpoints
}

func ask(ctx context.Context, conn net.Conn, url string) (a all, err error) {
	c, err := ua.Open(ctx, conn, url)
	if err != nil {
		return a, fmt.Errorf("open: %w", err)
	}
	defer c.Close()
	if a.found, err = c.FindServers(); err != nil {
		return a, fmt.Errorf("FindServers: %w", err)
	}
	if a.endpoints, err = c.GetEndpoints(); err != nil {
		return a, fmt.Errorf("GetEndpoints: %w", err)
	}
	if a.heard, a.total, err = c.FindServersOnNetwork(); err != nil {
		return a, fmt.Errorf("FindServersOnNetwork: %w", err)
	}
	return a, nil
}

func connect(t testing.TB, address string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// plenty is what a discovery server says that knows others. Its certificates are
// short, since each byte is tried.
func plenty() opcuatest.Says {
	says := plentyWhole()
	for _, e := range says.Endpoints {
		e.ServerCertificate = e.ServerCertificate[:20]
	}
	return says
}

func plentyWhole() opcuatest.Says {
	client := opcuatest.Application("urn:c", "C")
	client.ApplicationType = gopcua.ApplicationTypeClient
	both := opcuatest.Application("urn:b", "Bühne", "opc.tcp://b:1", "opc.tcp://b:2/x")
	both.ApplicationType = gopcua.ApplicationTypeClientAndServer
	both.ApplicationName = gopcua.NewLocalizedTextWithLocale("Bühne", "de")
	nameless := opcuatest.Application("", "")
	nameless.ApplicationName = &gopcua.LocalizedText{}
	return opcuatest.Says{
		Servers: []*gopcua.ApplicationDescription{opcuatest.Application("urn:a", "A\nB", "opc.tcp://a:1"), client, both, nameless},
		OnNetwork: []*gopcua.ServerOnNetwork{
			{RecordID: 1, ServerName: "near", DiscoveryURL: "opc.tcp://near:4840", ServerCapabilities: []string{"DA"}},
			{RecordID: 2, ServerName: "lds", DiscoveryURL: "opc.tcp://lds:4840", ServerCapabilities: []string{"DA", "LDS"}},
		},
		Endpoints: []*gopcua.EndpointDescription{
			opcuatest.Endpoint(both, "None", gopcua.MessageSecurityModeNone),
			opcuatest.Endpoint(both, "Basic256Sha256", gopcua.MessageSecurityModeSign),
			opcuatest.Endpoint(both, "Basic256Sha256", gopcua.MessageSecurityModeSignAndEncrypt),
			opcuatest.Endpoint(both, "Basic256Sha256", 9),
			opcuatest.Endpoint(both, strings.Repeat("x", 100), gopcua.MessageSecurityModeSign),
		},
	}
}

var wantPlenty = all{
	found: ua.Found{Total: 4, Applications: []ua.Application{
		{URI: "urn:a", ProductURI: "urn:product", Name: "A\uFFFDB", DiscoveryURLs: []string{"opc.tcp://a:1"}},
		{URI: "urn:c", ProductURI: "urn:product", Name: "C", Type: ua.Client},
		{URI: "urn:b", ProductURI: "urn:product", Name: "Bühne", Type: ua.ClientAndServer,
			DiscoveryURLs: []string{"opc.tcp://b:1", "opc.tcp://b:2/x"}},
		{ProductURI: "urn:product"},
	}},
	heard: []ua.NetworkServer{
		{Name: "near", DiscoveryURL: "opc.tcp://near:4840"}, {Name: "lds", DiscoveryURL: "opc.tcp://lds:4840", IsDiscovery: true},
	},
	total: 2,
	endpoints: ua.Endpoints{
		Server: ua.Application{URI: "urn:b", ProductURI: "urn:product", Name: "Bühne", Type: ua.ClientAndServer,
			DiscoveryURLs: []string{"opc.tcp://b:1", "opc.tcp://b:2/x"}},
		Policies: []string{"Basic256Sha256", "None"}, Modes: []string{"None", "Sign", "SignAndEncrypt"},
	},
}

// Answers are understood in one chunk and in many, and however they arrive.
func TestAnswers(t *testing.T) {
	leaktest.Check(t)
	for _, chunk := range []int{0, 1, 7, 500} {
		for name, wrap := range map[string]func(net.Conn) net.Conn{
			"whole": nil, "byte by byte": func(c net.Conn) net.Conn { return slow{c} },
		} {
			s := opcuatest.Start(t)
			s.Cut(chunk)
			s.Wrap(wrap)
			s.Say(plenty())
			got, err := ask(t.Context(), connect(t, s.Address()), s.URL)
			if err != nil || !reflect.DeepEqual(got, wantPlenty) {
				t.Errorf("chunks of %d, %s: %v\n%+v, want\n%+v", chunk, name, err, got, wantPlenty)
			}
			s.Close()
		}
	}
}

// slow is a connection where each byte is written alone.
type slow struct{ net.Conn }

func (s slow) Write(p []byte) (int, error) {
	for i := range p {
		if _, err := s.Conn.Write(p[i : i+1]); err != nil {
			return i, err
		}
	}
	return len(p), nil
}

// scripted is a connection where the server says what it says, whatever it is
// asked, and then closes.
type scripted struct {
	net.Conn
	says io.Reader
}

func (s scripted) Read(p []byte) (int, error)  { return s.says.Read(p) }
func (s scripted) Write(p []byte) (int, error) { return len(p), nil }
func (s scripted) Close() error                { return nil }

// script is what a server says to all that ask asks.
func script(says opcuatest.Says) []byte {
	b := append(opcuatest.Acknowledge(), opcuatest.Opened()...)
	b = append(b, opcuatest.Answer(2, says.Body(&gopcua.FindServersRequest{}), 0)...)
	b = append(b, opcuatest.Answer(3, says.Body(&gopcua.GetEndpointsRequest{}), 5000)...)
	return append(b, opcuatest.Answer(4, says.Body(&gopcua.FindServersOnNetworkRequest{}), 0)...)
}

// A server that hangs up after any of its bytes is an error, and only that.
func TestClosedAtEachByte(t *testing.T) {
	whole := script(plenty())
	if got, err := ask(t.Context(), scripted{says: bytes.NewReader(whole)}, "u"); err != nil || !reflect.DeepEqual(got, wantPlenty) {
		t.Fatalf("%v, %+v", err, got)
	}
	for n := range whole {
		if _, err := ask(t.Context(), scripted{says: bytes.NewReader(whole[:n])}, "u"); err == nil {
			t.Errorf("closed after %d of %d bytes: no error", n, len(whole))
		}
	}
}

// What a hostile server says is refused, with an error that a person understands,
// or passed over.
func TestHostile(t *testing.T) {
	ack, opened := opcuatest.Acknowledge(), opcuatest.Opened()
	words := opcuatest.Words
	const none = 1<<32 - 1
	join := func(parts ...[]byte) []byte { return slices.Concat(parts...) }
	ok := join(make([]byte, 8), words(2, 0), []byte{0}, words(none), []byte{0, 0, 0}) // a header
	servers := join([]byte{1, 0, 0xa9, 1}, ok)                                        // of a FindServersResponse
	answer := func(body ...[]byte) []byte { return join(ack, opened, opcuatest.Answer(2, join(body...), 0)) }
	for _, tt := range []struct {
		name string
		says []byte
		want string
	}{
		{"HTTP", []byte("HTTP/1.1 400 Bad Request\r\n\r\n"), `the server answers "HTTP/1.1", which is not OPC UA`},
		{"nothing", nil, "is it an OPC UA server?"},
		{"refuses", opcuatest.Message("ERRF", append(words(0x807d0000, 4), "busy"...)), "refuses: BadTcpServerTooBusy: busy"},
		{"refuses for a long reason", opcuatest.Message("ERRF", append(words(0x807d0000, 5000), make([]byte, 5000)...)), "BadTcpServerTooBusy"},
		{"a huge chunk", append([]byte("ACKF"), words(1<<31)...), "a chunk of 2147483648 bytes"},
		{"a tiny chunk", append([]byte("ACKF"), words(7)...), "a chunk of 7 bytes"},
		{"small chunks only", opcuatest.Message("ACKF", words(0, 100, 100, 0, 0)), "chunks of 100 bytes only"},
		{"a short ACK", opcuatest.Message("ACKF", words(0)), "ends too soon"},
		{"no ACK", opened, "sends OPN where ACK was due"},
		{"ACK twice", join(ack, ack), "sends ACK where OPN was due"},
		{"security", join(ack, opcuatest.Message("OPNF", join(words(1, 5), []byte("other"), words(none, none, 1, 1)))), `wants the security policy "other"`},
		{"another request", join(ack, opened, opcuatest.Answer(9, servers, 0)), "answers request 9, and 2 was asked"},
		{"another type", answer([]byte{1, 0, 0xac, 1}, ok), "an answer of type 428"},
		{"a number of another namespace", answer([]byte{1, 5, 0xa9, 1}, ok), "an answer of type 0"},
		{"an odd NodeId", answer([]byte{0x3f}), "NodeId of kind 0x3f"},
		{"an odd chunk", join(ack, opened, opcuatest.Message("MSGX", words(7, 1, 2, 2))), `a chunk of kind 'X'`},
		{"thinks better of it", join(ack, opened, opcuatest.Answer(2, servers, 0)[:0], opcuatest.Message("MSGA", join(words(7, 1, 2, 2, 0x80080000, 3), []byte("big")))), "BadEncodingLimitsExceeded: big"},
		{"a fault without a status", answer([]byte{1, 0, 0x8d, 1}, ok), "not why"},
		{"a huge count", answer(servers, words(1<<31-1)), "ends too soon"},
		{"a negative count", answer(servers, words(1<<31)), "a length of -2147483648"},
		{"a huge text", answer(servers, words(1, 1<<31-1)), "ends too soon"},
		{"a huge list of URLs", answer(servers, words(1, none, none), []byte{0}, words(0, none, none, 1<<31-1)), "ends too soon"},
		{"a huge table of texts", answer([]byte{1, 0, 0xa9, 1}, make([]byte, 8), words(2, 0), []byte{0}, words(1<<31-1)), "ends too soon"},
		{"an odd ExtensionObject", answer([]byte{1, 0, 0xa9, 1}, make([]byte, 8), words(2, 0), []byte{0}, words(none), []byte{0, 0, 9}), "ExtensionObject of kind 9"},
	} {
		_, err := ask(t.Context(), scripted{says: bytes.NewReader(tt.says)}, "u")
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %s", tt.name, err, tt.want)
		}
	}
}

// repeat says a beginning, and then the same again and again.
type repeat struct {
	begin bytes.Reader
	again []byte
	at    int
	read  int
}

func (r *repeat) Read(p []byte) (int, error) {
	n, _ := r.begin.Read(p)
	for n == 0 || n < len(p) {
		m := copy(p[n:], r.again[r.at:])
		n, r.at = n+m, (r.at+m)%len(r.again)
	}
	r.read += n
	return n, nil
}

// An answer without an end, of whatever it is made, is given up after MaxAnswer.
func TestEndless(t *testing.T) {
	begin := append(opcuatest.Acknowledge(), opcuatest.Opened()...)
	words := opcuatest.Words
	header := append(make([]byte, 8), words(2, 0)...)
	for name, again := range map[string][]byte{
		"chunks":            opcuatest.Message("MSGC", append(words(7, 1, 2, 2), make([]byte, 60_000)...)),
		"chunks of nothing": opcuatest.Message("MSGC", words(7, 1, 2, 2)),
		// DiagnosticInfos, each in the one before: a reader that recurses runs out
		// of stack, which cannot be recovered from.
		"nested diagnostics": opcuatest.Message("MSGC", append(words(7, 1, 2, 2), bytes.Repeat([]byte{0x40}, 60_000)...)),
	} {
		first := opcuatest.Message("MSGC", append(words(7, 1, 2, 2), append([]byte{1, 0, 0xa9, 1}, header...)...))
		says := &repeat{begin: *bytes.NewReader(append(slices.Clone(begin), first...)), again: again}
		_, err := ask(t.Context(), scripted{says: says}, "u")
		if !errors.Is(err, ua.ErrTooLarge) {
			t.Errorf("%s: %v", name, err)
		}
		if says.read > ua.MaxAnswer+1<<17 {
			t.Errorf("%s: %d bytes were read", name, says.read)
		}
	}
}

// Of what is more than anybody needs a part is kept, and the rest counted.
func TestLimits(t *testing.T) {
	many := opcuatest.Says{}
	for i := range ua.MaxEntries + 5 {
		many.Servers = append(many.Servers, opcuatest.Application(fmt.Sprintf("urn:%d", i), "N", "opc.tcp://a:1"))
		many.OnNetwork = append(many.OnNetwork, &gopcua.ServerOnNetwork{ServerName: "N", DiscoveryURL: "opc.tcp://a:1"})
	}
	urls := slices.Repeat([]string{"opc.tcp://a:1"}, 100)
	long := opcuatest.Says{Servers: []*gopcua.ApplicationDescription{
		opcuatest.Application(strings.Repeat("x", ua.MaxText), "as long as it may be"),
		opcuatest.Application(strings.Repeat("x", ua.MaxText+1), "too long"),
		opcuatest.Application("urn:urls", "many URLs", urls...),
	}}
	texts := opcuatest.Says{}
	for range 2 * ua.MaxTexts / ua.MaxText {
		texts.Servers = append(texts.Servers, opcuatest.Application(strings.Repeat("x", ua.MaxText-20), "N"))
	}
	for _, tt := range []struct {
		name        string
		says        opcuatest.Says
		kept, total int
	}{
		{"many", many, ua.MaxEntries, ua.MaxEntries + 5}, {"long", long, 2, 3},
		{"much text", texts, ua.MaxTexts / (ua.MaxText - 20 + len("urn:productN")), 2 * ua.MaxTexts / ua.MaxText},
	} {
		server := opcuatest.Application("urn:own", "own")
		tt.says.Endpoints = []*gopcua.EndpointDescription{opcuatest.Endpoint(server, "None", 1)}
		if tt.says.OnNetwork == nil {
			tt.says.OnNetwork = []*gopcua.ServerOnNetwork{}
		}
		s := opcuatest.Start(t)
		s.Cut(30_000)
		s.Say(tt.says)
		got, err := ask(t.Context(), connect(t, s.Address()), s.URL)
		if err != nil || len(got.found.Applications) != tt.kept || got.found.Total != tt.total {
			t.Errorf("%s: %d of %d, %v", tt.name, len(got.found.Applications), got.found.Total, err)
		}
		if tt.name == "many" && (len(got.heard) != ua.MaxEntries || got.total != ua.MaxEntries+5) {
			t.Errorf("heard of %d of %d", len(got.heard), got.total)
		}
		for _, a := range got.found.Applications {
			if len(a.DiscoveryURLs) > 16 {
				t.Errorf("%d URLs", len(a.DiscoveryURLs))
			}
		}
	}
}

func TestRefused(t *testing.T) {
	s := opcuatest.Start(t)
	s.Say(opcuatest.Says{Fault: gopcua.StatusBadServiceUnsupported})
	_, err := ask(t.Context(), connect(t, s.Address()), s.URL)
	if !ua.Unsupported(err) || !strings.Contains(err.Error(), "BadServiceUnsupported") {
		t.Errorf("%v", err)
	}
	if ua.Unsupported(errors.New("other")) || ua.Unsupported(&ua.StatusError{Status: 0x80020000}) {
		t.Error("other errors count too")
	}
	if text := ua.Status(0x80990000).String(); text != "status 0x80990000" {
		t.Errorf("%s", text)
	}
}

// A call ends with its context, and leaves nothing behind.
func TestEndsWithContext(t *testing.T) {
	leaktest.Check(t)
	s := opcuatest.Start(t)
	s.Say(opcuatest.Says{Silent: true})
	ctx, cancel := context.WithCancel(t.Context())
	c, err := ua.Open(ctx, connect(t, s.Address()), s.URL)
	if err != nil {
		t.Fatal(err)
	}
	go cancel()
	if _, err := c.FindServers(); err == nil {
		t.Error("no error")
	}
	c.Close()
}

// FuzzAnswers reads whatever a server may say. What gopcua's server and
// node-opcua's discovery server say was recorded, and is in testdata.
func FuzzAnswers(f *testing.F) {
	f.Add(script(plenty()))
	f.Add(script(opcuatest.Alone("opc.tcp://a:1")))
	f.Add(script(opcuatest.Says{Fault: gopcua.StatusBadTimeout}))
	f.Fuzz(func(t *testing.T, says []byte) {
		got, err := ask(t.Context(), scripted{says: bytes.NewReader(says)}, "opc.tcp://a:1")
		if err == nil && got.found.Total < len(got.found.Applications) {
			t.Errorf("%d of %d", len(got.found.Applications), got.found.Total)
		}
		texts := 0
		for _, a := range append(got.found.Applications, got.endpoints.Server) {
			for _, text := range append(a.DiscoveryURLs, a.URI, a.ProductURI, a.Name) {
				// A byte that is no UTF-8 becomes three.
				if texts += len(text); len(text) > 3*ua.MaxText || strings.ContainsAny(text, "\x00\n\x1b") {
					t.Errorf("text %.100q", text)
				}
			}
		}
		if len(got.found.Applications) > ua.MaxEntries || len(got.heard) > ua.MaxEntries || texts > 6*ua.MaxTexts {
			t.Errorf("%d applications, %d heard of, %d bytes", len(got.found.Applications), len(got.heard), texts)
		}
	})
}
