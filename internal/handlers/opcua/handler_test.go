package opcua

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	gopcua "github.com/gopcua/opcua/ua"

	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/discovery/discoverytest"
	"github.com/akri-go/akri/internal/eventually"
	"github.com/akri-go/akri/internal/handlers/address"
	"github.com/akri-go/akri/internal/handlers/handlertest"
	"github.com/akri-go/akri/internal/handlers/opcua/details"
	"github.com/akri-go/akri/internal/handlers/opcua/opcuatest"
)

func quietly() *slog.Logger { return slog.New(slog.DiscardHandler) }

// listing is what a discovery server says that knows servers of some names, at a
// port where nobody answers.
func listing(names ...string) opcuatest.Says {
	says := opcuatest.Says{Endpoints: []*gopcua.EndpointDescription{
		opcuatest.Endpoint(opcuatest.Application("urn:lds", "LDS"), "None", gopcua.MessageSecurityModeNone)}}
	lds := opcuatest.Application("urn:lds", "LDS", "opc.tcp://127.0.0.1:1/lds")
	lds.ApplicationType = gopcua.ApplicationTypeDiscoveryServer
	says.Servers = append(says.Servers, lds)
	for _, name := range names {
		says.Servers = append(says.Servers, opcuatest.Application("urn:"+name, name, "opc.tcp://127.0.0.1:1/"+name))
	}
	return says
}

func TestConformance(t *testing.T) {
	discoverytest.Run(t, func(t *testing.T) discoverytest.Fixture {
		lds := opcuatest.Start(t)
		lds.Say(listing("one", "two", "three"))
		one, two, three := "opc.tcp://127.0.0.1:1/one", "opc.tcp://127.0.0.1:1/two", "opc.tcp://127.0.0.1:1/three"
		return discoverytest.Fixture{
			Handler: New(Options{Patience: time.Minute, Log: quietly(), rhythm: handlertest.Quick}),
			Request: discovery.Request{Details: "discoveryUrls: [" + lds.URL + "]"},
			Present: []string{one, two, three},
			Unplug:  func() []string { lds.Say(listing("one", "three")); return []string{one, three} },
			Plug:    func() []string { lds.Say(listing("one", "two", "three")); return []string{one, two, three} },
			Invalid: discovery.Request{Details: "discoveryUrls: [http://a]"},
			AlsoInvalid: []discovery.Request{
				{Details: "\t"}, {Details: "7"}, {Details: "discoveryUrls: []"}, {Details: "interval: soon"}, {Details: "other: 1"},
			},
			Nothing: &discovery.Request{Details: "discoveryUrls: [" + lds.URL + "]\napplicationNames: {items: [four]}"},
		}
	})
}

// asking asks a handler, and returns its reports.
func asking(t *testing.T, o Options, text string) <-chan discovery.Report {
	t.Helper()
	o.Log, o.rhythm = quietly(), handlertest.Quick
	return handlertest.Ask(t, New(o), text)
}

// A server is asked itself, is reported with what it offers, and is lost some
// looks after it has gone.
func TestServer(t *testing.T) {
	s := opcuatest.Start(t)
	var looks atomic.Int64
	reports := asking(t, Options{Looked: func(time.Duration) { looks.Add(1) }}, "discoveryUrls: ["+s.URL+"]")
	r := handlertest.Until(t, reports, "it is there", func(r discovery.Report) bool { return handlertest.IDs(r) == s.URL })
	p := r.Devices[0].Properties
	if p[details.PropertyModes] != "None,SignAndEncrypt" || p[details.PropertyPolicies] != "Basic256Sha256,None" || p[details.PropertyName] != "Server" {
		t.Errorf("properties %v", p)
	}
	address := s.Address()
	s.Close()
	handlertest.Until(t, reports, "it is gone", func(r discovery.Report) bool {
		return handlertest.IDs(r) == "" && strings.Contains(r.Note, "connection refused")
	})
	if looks.Load() < lostAfterLooks+1 {
		t.Errorf("%d looks were timed", looks.Load())
	}
	again := opcuatest.StartAt(t, address)
	handlertest.Until(t, reports, "it is back", func(r discovery.Report) bool { return handlertest.IDs(r) == again.URL && r.Note == "" })
}

