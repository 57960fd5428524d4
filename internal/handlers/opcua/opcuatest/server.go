// Package opcuatest has OPC UA servers for tests: one that says what a test wants
// it to, and real ones (node-opcua and gopcua). Only tests link it.
//
// What the first one says is encoded by the library gopcua, so that the
// handler's own reader is tested against other people's writer.
package opcuatest

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/gopcua/opcua/ua"
)

// Server is a pretended server on the loopback.
type Server struct {
	// URL is its own.
	URL      string
	listener net.Listener
	running  sync.WaitGroup

	mu        sync.Mutex
	says      Says
	chunk     int
	wrap      func(net.Conn) net.Conn
	conns     map[net.Conn]bool
	asked     map[string]int
	closed    bool
	connected int
}

// Says is what a server answers.
type Says struct {
	Servers   []*ua.ApplicationDescription
	OnNetwork []*ua.ServerOnNetwork // nil: it does not have the service
	Endpoints []*ua.EndpointDescription
	// Fault, if not 0, is the answer to all questions.
	Fault ua.StatusCode
	// Silent: it takes questions and does not answer.
	Silent bool
}

// Application makes the description of a server.
func Application(uri, name string, urls ...string) *ua.ApplicationDescription {
	return &ua.ApplicationDescription{
		ApplicationURI: uri, ProductURI: "urn:product", ApplicationType: ua.ApplicationTypeServer,
		ApplicationName: ua.NewLocalizedText(name), DiscoveryURLs: urls,
	}
}

// Endpoint makes the description of an endpoint.
func Endpoint(app *ua.ApplicationDescription, policy string, mode ua.MessageSecurityMode) *ua.EndpointDescription {
	e := &ua.EndpointDescription{
		Server: app, ServerCertificate: make([]byte, 1500), SecurityMode: mode,
		SecurityPolicyURI: "http://opcfoundation.org/UA/SecurityPolicy#" + policy,
		UserIdentityTokens: []*ua.UserTokenPolicy{
			{PolicyID: "anonymous"}, {PolicyID: "user", TokenType: ua.UserTokenTypeUserName},
		},
		TransportProfileURI: "http://opcfoundation.org/UA-Profile/Transport/uatcp-uasc-uabinary",
	}
	if len(app.DiscoveryURLs) > 0 {
		e.EndpointURL = app.DiscoveryURLs[0]
	}
	return e
}

// Start starts a server that knows itself alone, and ends it with the test.
func Start(t testing.TB) *Server { return StartAt(t, "127.0.0.1:0") }

// StartAt starts it at an address.
func StartAt(t testing.TB, address string) *Server {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{URL: "opc.tcp://" + l.Addr().String(), listener: l, conns: map[net.Conn]bool{}, asked: map[string]int{}}
	s.Say(Alone(s.URL))
	s.running.Go(s.accept)
	t.Cleanup(s.Close)
	return s
}

// Alone is what a server at a URL says that knows only itself.
func Alone(url string) Says {
	app := Application("urn:server:"+url, "Server", url)
	return Says{
		Servers: []*ua.ApplicationDescription{app},
		Endpoints: []*ua.EndpointDescription{
			Endpoint(app, "None", ua.MessageSecurityModeNone),
			Endpoint(app, "Basic256Sha256", ua.MessageSecurityModeSignAndEncrypt),
		},
	}
}

// Say changes what it answers.
func (s *Server) Say(says Says) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.says = says
}

// Cut has chunks of so many bytes of a body; 0 for any number.
func (s *Server) Cut(chunk int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.chunk = chunk
}

// Wrap puts something around connections that come from now on.
func (s *Server) Wrap(wrap func(net.Conn) net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wrap = wrap
}

// Address is host:port.
func (s *Server) Address() string { return s.listener.Addr().String() }

// Asked tells how often a service was asked for: FindServers, say.
func (s *Server) Asked(service string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[service]
}

// Connected tells how many connections there were.
func (s *Server) Connected() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.connected
}

// Close ends it.
func (s *Server) Close() {
	s.listener.Close()
	s.mu.Lock()
	s.closed = true
	for c := range s.conns {
		c.Close()
	}
	s.mu.Unlock()
	s.running.Wait()
}

func (s *Server) accept() {
	for {
		c, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.connected++
		if s.closed {
			c.Close()
		}
		s.conns[c] = true
		wrap := s.wrap
		s.mu.Unlock()
		s.running.Go(func() {
			defer func() {
				s.mu.Lock()
				delete(s.conns, c)
				s.mu.Unlock()
				c.Close()
			}()
			conn := c
			if wrap != nil {
				conn = wrap(c)
			}
			_ = s.serve(conn) // the client sees what went wrong
		})
	}
}

