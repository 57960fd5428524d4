package dns

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/akri-go/akri/bounded"
	"github.com/akri-go/akri/internal/logging"
)

// Limits of what clients can cost.
const (
	maxQueries      = 256 // over UDP at a time; more are lost, and clients ask again
	maxForwards     = 128 // that wait for the node's resolvers
	maxPeerForwards = 32  // of these, of one client
	maxConnections  = 64
	maxPerPeer      = 16
	idleTimeout     = 10 * time.Second // of a connection
)

// Options are the settings of a server.
type Options struct {
	// Records returns the names of the cluster; nil if they are not known yet.
	Records func() *Records
	// Domain is the cluster's.
	Domain string
	// Resolvers returns whom all other names are asked of, as host:port.
	Resolvers func() []string
	Log       *slog.Logger
}

// Server answers queries at one address, over UDP and TCP.
type Server struct {
	Options
	udp      net.PacketConn
	tcp      net.Listener
	forwards places
	sparing  logging.Sparing
	running  sync.WaitGroup
}

// Listen listens at an IP address and port. Port 0 is one that is free.
func Listen(ctx context.Context, address string, o Options) (*Server, error) {
	tcp, err := bounded.Listen(ctx, address, bounded.Limits{Connections: maxConnections, PerPeer: maxPerPeer})
	if err != nil {
		return nil, err
	}
	at, err := net.ResolveUDPAddr("udp", tcp.Addr().String())
	var udp net.PacketConn
	if err == nil {
		udp, err = net.ListenUDP("udp", at)
	}
	if err != nil {
		tcp.Close()
		return nil, err
	}
	o.Domain = strings.ToLower(strings.Trim(o.Domain, "."))
	return &Server{Options: o, udp: udp, tcp: tcp}, nil
}

// Address is where the server listens.
func (s *Server) Address() string { return s.tcp.Addr().String() }

// Serve answers until ctx is done.
func (s *Server) Serve(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { s.udp.Close(); s.tcp.Close() })
	defer stop()
	s.running.Go(func() { s.serveTCP(ctx) })
	err := s.serveUDP(ctx)
	s.tcp.Close()
	s.udp.Close()
	s.running.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("answer DNS queries: %w", err)
}

func (s *Server) serveUDP(ctx context.Context) error {
	places := make(chan struct{}, maxQueries)
	buf := make([]byte, maxDatagram)
	for {
		n, from, err := s.udp.ReadFrom(buf)
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return err
			}
			continue // of one packet, such as a port that is unreachable
		}
		select {
		case places <- struct{}{}:
		default:
			s.sparing.Log(s.Log, slog.LevelWarn, "too many DNS queries at once: some are not answered", "limit", maxQueries)
			continue
		}
		raw := bytes.Clone(buf[:n])
		s.running.Go(func() {
			defer func() { <-places }()
			if out := s.answer(ctx, peerOf(from), raw, false); out != nil {
				_, _ = s.udp.WriteTo(out, from) // the client may have gone
			}
		})
	}
}

func (s *Server) serveTCP(ctx context.Context) {
	for {
		conn, err := s.tcp.Accept()
		if err != nil {
			return // the listener is closed
		}
		s.running.Go(func() {
			defer conn.Close()
			stop := context.AfterFunc(ctx, func() { conn.Close() })
			defer stop()
			s.serveConn(ctx, conn)
		})
	}
}

// serveConn answers one connection's queries, one at a time.
func (s *Server) serveConn(ctx context.Context, conn net.Conn) {
	reader := bufio.NewReader(conn)
	for {
		if conn.SetDeadline(time.Now().Add(idleTimeout)) != nil {
			return
		}
		raw, err := receive(conn, reader, true)
		if err != nil {
			return
		}
		out := s.answer(ctx, peerOf(conn.RemoteAddr()), raw, true)
		if out == nil || write(conn, out, true) != nil {
			return
		}
	}
}