// A URL where nobody answers, one where somebody takes connections and says
// nothing, and one that talks without end hold up no other.
func TestOthersDoNotMatter(t *testing.T) {
	good, silent, endless := opcuatest.Start(t), opcuatest.Start(t), opcuatest.Start(t)
	silent.Say(opcuatest.Says{Silent: true})
	endless.Wrap(func(c net.Conn) net.Conn { return talkative{c} })
	reports := asking(t, Options{Patience: time.Millisecond},
		fmt.Sprintf("discoveryUrls: [opc.tcp://127.0.0.1:1, %s, %s, %s]", silent.URL, endless.URL, good.URL))
	handlertest.Until(t, reports, "the good one is there", func(r discovery.Report) bool {
		return handlertest.IDs(r) == good.URL && strings.Contains(r.Note, silent.URL+": not all is known yet") &&
			strings.Contains(r.Note, "opc.tcp://127.0.0.1:1: connection refused") &&
			strings.Contains(r.Note, endless.URL+": the server sends an answer of type 0")
	})
	if n := good.Asked("FindServersRequest"); n == 0 {
		t.Error("it was not asked")
	}
}

// talkative never ends an answer.
type talkative struct{ net.Conn }

func (c talkative) Write(p []byte) (int, error) {
	if !bytes.HasPrefix(p, []byte("MSG")) {
		return c.Conn.Write(p)
	}
	chunk := opcuatest.Message("MSGC", append(opcuatest.Words(7, 1, 2, 2), make([]byte, 60_000)...))
	for {
		if _, err := c.Conn.Write(chunk); err != nil {
			return 0, err
		}
	}
}

// A discovery server tells of servers at addresses that are not called, and of
// some whose host only it knows.
func TestWhereServersAre(t *testing.T) {
	server, lds := opcuatest.Start(t), opcuatest.Start(t)
	_, port, _ := net.SplitHostPort(server.Address())
	lds.Say(opcuatest.Says{Servers: []*gopcua.ApplicationDescription{
		opcuatest.Application("urn:metadata", "metadata", "opc.tcp://169.254.169.254:80"),
		opcuatest.Application("urn:name", "name", "opc.tcp://no-such-host.invalid:"+port+"/x"),
		opcuatest.Application("urn:later", "later", "opc.tcp://later.invalid:1"),
		opcuatest.Application("urn:web", "web", "https://127.0.0.1:1"),
	}})
	n := address.System()
	n.Lookup = hostsOf
	dial := n.Dial
	n.Dial = guard(t, dial)
	reports := asking(t, Options{network: &n}, "discoveryUrls: ["+lds.URL+"]")
	r := handlertest.Until(t, reports, "one is there", func(r discovery.Report) bool { return handlertest.IDs(r) == "opc.tcp://127.0.0.1:"+port+"/x" })
	if r.Devices[0].Properties[details.PropertyModes] == "" {
		t.Errorf("it was not asked: %v", r.Devices[0].Properties)
	}
	for _, want := range []string{`server "metadata": 169.254.169.254 is a cloud's metadata service`, `server "later": its host cannot be looked up`} {
		if !strings.Contains(r.Note, want) {
			t.Errorf("no %s in %s", want, r.Note)
		}
	}
}

// A server that was heard of by multicast says itself what it is.
func TestHeardOf(t *testing.T) {
	server, lds := opcuatest.Start(t), opcuatest.Start(t)
	says := listing()
	says.OnNetwork = []*gopcua.ServerOnNetwork{
		{ServerName: "near", DiscoveryURL: server.URL},
		{ServerName: "lds", DiscoveryURL: lds.URL, ServerCapabilities: []string{"LDS"}},
		{ServerName: "dead", DiscoveryURL: "opc.tcp://127.0.0.1:1"},
	}
	lds.Say(says)
	reports := asking(t, Options{}, "discoveryUrls: ["+lds.URL+"]")
	r := handlertest.Until(t, reports, "it is there", func(r discovery.Report) bool { return handlertest.IDs(r) == server.URL })
	if r.Devices[0].Properties[details.PropertyURI] != "urn:server:"+server.URL {
		t.Errorf("%v", r.Devices)
	}
	says.OnNetwork = []*gopcua.ServerOnNetwork{}
	lds.Say(says)
	server.Close()
	handlertest.Until(t, reports, "it is gone", func(r discovery.Report) bool { return handlertest.IDs(r) == "" })
}

