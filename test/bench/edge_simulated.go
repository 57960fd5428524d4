package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
	"github.com/akri-go/akri/internal/certs"
	"github.com/akri-go/akri/internal/cloud/cloudhub"
	"github.com/akri-go/akri/internal/edge/dns"
	"github.com/akri-go/akri/internal/session"
)

// statusEvery is how often a kubelet says that nothing has changed.
const statusEvery = 5 * time.Minute

// simulated is an edge node without kubelet and disk: its link, and what an idle
// node follows. Of objects it keeps what it needs to say what it has.
type simulated struct {
	name   string
	config *tls.Config
	from   net.IP

	mu      sync.Mutex
	session *session.Session
	calls   uint64
	has     map[uint64]map[string]edgev1.Item // by interest, and by namespace and name
}

// followedBy are the interests of an idle node: those of its kubelet, its
// kube-proxy and its DNS.
func followedBy(node string) []edgev1.Interest {
	proxy := edgev1.As{Component: "kube-proxy"}
	return append([]edgev1.Interest{
		{Version: "v1", Resource: "pods", FieldSelector: "spec.nodeName=" + node},
		{Version: "v1", Resource: "nodes", FieldSelector: "metadata.name=" + node},
		{Version: "v1", Resource: "services", FieldSelector: "spec.clusterIP!=None"},
		{Group: "storage.k8s.io", Version: "v1", Resource: "csidrivers"},
		{Group: "node.k8s.io", Version: "v1", Resource: "runtimeclasses"},
		{Version: "v1", Resource: "services", FieldSelector: "spec.clusterIP!=None",
			LabelSelector: "!service.kubernetes.io/service-proxy-name", As: proxy},
		{Group: "discovery.k8s.io", Version: "v1", Resource: "endpointslices",
			LabelSelector: "!service.kubernetes.io/headless", As: proxy},
		{Version: "v1", Resource: "nodes", FieldSelector: "metadata.name=" + node, As: proxy},
	}, dns.Interests(proxy)...)
}

// dial opens a WebSocket as edgecore does.
func (n *simulated) dial(ctx context.Context, address string) (*websocket.Conn, *session.Conn, error) {
	var conn *session.Conn
	transport := &http.Transport{TLSClientConfig: n.config, DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: n.from}}).DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			conn = session.NewConn(c, 0, 0, nil)
			return conn, nil
		}}
	ws, _, err := websocket.Dial(ctx, "wss://"+address+"/v1/link", &websocket.DialOptions{HTTPClient: &http.Client{Transport: transport}})
	return ws, conn, err
}

// connect returns when everything is synced; its error says that it is not.
func (n *simulated) connect(ctx context.Context, address string) error {
	ws, conn, err := n.dial(ctx, address)
	if err != nil {
		return fmt.Errorf("%s: %w", n.name, err)
	}
	s := session.New(ws, conn, session.Options{})
	stop := context.AfterFunc(ctx, func() { s.Close(ctx.Err()) })
	if err := n.sync(ctx, s); err != nil {
		s.Close(err)
		return fmt.Errorf("%s: %w", n.name, err)
	}
	stop()
	n.mu.Lock()
	n.session = s
	n.mu.Unlock()
	go func() { // answers Pings, and keeps what comes
		for {
			m, err := s.Read()
			if err != nil {
				return
			}
			_, _ = n.receive(context.Background(), s, m) // the session ends by itself
		}
	}()
	return nil
}

// sync says what the node follows and has, and receives until all is synced.
func (n *simulated) sync(ctx context.Context, s *session.Session) error {
	if err := s.Send(ctx, &edgev1.Hello{Protocol: edgev1.Protocol, Node: n.name, Store: n.name, Boot: "bench"}); err != nil {
		return err
	}
	follows := followedBy(n.name)
	for i, interest := range follows {
		interest.ID = uint64(i + 1)
		if err := s.Send(ctx, &interest); err != nil {
			return err
		}
		if err := s.Send(ctx, &edgev1.Have{ID: interest.ID, Digest: edgev1.Digest(n.items(interest.ID))}); err != nil {
			return err
		}
	}
	for synced := 0; synced < len(follows); {
		m, err := s.Read()
		if err != nil {
			return err
		}
		done, err := n.receive(ctx, s, m)
		if err != nil {
			return err
		}
		if done {
			synced++
		}
	}
	return nil
}

func (n *simulated) items(interest uint64) []edgev1.Item {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Collect(maps.Values(n.has[interest]))
}