// answer answers a query of a client; nil is no answer.
func (s *Server) answer(ctx context.Context, peer netip.Addr, raw []byte, tcp bool) []byte {
	q, rcode, err := read(raw, tcp)
	if err != nil {
		return nil
	}
	var f found
	if rcode == dnsmessage.RCodeSuccess {
		name := q.question.Name.String()
		if r := s.Records(); r != nil {
			f = r.find(name, q.question.Type)
		} else if s.within(name) {
			rcode = dnsmessage.RCodeServerFailure
		}
		switch {
		case rcode != dnsmessage.RCodeSuccess:
		case !f.ours:
			out, err := s.forward(ctx, peer, q, tcp)
			switch {
			case err != nil:
				s.sparing.Log(s.Log, slog.LevelDebug, "the node's resolvers do not answer", "error", err)
				rcode = dnsmessage.RCodeServerFailure
			case len(out) > q.limit:
				q.limit = 0 // the client comes again over TCP
			default:
				return out
			}
		case f.alias != "":
			f, rcode = s.follow(ctx, peer, q, f)
		case !f.exists:
			rcode = dnsmessage.RCodeNameError
		}
	}
	out, err := q.reply(rcode, f, s.Domain)
	if err != nil {
		out, _ = q.reply(dnsmessage.RCodeServerFailure, found{}, "") // nothing in it that cannot be packed
	}
	return out
}

var errBusy = errors.New("too many queries wait for the node's resolvers, or too many of this client")

// forward asks the node's resolvers for a client.
func (s *Server) forward(ctx context.Context, peer netip.Addr, q query, tcp bool) ([]byte, error) {
	if !s.forwards.enter(peer) {
		return nil, errBusy
	}
	defer s.forwards.leave(peer)
	return forward(ctx, s.Resolvers(), q, tcp)
}

// within tells whether a name is one of the cluster's.
func (s *Server) within(name string) bool {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	return name == s.Domain || strings.HasSuffix(name, "."+s.Domain)
}

// follow answers for a name that stands for another one.
func (s *Server) follow(ctx context.Context, peer netip.Addr, q query, f found) (found, dnsmessage.RCode) {
	f.answers = []dnsmessage.Resource{resource(strings.TrimSuffix(q.question.Name.String(), "."), &dnsmessage.CNAMEResource{CNAME: nameOf(f.alias)})}
	if q.question.Type == dnsmessage.TypeCNAME {
		return f, dnsmessage.RCodeSuccess
	}
	if s.within(f.alias) {
		to := s.Records().find(f.alias, q.question.Type)
		if to.alias == "" { // one step: more may have no end
			f.answers = append(f.answers, to.answers...)
		}
		return f, dnsmessage.RCodeSuccess
	}
	asked := query{header: q.header, question: dnsmessage.Question{Name: nameOf(f.alias), Type: q.question.Type, Class: dnsmessage.ClassINET}}
	message := dnsmessage.Message{Header: dnsmessage.Header{RecursionDesired: true}, Questions: []dnsmessage.Question{asked.question}}
	var err error
	if asked.raw, err = message.Pack(); err != nil {
		return found{ours: true}, dnsmessage.RCodeServerFailure
	}
	out, err := s.forward(ctx, peer, asked, false)
	var got dnsmessage.Message
	if err == nil {
		err = got.Unpack(out)
	}
	if err == nil && got.Truncated {
		if out, err = s.forward(ctx, peer, asked, true); err == nil {
			err = got.Unpack(out)
		}
	}
	if err != nil {
		return found{}, dnsmessage.RCodeServerFailure
	}
	for _, a := range got.Answers {
		switch a.Body.(type) {
		case *dnsmessage.CNAMEResource, *dnsmessage.AResource, *dnsmessage.AAAAResource:
			f.answers = append(f.answers, a)
		}
	}
	return f, got.RCode
}
