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
	"github.com/akri-go/akri/internal/logging"
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

// View is how clients see objects.
type View interface {
	// Show returns how an object's JSON is seen, and whether that is not how the
	// cluster has it.
	Show(key store.Key, object []byte) (shown []byte, differs bool)
}

// User is who asks.
type User struct {
	Name string
	As   edgev1.As
}

// Limits of what clients can cost.
const (
	maxConnections = 128
	// maxConnectionsPerPod is more than one client takes: HTTP/2 has one.
	maxConnectionsPerPod = 16
	maxRequests          = 32 // that are no watches, at a time
	maxWatches           = 512
	maxBodyBytes         = 3 << 20 // as the API server's own
	patience             = 10 * time.Second
	callTimeout          = 30 * time.Second
	wantTimeout          = 20 * time.Second
	bookmarkEvery        = time.Minute
	watchAtMost          = time.Hour
	writeTimeout         = 10 * time.Second // of one piece of a watch
	maxHeaderBytes       = 64 << 10
	maxStreams           = 600 // of one connection: the kubelet has all its watches on one
	windowPerStream      = 256 << 10
)

// Options are the settings of a server.
type Options struct {
	// Node is the name of this node.
	Node  string
	Store *store.Store
	Cloud Cloud
	// View is nil if all is seen as the cluster has it.
	View View
	Log  *slog.Logger
	// Authenticate returns who has a certificate; false for nobody.
	Authenticate func(tls.ConnectionState) (User, bool)
}

// Server is the local API.
type Server struct {
	Options
	gate    *bounded.Gate
	lease   leases
	events  eventQueue
	kinds   kinds
	sparing logging.Sparing

	mu      sync.Mutex
	watches int
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
	s := &Server{Options: o, gate: bounded.NewGate(maxRequests, maxRequests-4)}
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

// Listen listens for a server. All programs of a node have one address, so places
// cannot be shared between them.
func Listen(ctx context.Context, address string) (*bounded.Listener, error) {
	return bounded.Listen(ctx, address, bounded.Limits{Connections: maxConnections, PerPeer: maxConnections})
}

// ListenForPods is [Listen] for the Pods of a node, each of which has an address
// of its own. They take no place of the node's programs.
func ListenForPods(ctx context.Context, address string) (*bounded.Listener, error) {
	return bounded.Listen(ctx, address, bounded.Limits{Connections: maxConnections, PerPeer: maxConnectionsPerPod})
}

func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-cache, private")
	user, ok := User{}, false
	if r.TLS != nil {
		user, ok = s.Authenticate(*r.TLS)
	}
	if !ok {
		s.sparing.Log(s.Log, slog.LevelWarn, "a client of the local API has no certificate of this edgecore", "peer",
			r.RemoteAddr, "path", r.URL.Path)
		fail(w, status(http.StatusUnauthorized, metav1.StatusReasonUnauthorized,
			"Unauthorized: edgecore takes the certificates that it has issued itself"))
		return
	}
	q := r.URL.Query()
	if r.Method == http.MethodGet && truth(q, "watch") {
		s.serveWatch(w, r, user)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	leave, err := s.gate.Enter(ctx, user.Name)
	cancel()
	if err != nil {
		fail(w, status(http.StatusTooManyRequests, metav1.StatusReasonTooManyRequests,
			"too many requests at once: try again"))
		return
	}
	defer leave()
	s.serve(w, r, user)
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
		s.serveBlob(w, r)
		return
	}
	t, ok := parsePath(path)
	if !ok {
		fail(w, notFoundPath())
		return
	}
	switch {
	case s.isLease(t):
		s.serveLease(w, r, t)
	case r.Method == http.MethodGet && t.subresource == "":
		if !acceptsJSON(r.Header.Get("Accept")) {
			fail(w, status(http.StatusNotAcceptable, metav1.StatusReasonNotAcceptable, "only application/json can be had here"))
			return
		}
		if t.name == "" {
			s.serveList(w, r, t, user)
		} else {
			s.serveGet(w, r, t, user)
		}
	case isStream(t):
		fail(w, status(http.StatusNotImplemented, metav1.StatusReasonMethodNotAllowed,
			"streams do not pass through the edge node's local API yet"))
	default:
		s.serveCall(w, r, t, user)
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