// receive takes a message; synced says that it ends what answers a Have.
func (n *simulated) receive(ctx context.Context, s *session.Session, m edgev1.Message) (synced bool, err error) {
	switch m := m.(type) {
	case *edgev1.Synced:
		return true, nil
	case *edgev1.Refused:
		return false, fmt.Errorf("refused: %s", m.Message)
	case *edgev1.Differ:
		items := n.items(m.ID)
		return false, s.Send(ctx, &edgev1.Have{ID: m.ID, Digest: edgev1.Digest(items), Items: items})
	case *edgev1.Put:
		var o struct {
			Metadata struct{ Namespace, Name, UID string }
		}
		if err := json.Unmarshal(m.Object, &o); err != nil {
			return false, err
		}
		n.mu.Lock()
		defer n.mu.Unlock()
		if n.has[m.ID] == nil {
			n.has[m.ID] = map[string]edgev1.Item{}
		}
		of := o.Metadata
		n.has[m.ID][of.Namespace+"/"+of.Name] = edgev1.Item{Namespace: of.Namespace, Name: of.Name, UID: of.UID, Version: m.Version}
	case *edgev1.Gone:
		n.mu.Lock()
		defer n.mu.Unlock()
		delete(n.has[m.ID], m.Item.Namespace+"/"+m.Item.Name)
	case *edgev1.Reply:
		if m.Status != http.StatusOK {
			return false, fmt.Errorf("call: %d %s", m.Status, m.Body)
		}
	}
	return false, nil
}

// beat says of the Node what a kubelet says.
func (n *simulated) beat(ctx context.Context) error {
	n.mu.Lock()
	s := n.session
	n.calls++
	id := n.calls
	n.mu.Unlock()
	if s == nil {
		return errors.New("not connected")
	}
	body := fmt.Appendf(nil, `{"status":{"conditions":[{"type":"Ready","status":"True","reason":"KubeletReady","lastHeartbeatTime":%q}]}}`,
		time.Now().UTC().Format(time.RFC3339))
	return s.Send(ctx, &edgev1.Call{ID: id, Method: http.MethodPatch, Path: "/api/v1/nodes/" + n.name + "/status",
		ContentType: "application/strategic-merge-patch+json", Body: body})
}

// hangUp closes the connection without a word.
func (n *simulated) hangUp() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.session != nil {
		n.session.Close(nil)
		n.session = nil
	}
}

// crowd is many simulated edge nodes. They have one key, which costs cloudcore
// the same.
type crowd struct{ nodes []*simulated }

// nodesPerAddress is how many nodes come from one address of loopback: each
// connection has a port of its own.
const nodesPerAddress = 1000

// newCrowd makes nodes with certificates of cloudcore's authority; data is that of
// its Secret.
func newCrowd(count int, data map[string][]byte) (*crowd, error) {
	signer, err := certs.Policy{}.Signer(time.Now(), data)
	if err != nil {
		return nil, err
	}
	key, err := certs.NewKey()
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(data[certs.Bundle])
	c := &crowd{}
	for i := range count {
		n := &simulated{name: fmt.Sprintf("edge-%d", i), from: net.IPv4(127, 0, 1, byte(1+i/nodesPerAddress)),
			has: map[uint64]map[string]edgev1.Item{}}
		if n.config, err = nodeTLS(signer, key, roots, n.name); err != nil {
			return nil, err
		}
		c.nodes = append(c.nodes, n)
	}
	return c, nil
}

func nodeTLS(signer certs.Authority, key *ecdsa.PrivateKey, roots *x509.CertPool, node string) (*tls.Config, error) {
	cert, err := signer.Sign(&x509.Certificate{
		Subject:   pkix.Name{CommonName: cloudhub.NodePrefix + node, Organization: []string{"system:nodes"}},
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, key.Public())
	if err != nil {
		return nil, err
	}
	return &tls.Config{MinVersion: tls.VersionTLS13, ServerName: edgev1.ServerName, RootCAs: roots,
		Certificates: []tls.Certificate{{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert}}}, nil
}

// maxTries is how often a node tries to connect. On a machine that is too slow it
// may hear nothing for as long as edgecore would wait.
const maxTries = 3

// connectAll connects nodes, so many at a time, and returns how long it took until all
// were synced.
func connectAll(ctx context.Context, nodes []*simulated, address string, atOnce int) (time.Duration, error) {
	began := time.Now()
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	for _, n := range nodes {
		g.Go(func() error {
			for try := 1; ; try++ {
				if err := n.connect(ctx, address); err == nil || try == maxTries || ctx.Err() != nil {
					return err
				}
			}
		})
	}
	err := g.Wait()
	return time.Since(began), err
}

// beat has all nodes say what their kubelets say, one after the other, until ctx
// is done. Nodes that have lost their connection say nothing.
func (c *crowd) beat(ctx context.Context) {
	limit := rate.NewLimiter(rate.Limit(float64(len(c.nodes))/statusEvery.Seconds()), 1)
	for i := 0; limit.Wait(ctx) == nil; i++ {
		_ = c.nodes[i%len(c.nodes)].beat(ctx)
	}
}

func (c *crowd) hangUp() {
	for _, n := range c.nodes {
		n.hangUp()
	}
}
