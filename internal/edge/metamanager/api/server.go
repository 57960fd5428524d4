package api

import (
	"context"
	"crypto/tls"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
	"github.com/akri-go/akri/bounded"
	"github.com/akri-go/akri/internal/edge/metamanager/store"
	"github.com/akri-go/akri/internal/edge/metamanager/tokens"
	"github.com/akri-go/akri/internal/logging"
	"github.com/akri-go/akri/internal/shorten"
)

// Cloud is the other end of the link.
type Cloud interface {
	// Linked reports whether there is a session with cloudcore.
	Linked() bool
	// Want has an interest followed. It returns when it is synced; its error is
	// the cloud's (apierrors.APIStatus) or says why the cloud cannot be asked.
	Want(ctx context.Context, what edgev1.Interest) error
	// Do makes a request to the API server. Its error says why there is no answer.
	Do(ctx context.Context, call edgev1.Call) (edgev1.Reply, error)
}

// Outbox keeps requests until the cloud can be asked.
type Outbox interface {
	Post(ctx context.Context, e store.Entry) error
}

// View is how clients see objects.
type View interface {
	// Show returns how an object's JSON is seen, and whether that is not how the
	// cluster has it.
	Show(key store.Key, object []byte) (shown []byte, differs bool)
}

// Limits of what clients can cost.
const (
	maxConnections           = 128
	maxConnectionsPerProgram = 96
	// maxConnectionsPerPod is more than one client takes: HTTP/2 has one.
	maxConnectionsPerPod = 16
	maxRequests          = 32   // that are no watches, at a time
	maxPodRequests       = 24   // of these, of Pods
	maxOfAccount         = 8    // of these, of one service account
	maxAsking            = 2048 // that are no watches, with those that wait for a place
	maxPodAsking         = 256
	maxAccountAsking     = 64
	maxWatches           = 512
	maxPodWatches        = 384
	maxAccountWatches    = 96
	maxBodyBytes         = 3 << 20 // as the API server's own
	patience             = 10 * time.Second
	callTimeout          = 30 * time.Second
	wantTimeout          = 20 * time.Second
	bookmarkEvery        = time.Minute
	watchAtMost          = time.Hour
	writeTimeout         = 10 * time.Second // of one piece of a watch
	maxHeaderBytes       = 64 << 10
	maxLogged            = 500 // bytes of a text of a client's
	maxStreams           = 600 // of one connection: the kubelet has all its watches on one
	windowPerStream      = 256 << 10
)

// Options are the settings of a server.
type Options struct {
	// Node is the name of this node.
	Node  string
	Store *store.Store
	Cloud Cloud
	// Outbox has what waits for the cloud.
	Outbox Outbox
	// View is nil if all is seen as the cluster has it.
	View View
	Log  *slog.Logger
	// Authenticate returns who has a certificate; false for nobody.
	Authenticate func(tls.ConnectionState) (User, bool)
	// Signer makes tokens of Pods while the link is cut. Nil: no tokens of Pods
	// are made or taken.
	Signer *tokens.Signer
}

// Server is the local API.
type Server struct {
	Options
	gate, podGate *bounded.Gate
	lease         leases
	kinds         kinds
	issuer        issuer
	reviews       reviews
	sparing       logging.Sparing
	watches       shares
	asking        shares // requests that are no watches, also those that wait for a place

	mu       sync.Mutex
	requests map[Request]uint64
}

// shown is an object's JSON as clients see it.
func (s *Server) shown(o *store.Object) []byte {
	if s.View == nil {
		return o.JSON
	}
	json, _ := s.View.Show(o.Key, o.JSON)
	return json
}

// New returns a server.
func New(o Options) *Server {
	s := &Server{Options: o, gate: bounded.NewGate(maxRequests, maxRequests-4),
		podGate: bounded.NewGate(maxPodRequests, maxOfAccount), requests: map[Request]uint64{},
		watches: shares{most: maxWatches, mostOfPods: maxPodWatches, mostOfAccount: maxAccountWatches},
		asking:  shares{most: maxAsking, mostOfPods: maxPodAsking, mostOfAccount: maxAccountAsking}}
	s.lease.rv = o.Store.RV()
	return s
}

// Serve serves on a listener until ctx is done.
func (s *Server) Serve(ctx context.Context, l *bounded.Listener, config *tls.Config) error {
	return bounded.Serve(ctx, l, &http.Server{
		Handler: s, TLSConfig: config, MaxHeaderBytes: maxHeaderBytes,
		ReadTimeout: callTimeout, WriteTimeout: callTimeout + wantTimeout, IdleTimeout: 3 * time.Minute,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: maxStreams, MaxReceiveBufferPerConnection: 1 << 20, MaxReceiveBufferPerStream: windowPerStream,
			SendPingTimeout: 30 * time.Second, WriteByteTimeout: 30 * time.Second,
		},
		// Watches end with the server.
		BaseContext: func(net.Listener) context.Context { return ctx },
	})
}