// Message makes a message of a kind, "MSGF" say.
func Message(kind string, body []byte) []byte {
	b := binary.LittleEndian.AppendUint32([]byte(kind), uint32(len(body)+8))
	return append(b, body...)
}

// Words are little endian numbers one after the other.
func Words(numbers ...uint32) (b []byte) {
	for _, n := range numbers {
		b = binary.LittleEndian.AppendUint32(b, n)
	}
	return b
}

// Acknowledge is the answer to a Hello.
func Acknowledge() []byte { return Message("ACKF", Words(0, 1<<16, 1<<16, 0, 0)) }

// Opened is the answer to the opening of a channel.
func Opened() []byte {
	const policy = "http://opcfoundation.org/UA/SecurityPolicy#None"
	b := append(Words(7, uint32(len(policy))), policy...)
	b = append(b, Words(1<<32-1, 1<<32-1, 1, 1)...)
	return Message("OPNF", append(b, encode(&ua.OpenSecureChannelResponse{
		ResponseHeader: okHeader(),
		SecurityToken:  &ua.ChannelSecurityToken{ChannelID: 7, TokenID: 1, RevisedLifetime: 60_000},
	})...))
}

// Answer is one to a request, in chunks of so many bytes of the body; in one if
// it is 0.
func Answer(request uint32, body []byte, chunk int) (b []byte) {
	if chunk == 0 {
		chunk = len(body)
	}
	for first := true; first || len(body) > 0; first = false {
		n := min(chunk, len(body))
		kind := "MSGC"
		if n == len(body) {
			kind = "MSGF"
		}
		b = append(b, Message(kind, append(Words(7, 1, request, request), body[:n]...))...)
		body = body[n:]
	}
	return b
}

func okHeader() *ua.ResponseHeader {
	return &ua.ResponseHeader{ServiceDiagnostics: &ua.DiagnosticInfo{}, AdditionalHeader: ua.NewExtensionObject(nil)}
}

// encode writes the type of an answer and the answer.
func encode(v any) []byte {
	kind := ua.NewFourByteExpandedNodeID(0, ua.ServiceTypeID(v))
	head, err := kind.Encode()
	if err != nil {
		panic(err) // the test is wrong
	}
	body, err := ua.Encode(v)
	if err != nil {
		panic(err)
	}
	return append(head, body...)
}

// Body returns what a server answers to a service, and its name.
func (s Says) Body(service any) []byte {
	switch {
	case s.Fault != 0:
		h := okHeader()
		h.ServiceResult = s.Fault
		return encode(&ua.ServiceFault{ResponseHeader: h})
	}
	switch service.(type) {
	case *ua.FindServersRequest:
		return encode(&ua.FindServersResponse{ResponseHeader: okHeader(), Servers: s.Servers})
	case *ua.GetEndpointsRequest:
		return encode(&ua.GetEndpointsResponse{ResponseHeader: okHeader(), Endpoints: s.Endpoints})
	case *ua.FindServersOnNetworkRequest:
		if s.OnNetwork != nil {
			return encode(&ua.FindServersOnNetworkResponse{ResponseHeader: okHeader(), Servers: s.OnNetwork})
		}
	}
	return Says{Fault: ua.StatusBadServiceUnsupported}.Body(nil)
}

// serve answers one client.
func (s *Server) serve(c net.Conn) error {
	for request := uint32(0); ; request++ {
		var head [8]byte
		if _, err := io.ReadFull(c, head[:]); err != nil {
			return err
		}
		body := make([]byte, int(binary.LittleEndian.Uint32(head[4:]))-len(head))
		if _, err := io.ReadFull(c, body); err != nil {
			return err
		}
		var answer []byte
		switch kind := string(head[:4]); kind {
		case "HELF":
			answer = Acknowledge()
		case "OPNF":
			answer = Opened()
		case "MSGF":
			_, service, err := ua.DecodeService(body[16:])
			if err != nil {
				return err
			}
			s.mu.Lock()
			s.asked[fmt.Sprintf("%T", service)[len("*ua."):]]++
			says, chunk := s.says, s.chunk
			s.mu.Unlock()
			if says.Silent {
				continue
			}
			answer = Answer(binary.LittleEndian.Uint32(body[12:]), says.Body(service), chunk)
		case "CLOF":
			return nil
		default:
			return fmt.Errorf("a message of kind %q", kind)
		}
		if _, err := c.Write(answer); err != nil {
			return err
		}
	}
}
