package opcuatest

import (
	"bytes"
	"context"
	"net"
	"strconv"
	"sync"
	"testing"

	"github.com/gopcua/opcua/schema"
	"github.com/gopcua/opcua/server"
	"github.com/gopcua/opcua/ua"

	"github.com/akri-go/akri/internal/freeport"
)

// nodes is the address space that every server of gopcua begins with. The library's
// own is the standard's, 3.5 MB of XML that each server reads anew, which takes
// seconds with the race detector; it needs the one node to hang its state on.
const nodes = `<UANodeSet><Aliases/><UAObject NodeId="i=2253" BrowseName="Server"><References/></UAObject></UANodeSet>`

var fewNodes = sync.OnceFunc(func() { schema.OpcUaNodeSet2 = []byte(nodes) })

func newGopcua(options ...server.Option) *server.Server {
	fewNodes()
	return server.New(options...)
}

// Gopcua starts a server of the library gopcua on the loopback, and returns its
// address and its URL.
func Gopcua(t testing.TB) (address, url string) {
	t.Helper()
	port := freeport.Port(t) // the server cannot say which one it got
	s := newGopcua(
		server.EnableSecurity("None", ua.MessageSecurityModeNone), server.EnableAuthMode(ua.UserTokenTypeAnonymous),
		server.EndPoint("127.0.0.1", port), server.ServerName("gopcua"))
	ctx, cancel := context.WithCancel(context.Background())
	if err := s.Start(ctx); err != nil {
		cancel()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = s.Close()
	})
	address = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	return address, "opc.tcp://" + address
}

// Record returns what the server at an address says to whoever is asked to talk
// to it.
func Record(t testing.TB, address string, talk func(net.Conn)) []byte {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	r := &recorder{Conn: conn}
	talk(r)
	r.mu.Lock()
	defer r.mu.Unlock()
	return bytes.Clone(r.said.Bytes())
}

type recorder struct {
	net.Conn
	mu   sync.Mutex
	said bytes.Buffer
}

func (r *recorder) Read(p []byte) (int, error) {
	n, err := r.Conn.Read(p)
	r.mu.Lock()
	r.said.Write(p[:n])
	r.mu.Unlock()
	return n, err
}