// Listen listens for a server. All programs of a node have one address, also Pods
// in its network, so places are shared by whose certificate a client has: all
// without one are one peer, and never take the kubelet's.
func Listen(ctx context.Context, address string, authenticate func(tls.ConnectionState) (User, bool)) (*bounded.Listener, error) {
	return bounded.Listen(ctx, address, bounded.Limits{
		Connections: maxConnections, PerPeer: maxConnectionsPerProgram, Known: func(c net.Conn) string {
			if t, ok := c.(*tls.Conn); ok {
				if user, ok := authenticate(t.ConnectionState()); ok {
					return user.Name
				}
			}
			return "" // nobody has this name
		},
	})
}

// ListenForPods is [Listen] for the Pods of a node, each of which has an address
// of its own. They take no place of the node's programs.
func ListenForPods(ctx context.Context, address string) (*bounded.Listener, error) {
	return bounded.Listen(ctx, address, bounded.Limits{Connections: maxConnections, PerPeer: maxConnectionsPerPod})
}

func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w, end := s.counting(w, r)
	defer end()
	w.Header().Set("Cache-Control", "no-cache, private")
	user, err := s.authenticate(r)
	if err != nil {
		s.sparing.Log(s.Log, slog.LevelWarn, "a client of the local API is not known", "peer", r.RemoteAddr,
			"path", shorten.Text(r.URL.Path, maxLogged), "error", shorten.Text(err.Error(), maxLogged))
		fail(w, status(http.StatusUnauthorized, metav1.StatusReasonUnauthorized, "Unauthorized"))
		return
	}
	if impersonates(r.Header) {
		fail(w, status(http.StatusForbidden, metav1.StatusReasonForbidden,
			"nobody can be impersonated at the edge node's local API"))
		return
	}
	q := r.URL.Query()
	if r.Method == http.MethodGet && boolParam(q, "watch") {
		s.serveWatch(w, r, user)
		return
	}
	tooMany := status(http.StatusTooManyRequests, metav1.StatusReasonTooManyRequests, "too many requests at once: try again")
	if !s.asking.enter(user) {
		fail(w, tooMany)
		return
	}
	defer s.asking.leave(user)
	leave, err := s.enter(r.Context(), user)
	if err != nil {
		fail(w, tooMany)
		return
	}
	defer leave()
	s.serve(w, r, user)
}

// enter waits for a place among the requests. Pods have some, so that there are
// always places for the kubelet.
func (s *Server) enter(ctx context.Context, user User) (leave func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if !user.isPod() {
		return s.gate.Enter(ctx, user.Name)
	}
	one, err := s.podGate.Enter(ctx, user.Name)
	if err != nil {
		return nil, err
	}
	other, err := s.gate.Enter(ctx, user.Name)
	if err != nil {
		one()
		return nil, err
	}
	return func() { other(); one() }, nil
}

// serve answers what ends.
func (s *Server) serve(w http.ResponseWriter, r *http.Request, user User) {
	path := r.URL.Path
	switch path {
	case "/healthz", "/livez", "/readyz":
		writeRaw(w, http.StatusOK, "text/plain; charset=utf-8", []byte("ok"))
		return
	}
	if isDiscovery(path) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			fail(w, status(http.StatusMethodNotAllowed, metav1.StatusReasonMethodNotAllowed, "this can only be read"))
			return
		}
		s.serveBlob(w, r, user)
		return
	}
	t, ok := parsePath(path)
	if !ok {
		fail(w, notFoundPath())
		return
	}
	switch {
	case isStream(t):
		fail(w, status(http.StatusNotImplemented, metav1.StatusReasonMethodNotAllowed,
			"streams do not pass through the edge node's local API yet"))
	case !acceptsJSON(r.Header.Get("Accept")):
		fail(w, status(http.StatusNotAcceptable, metav1.StatusReasonNotAcceptable,
			"the answers of the edge node's local API are application/json"))
	case user.isNode() && s.isLease(t):
		s.serveLease(w, r, t)
	case s.isTokenRequest(r, t, user):
		s.serveTokenRequest(w, r, t, user)
	case isReview(r, t, user):
		s.serveReview(w, r, t, user)
	case r.Method != http.MethodGet || t.subresource != "":
		s.serveCall(w, r, t, user)
	case t.name == "":
		s.serveList(w, r, t, user)
	default:
		s.serveGet(w, r, t, user)
	}
}

func notFoundPath() error {
	return status(http.StatusNotFound, metav1.StatusReasonNotFound, "the server could not find the requested resource")
}

// isStream reports whether a subresource's answer does not end.
func isStream(t target) bool {
	sub, _, _ := strings.Cut(t.subresource, "/")
	switch sub {
	case "log", "exec", "attach", "portforward", "proxy":
		return true
	}
	return false
}

// acceptsJSON reports whether an Accept header takes plain JSON objects.
func acceptsJSON(accept string) bool {
	if accept == "" {
		return true
	}
	for part := range strings.SplitSeq(accept, ",") {
		kind, params, err := mime.ParseMediaType(strings.TrimSpace(part))
		if err == nil && params["as"] == "" && (kind == "application/json" || kind == "*/*" || kind == "application/*") {
			return true
		}
	}
	return false
}
