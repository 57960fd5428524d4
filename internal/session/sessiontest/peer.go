package sessiontest

import (
	"context"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/coder/websocket"

	"github.com/akri-go/akri/internal/session"
)

// Dial opens a WebSocket as an edge node does, and returns it with the
// connection below TLS. It is closed when the test ends.
func Dial(t testing.TB, url string, config *tls.Config) (*websocket.Conn, *session.Conn, error) {
	t.Helper()
	var conn *session.Conn
	transport := &http.Transport{TLSClientConfig: config, DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := (&net.Dialer{}).DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			conn = session.NewConn(c, 0, 0, nil)
			return conn, nil
		}}
	ws, _, err := websocket.Dial(t.Context(), url, &websocket.DialOptions{HTTPClient: &http.Client{Transport: transport}})
	if err != nil {
		return nil, nil, err
	}
	t.Cleanup(func() {
		conn.Close()
		_ = ws.CloseNow()
	})
	return ws, conn, nil
}

// Serve accepts WebSockets with the authority's certificates, and gives each to
// f in a goroutine of its own, until the test ends. It returns the address. It is
// a bare server, not cloudhub.
func Serve(t testing.TB, a *Authority, f func(*websocket.Conn, *session.Conn)) string {
	t.Helper()
	config, err := a.ServerTLS()
	if err != nil {
		t.Fatal(err)
	}
	config.ClientAuth = tls.RequireAndVerifyClientCert
	type key struct{}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ws, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		conn, ok := r.Context().Value(key{}).(*tls.Conn).NetConn().(*session.Conn)
		if !ok {
			panic("not a connection of this server")
		}
		f(ws, conn)
	}))
	s.TLS = config
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.Listener = &metered{s.Listener}
	s.Config.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		return context.WithValue(ctx, key{}, c)
	}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

type metered struct{ net.Listener }

func (m *metered) Accept() (net.Conn, error) {
	c, err := m.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return session.NewConn(c, 0, 0, nil), nil
}

// Pair returns two sessions that are connected.
func Pair(t testing.TB, edge, cloud session.Options) (atEdge, atCloud *session.Session) {
	t.Helper()
	a := NewAuthority(t)
	accepted := make(chan *session.Session)
	ended := make(chan struct{})
	address := Serve(t, a, func(ws *websocket.Conn, c *session.Conn) {
		s := session.New(ws, c, cloud)
		select {
		case accepted <- s:
		case <-ended:
			s.Close(nil)
		}
		<-s.Done()
	})
	t.Cleanup(func() { close(ended) })
	ws, conn, err := Dial(t, "wss://"+address, a.Node(t, "system:node:edge-1", inAnHour()))
	if err != nil {
		t.Fatal(err)
	}
	atEdge, atCloud = session.New(ws, conn, edge), <-accepted
	t.Cleanup(func() {
		atEdge.Close(nil)
		atCloud.Close(nil)
	})
	return atEdge, atCloud
}
