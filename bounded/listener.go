package bounded

import (
	"context"
	"net"
	"net/http"
	"slices"
	"sync"
)

// Limits say how many connections a [Listener] has at a time.
type Limits struct {
	// Connections are those of all peers together; 0 is 64.
	Connections int
	// PerPeer are those of one peer; 0 is half of Connections.
	PerPeer int
	// Peer returns the peer of a connection; nil means its remote IP address.
	Peer func(net.Conn) string
	// Known returns the peer of a connection that has its first request, when more
	// is known of it, by its certificate for instance. It counts as that peer's from
	// then on. Nil means that nothing more is known. [Listener.ConnState] calls it.
	Known func(net.Conn) string
}

// receiveBufferBytes is the size of the kernel's receive buffer for a connection.
// By default it can grow to megabytes, which count as this process's memory.
const receiveBufferBytes = 64 << 10

// Listener accepts connections within limits. It never waits: if there are too
// many connections, it closes one, the new one or another, whichever is fairer.
type Listener struct {
	net.Listener
	limits Limits

	mu   sync.Mutex
	open []*conn // oldest first
}

// conn is a connection that counts.
type conn struct {
	net.Conn
	listener *Listener
	peer     string
	quiet    bool // it has no request, as far as is known
	known    bool // the peer is what Limits.Known has said
}

// Listen listens on a TCP address.
func Listen(ctx context.Context, address string, limits Limits) (*Listener, error) {
	inner, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return NewListener(inner, limits), nil
}

// NewListener bounds a listener of any kind.
func NewListener(inner net.Listener, limits Limits) *Listener {
	if limits.Connections <= 0 {
		limits.Connections = 64
	}
	if limits.PerPeer <= 0 {
		limits.PerPeer = max(1, limits.Connections/2)
	}
	if limits.Peer == nil {
		limits.Peer = func(c net.Conn) string { return host(c.RemoteAddr().String()) }
	}
	return &Listener{Listener: inner, limits: limits}
}

func host(address string) string {
	if h, _, err := net.SplitHostPort(address); err == nil {
		return h
	}
	return address
}

// Accept returns the next connection that may stay.
func (l *Listener) Accept() (net.Conn, error) {
	for {
		inner, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if tcp, ok := inner.(*net.TCPConn); ok {
			_ = tcp.SetReadBuffer(receiveBufferBytes) // best effort
		}
		if c := l.admit(inner); c != nil {
			return c, nil
		}
		inner.Close()
	}
}

// admit makes room for a connection, or returns nil.
func (l *Listener) admit(inner net.Conn) net.Conn {
	c := &conn{Conn: inner, listener: l, peer: l.limits.Peer(inner)}
	l.mu.Lock()
	victim, ok := place(l.open, c.peer, l.limits)
	if victim != nil {
		l.drop(victim)
	}
	if ok {
		l.open = append(l.open, c)
	}
	l.mu.Unlock()
	if victim != nil {
		victim.Conn.Close()
	}
	if !ok {
		return nil
	}
	return c
}

// drop stops counting a connection.
func (l *Listener) drop(c *conn) {
	for i, o := range l.open {
		if o == c {
			l.open = append(l.open[:i], l.open[i+1:]...)
			return
		}
	}
}

// Close closes the connection, which then no longer counts.
func (c *conn) Close() error {
	c.listener.mu.Lock()
	c.listener.drop(c)
	c.listener.mu.Unlock()
	return c.Conn.Close()
}

// NetConn returns the underlying connection.
func (c *conn) NetConn() net.Conn { return c.Conn }

// ConnState is for [http.Server.ConnState]: then connections without a request
// make room first. Without it all count as busy.
func (l *Listener) ConnState(nc net.Conn, state http.ConnState) {
	c := l.find(nc)
	if c == nil {
		return
	}
	l.mu.Lock()
	c.quiet = state == http.StateNew || state == http.StateIdle
	first := state == http.StateActive && !c.known
	l.mu.Unlock()
	if first && l.limits.Known != nil {
		l.rename(c, l.limits.Known(nc))
	}
}

// rename gives a connection to the peer that it is now known to be. If that has
// all it may have, one of its connections is closed, this one or another.
func (l *Listener) rename(c *conn, peer string) {
	l.mu.Lock()
	if !slices.Contains(l.open, c) {
		l.mu.Unlock()
		return // it made room for another
	}
	others := slices.DeleteFunc(slices.Clone(l.open), func(o *conn) bool { return o == c })
	victim, ok := place(others, peer, l.limits)
	if !ok {
		victim = c
	}
	if victim != nil {
		l.drop(victim)
	}
	c.peer, c.known = peer, true
	l.mu.Unlock()
	if victim != nil {
		victim.Conn.Close()
	}
}

// Release stops counting a connection. It is for connections that live long, and
// that are counted in another way once it is known whose they are.
func (l *Listener) Release(nc net.Conn) {
	if c := l.find(nc); c != nil {
		l.mu.Lock()
		l.drop(c)
		l.mu.Unlock()
	}
}

// find returns the connection of l that nc is, or is around; nil if there is
// none.
func (l *Listener) find(nc net.Conn) *conn {
	for {
		if c, ok := nc.(*conn); ok {
			return c
		}
		wrapped, ok := nc.(interface{ NetConn() net.Conn }) // as TLS has it
		if !ok {
			return nil
		}
		nc = wrapped.NetConn()
	}
}

// place decides whether a new connection of a peer may stay, and which of the
// open connections (oldest first) is closed for it.
//
// A peer that has all it may have loses its own oldest quiet connection. If all
// places are taken, the peer that has most loses one: its oldest quiet
// connection to any peer that has less; its youngest busy connection only to a
// peer that has less even afterwards.
func place(open []*conn, peer string, limits Limits) (victim *conn, ok bool) {
	count := map[string]int{}
	most := 0
	for _, c := range open {
		count[c.peer]++
		most = max(most, count[c.peer])
	}
	mine := count[peer]
	var quiet, busy *conn
	for _, c := range open {
		switch {
		case mine >= limits.PerPeer && c.peer != peer, mine < limits.PerPeer && count[c.peer] < most:
		case !c.quiet:
			busy = c
		case quiet == nil:
			quiet = c
		}
	}
	switch {
	case mine >= limits.PerPeer:
		return quiet, quiet != nil
	case len(open) < limits.Connections:
		return nil, true
	case quiet != nil && (most > mine || quiet.peer == peer):
		return quiet, true
	case busy != nil && most > mine+1:
		return busy, true
	}
	return nil, false
}
