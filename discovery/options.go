package discovery

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"strconv"

	pb "github.com/akri-go/akri/api/discovery/v0"
	"github.com/akri-go/akri/internal/unixsock"
)

const (
	// DefaultDirectory is where agent and handlers of a node meet.
	DefaultDirectory = "/var/lib/akri"
	// DefaultPort is the port of handlers that are reached over the network.
	DefaultPort = 10000

	// agentSocket is the agent's socket in that directory.
	agentSocket = "agent-registration.sock"
)

// Option changes how [Serve] serves.
type Option func(*options)

type options struct {
	directory string
	address   string // "" for a socket in directory
	port      int
	log       *slog.Logger
	on        func()
}

// WithDirectory sets the directory where the agent's socket is, and the
// handler's own. The default is [DefaultDirectory].
func WithDirectory(path string) Option { return func(o *options) { o.directory = path } }

// WithAddress makes the handler listen on an IP address instead of a socket in
// the directory. What goes over the network is neither encrypted nor
// authenticated; on one node a socket is the better choice.
func WithAddress(ip string) Option { return func(o *options) { o.address = ip } }

// WithPort sets the port for [WithAddress]. The default is [DefaultPort]; 0
// takes any free one.
func WithPort(port int) Option { return func(o *options) { o.port = port } }

// WithLogger sets the logger. By default nothing is logged.
func WithLogger(log *slog.Logger) Option { return func(o *options) { o.log = log } }

// WithRegistered sets a function that is called each time that an agent has
// accepted the handler. It must return soon.
func WithRegistered(f func()) Option { return func(o *options) { o.on = f } }

// OptionsFromEnv reads what the Helm chart sets: DISCOVERY_HANDLERS_DIRECTORY
// for [WithDirectory] and POD_IP for [WithAddress]. Unset or empty variables
// leave the defaults. Call it with [os.Getenv].
func OptionsFromEnv(getenv func(name string) string) []Option {
	var opts []Option
	if path := getenv("DISCOVERY_HANDLERS_DIRECTORY"); path != "" {
		opts = append(opts, WithDirectory(path))
	}
	if ip := getenv("POD_IP"); ip != "" {
		opts = append(opts, WithAddress(ip))
	}
	return opts
}

// newService checks what h and opts say.
func newService(h Handler, opts []Option) (*service, error) {
	o := options{directory: DefaultDirectory, port: DefaultPort, log: slog.New(slog.DiscardHandler), on: func() {}}
	for _, opt := range opts {
		opt(&o)
	}
	if err := checkName(h.Name()); err != nil {
		return nil, fmt.Errorf("serve handler %q: %w", h.Name(), err)
	}
	directory, err := filepath.Abs(o.directory)
	if err != nil {
		return nil, fmt.Errorf("serve handler %s: directory %q: %w", h.Name(), o.directory, err)
	}
	s := &service{
		handler:   h,
		log:       o.log.With("handler", h.Name()),
		directory: directory,
		on:        o.on,
		again:     make(chan struct{}, 1),
		request:   pb.RegisterDiscoveryHandlerRequest{Name: h.Name(), Shared: h.Shared()},
	}
	if o.address == "" {
		s.socket = filepath.Join(directory, h.Name()+".sock")
		if len(s.socket) > unixsock.MaxPathBytes {
			return nil, fmt.Errorf("serve handler %s: the path %s has %d bytes, %d are allowed", h.Name(), s.socket, len(s.socket), unixsock.MaxPathBytes)
		}
		return s, nil
	}
	if ip, err := netip.ParseAddr(o.address); err != nil || ip.IsUnspecified() {
		return nil, fmt.Errorf("serve handler %s: %q is not an IP address that the agent could connect to", h.Name(), o.address)
	}
	if o.port < 0 || o.port > 65535 {
		return nil, fmt.Errorf("serve handler %s: %d is not a port", h.Name(), o.port)
	}
	s.address = net.JoinHostPort(o.address, strconv.Itoa(o.port))
	return s, nil
}

// checkName tells whether name can be a handler's: it is part of a file name.
func checkName(name string) error {
	if name == "" || len(name) > 63 {
		return errors.New("a handler's name has 1 to 63 characters")
	}
	for _, c := range []byte(name) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_', c == '.':
		default:
			return fmt.Errorf("a handler's name has letters, digits and -_. only, not %q", rune(c))
		}
	}
	if name+".sock" == agentSocket {
		return errors.New("that name is the agent's")
	}
	return nil
}