// A discovery server that was restarted knows nobody. The servers that answer
// stay until they have registered again.
func TestDiscoveryServerForgets(t *testing.T) {
	server, lds := opcuatest.Start(t), opcuatest.Start(t)
	says := listing()
	says.Servers = append(says.Servers, opcuatest.Application("urn:server:"+server.URL, "Server", server.URL))
	lds.Say(says)
	reports := asking(t, Options{}, "discoveryUrls: ["+lds.URL+"]")
	handlertest.Until(t, reports, "it is there", func(r discovery.Report) bool { return handlertest.IDs(r) == server.URL })
	lds.Say(listing())
	before := server.Asked("GetEndpointsRequest")
	eventually.Succeeds(t, eventually.Patience, func(context.Context) error {
		select {
		case r := <-reports:
			if handlertest.IDs(r) != server.URL {
				t.Fatalf("reported %q, note %q", handlertest.IDs(r), r.Note)
			}
		default:
		}
		if n := server.Asked("GetEndpointsRequest") - before; n < 3 {
			return fmt.Errorf("it was asked %d times", n)
		}
		return nil
	})
	server.Close()
	handlertest.Until(t, reports, "it is gone", func(r discovery.Report) bool { return handlertest.IDs(r) == "" })
}

// Servers that are not wanted are left alone.
func TestUnwantedServers(t *testing.T) {
	silent, lds := opcuatest.Start(t), opcuatest.Start(t)
	silent.Say(opcuatest.Says{Silent: true})
	says := listing("quick")
	for i := range 100 {
		says.Servers = append(says.Servers, opcuatest.Application(fmt.Sprint("urn:", i), "slow", fmt.Sprint(silent.URL, "/", i)))
	}
	lds.Say(says)
	reports := asking(t, Options{Patience: time.Millisecond}, "discoveryUrls: ["+lds.URL+"]\napplicationNames: {items: [quick]}")
	handlertest.Until(t, reports, "the quick one is there", func(r discovery.Report) bool { return handlertest.IDs(r) == "opc.tcp://127.0.0.1:1/quick" })
	if n := silent.Connected(); n != 0 {
		t.Errorf("servers that nobody wants were asked %d times", n)
	}
}

// Servers that hang do not keep their discovery server from being asked.
func TestServersThatHang(t *testing.T) {
	silent, lds := opcuatest.Start(t), opcuatest.Start(t)
	silent.Say(opcuatest.Says{Silent: true})
	says := listing()
	for i := range 20 {
		says.Servers = append(says.Servers, opcuatest.Application(fmt.Sprint("urn:", i), "slow", fmt.Sprint(silent.URL, "/", i)))
	}
	lds.Say(says)
	reports := asking(t, Options{Patience: time.Millisecond}, "discoveryUrls: ["+lds.URL+"]")
	handlertest.Until(t, reports, "they are awaited", func(r discovery.Report) bool { return strings.Contains(r.Note, "not all is known yet") })
	before := lds.Asked("FindServersRequest")
	eventually.Succeeds(t, eventually.Patience, func(context.Context) error {
		if n := lds.Asked("FindServersRequest"); n < before+3 {
			return fmt.Errorf("asked %d times", n-before)
		}
		return nil
	})
	if n := silent.Connected(); n > maxAsked {
		t.Errorf("%d servers were asked at once", n)
	}
}

// A log line says once what is wrong, and once that it is well again.
func TestLog(t *testing.T) {
	var out bytes.Buffer
	c := collection{details: mustDetails(t, "discoveryUrls: [opc.tcp://a]"), states: make([]state, 1),
		log: slog.New(slog.NewTextHandler(&out, nil))}
	for _, problem := range []string{"", "dead", "dead", "worse", "", ""} {
		c.note(0, state{settled: true, problem: problem})
	}
	if n := strings.Count(out.String(), "\n"); n != 3 || !strings.Contains(out.String(), "answers again") {
		t.Errorf("%d lines\n%s", n, out.String())
	}
}
