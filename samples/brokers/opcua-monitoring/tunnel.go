package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"

	"github.com/gopcua/opcua/uacp"

	"github.com/akri-go/akri/bounded"
)

// tunnel is a connection to a server with a [guard] in it. The library wants a TCP
// connection, so it gets one end of such a one within this host.
type tunnel struct {
	*uacp.Conn // the library's end

	server net.Conn
	near   *net.TCPConn
	copies sync.WaitGroup

	mu  sync.Mutex
	err error // of the guard
}

// dig connects to a server at an address, and says hello to it by its URL.
func dig(ctx context.Context, address, url string, g *guard) (*tunnel, error) {
	var dialer net.Dialer
	server, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	near, far, err := pair(ctx)
	if err != nil {
		server.Close()
		return nil, err
	}
	conn, err := uacp.NewConn(far, &uacp.Acknowledge{
		ReceiveBufSize: maxChunkBytes, SendBufSize: maxChunkBytes,
		MaxMessageSize: maxMessageBytes, MaxChunkCount: maxMessageBytes / minChunkBytes,
	})
	if err != nil {
		return nil, errors.Join(err, server.Close(), near.Close(), far.Close())
	}
	g.readUntil = server.SetReadDeadline
	t := &tunnel{Conn: conn, server: server, near: near}
	t.copies.Go(func() {
		_ = g.asks(server, near) // the other direction sees it
		server.Close()
	})
	t.copies.Go(func() { t.guarded(g) })
	if err := conn.Handshake(ctx, url); err != nil {
		t.close()
		return nil, t.cause(err)
	}
	return t, nil
}

// guarded passes on what the server sends.
func (t *tunnel) guarded(g *guard) {
	// Only this half: with both, the library could get a reset instead of an end, and
	// would read again and again.
	defer t.near.CloseWrite()
	for {
		chunk, err := g.next(t.server)
		if err != nil {
			switch {
			case errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed):
				return
			case errors.Is(err, os.ErrDeadlineExceeded):
				err = errLate
			default:
				err = fmt.Errorf("the server does not keep to the protocol: %w", err)
			}
			t.mu.Lock()
			t.err = err
			t.mu.Unlock()
			return
		}
		if _, err := t.near.Write(chunk); err != nil {
			return
		}
	}
}

var errLate = errors.New("the server does not answer in time")

// cause returns why the guard has ended the connection, or else the error.
func (t *tunnel) cause(err error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.err != nil:
		return t.err
	case errors.Is(err, io.EOF):
		return errors.New("the server has ended the connection")
	}
	return err
}

// close ends the tunnel, and waits until nothing of it runs.
func (t *tunnel) close() {
	t.Conn.Close()
	t.near.Close()
	t.server.Close()
	t.copies.Wait()
}

// maxWaiting is how many others on this host may be in the way.
const maxWaiting = 16

// pair makes a TCP connection within this host.
func pair(ctx context.Context) (near, far *net.TCPConn, err error) {
	listener, err := bounded.Listen(ctx, "127.0.0.1:0", bounded.Limits{Connections: maxWaiting, PerPeer: maxWaiting})
	if err != nil {
		return nil, nil, fmt.Errorf("make a connection within this host: %w", err)
	}
	defer listener.Close()
	var dialer net.Dialer
	far, err = dialer.DialTCP(ctx, "tcp", netip.AddrPort{}, listener.Addr().(*net.TCPAddr).AddrPort())
	if err != nil {
		return nil, nil, fmt.Errorf("make a connection within this host: %w", err)
	}
	for {
		conn, err := listener.Accept()
		if err != nil {
			return nil, nil, errors.Join(fmt.Errorf("make a connection within this host: %w", err), far.Close())
		}
		if conn.RemoteAddr().String() != far.LocalAddr().String() {
			conn.Close() // somebody else on this host
			continue
		}
		inner := conn
		if c, ok := conn.(interface{ NetConn() net.Conn }); ok {
			inner = c.NetConn()
		}
		near, ok := inner.(*net.TCPConn)
		if !ok {
			return nil, nil, errors.Join(fmt.Errorf("make a connection within this host: it is a %T", inner), conn.Close(), far.Close())
		}
		return near, far, nil
	}
}
