package opcuatest

import (
	"context"
	"crypto/rsa"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gopcua/opcua/server"
	"github.com/gopcua/opcua/ua"

	"github.com/akri-go/akri/internal/eventually"
	"github.com/akri-go/akri/internal/freeport"
)

// Thermometer is a server of the library gopcua with a node whose value a test sets.
type Thermometer struct {
	// URL is the server's.
	URL string
	// Node is the id of the node, ns=1;s=Thermometer_Temperature.
	Node *ua.NodeID

	t      testing.TB
	server *server.Server
	cancel context.CancelFunc
	once   sync.Once

	mu    sync.Mutex
	value any
}

// Identity is a certificate and its key.
type Identity struct {
	Certificate []byte // DER
	Key         *rsa.PrivateKey
}

// StartThermometer starts one at an address of the loopback, "" for any. It has no
// security, or with an identity Basic256Sha256 with SignAndEncrypt alone.
func StartThermometer(t testing.TB, address string, id *Identity, value any) *Thermometer {
	t.Helper()
	if address == "" {
		address = freeport.Address(t) // the server cannot say which port it got
	}
	at := netip.MustParseAddrPort(address)
	options := []server.Option{
		server.EnableAuthMode(ua.UserTokenTypeAnonymous), server.EndPoint(at.Addr().String(), int(at.Port())), server.ServerName("thermometer"),
	}
	if id == nil {
		options = append(options, server.EnableSecurity("None", ua.MessageSecurityModeNone))
	} else {
		options = append(options, server.Certificate(id.Certificate), server.PrivateKey(id.Key),
			server.EnableSecurity("Basic256Sha256", ua.MessageSecurityModeSignAndEncrypt))
	}
	s := newGopcua(options...)
	space := server.NewNodeNameSpace(s, "thermometer")
	m := &Thermometer{t: t, URL: "opc.tcp://" + at.String(), server: s, value: value, Node: ua.NewStringNodeID(space.ID(), "Thermometer_Temperature")}
	space.AddNode(server.NewVariableNode(m.Node, "Thermometer_Temperature", m.read))
	var ctx context.Context
	ctx, m.cancel = context.WithCancel(context.Background())
	if err := s.Start(ctx); err != nil {
		m.cancel()
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return m
}

func (m *Thermometer) read() *ua.DataValue {
	m.mu.Lock()
	defer m.mu.Unlock()
	return server.DataValueFromValue(m.value)
}

// Set sets the value, and tells who has subscribed.
func (m *Thermometer) Set(value any) {
	m.mu.Lock()
	m.value = value
	m.mu.Unlock()
	m.server.ChangeNotification(m.Node)
}

// Close ends the server. It returns when nobody can connect any more; the library
// waits for ten seconds then for what never ends.
func (m *Thermometer) Close() {
	m.t.Helper()
	m.once.Do(func() {
		go func() {
			_ = m.server.Close()
			m.cancel()
		}()
		eventually.Succeeds(m.t, 10*time.Second, func(context.Context) error {
			c, err := net.Dial("tcp", strings.TrimPrefix(m.URL, "opc.tcp://"))
			if err != nil {
				return nil
			}
			c.Close()
			return errors.New("the server can still be connected to")
		})
	})
}
