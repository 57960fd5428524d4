// Package kubetest runs a real Kubernetes API server for the tests of one
// package. Tests that need none of their own take turns with one; see [Share].
//
// A server is etcd and kube-apiserver on loopback, with its own data, the RBAC
// and Node authorizers and the CRDs of this repository's chart. There is no
// kubelet, and a controller-manager only on request. Missing binaries are built
// (see kubebin). Everything is gone when the test ends, even if the test
// process is killed.
//
// The ServiceAccount admission plug-in is off, so that Pods can be created in a
// new namespace at once; all other default plug-ins work as in a cluster.
package kubetest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"github.com/akri-go/akri/internal/devcluster/kubebin"
	"github.com/akri-go/akri/internal/devcluster/pki"
	"github.com/akri-go/akri/internal/loadgate"
)

// startTimeout is enough for a machine that is busy with everything else: a
// process that has ended is noticed at once.
const startTimeout = 5 * time.Minute

// Option changes what Start starts.
type Option func(*options)

type options struct {
	controllers []string
	crdDir      *string
	apiArgs     []string
}

// WithControllerManager also runs kube-controller-manager with the named
// controllers. Without names it runs those that need no nodes: the garbage
// collector (owner references), and those of Namespaces, Jobs and service
// accounts.
func WithControllerManager(controllers ...string) Option {
	return func(o *options) {
		o.controllers = controllers
		if len(controllers) == 0 {
			o.controllers = []string{
				"garbage-collector-controller", "namespace-controller", "job-controller",
				"serviceaccount-controller", "root-ca-certificate-publisher-controller",
			}
		}
	}
}

// WithCRDs installs the CRDs in dir instead of the chart's; "" installs none.
func WithCRDs(dir string) Option { return func(o *options) { o.crdDir = &dir } }

// WithAPIServerArgs adds arguments to kube-apiserver's own.
func WithAPIServerArgs(args ...string) Option {
	return func(o *options) { o.apiArgs = append(o.apiArgs, args...) }
}

// WithNodeRestriction turns on the admission plug-in that limits what nodes may
// write to their own Node, Lease, Pods and tokens (NodeRestriction), as every
// cluster of kubeadm has it. It is off by default in kube-apiserver.
func WithNodeRestriction() Option {
	return WithAPIServerArgs("--enable-admission-plugins=NodeRestriction")
}

// Server is a running API server.
type Server struct {
	// Config is a cluster administrator's client configuration, without
	// client-side rate limits. Copy it before changing it.
	Config *rest.Config
	// Dir is the folder of the server's files; logs are in Dir/logs.
	Dir string

	opts    options
	bins    kubebin.Paths
	ca      *pki.Authority
	ports   ports
	began   int64 // etcd's revision when the server was ready with its CRDs
	mu      sync.Mutex
	etcd    *process
	api     *process
	manager *process
}

type ports struct{ client, peer, secure int }

// Start starts a server and stops it when the test ends. If it cannot, the test
// fails.
func Start(t testing.TB, opts ...Option) *Server {
	t.Helper()
	loadgate.Wait(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s, err := start(ctx, opts...)
	if err != nil {
		t.Fatalf("start a test API server: %v", err)
	}
	t.Cleanup(func() {
		s.tellOfFailure(t)
		s.Close()
	})
	return s
}

func (s *Server) tellOfFailure(t testing.TB) {
	if t.Failed() {
		t.Logf("last lines of kube-apiserver:\n%s", tail(filepath.Join(s.Dir, "logs", "kube-apiserver.log"), 4096))
	}
}

// New is Start without a test, for example in TestMain. The caller calls Close.
func New(ctx context.Context, opts ...Option) (*Server, error) { return start(ctx, opts...) }

func start(ctx context.Context, opts ...Option) (*Server, error) {
	s := &Server{}
	for _, o := range opts {
		o(&s.opts)
	}
	repo, err := kubebin.RepoRoot()
	if err != nil {
		return nil, err
	}
	names := []string{kubebin.Etcd, kubebin.APIServer}
	if s.opts.controllers != nil {
		names = append(names, kubebin.ControllerManager)
	}
	// Builds take minutes: print progress at once, not when the test ends.
	if s.bins, err = kubebin.Ensure(ctx, kubebin.Options{Repo: repo, Progress: os.Stderr}, names...); err != nil {
		return nil, err
	}
	if s.Dir, err = os.MkdirTemp("", "akri-kubetest-"); err != nil {
		return nil, err
	}
	if err := s.init(ctx, repo); err != nil {
		logs := s.logTails()
		s.Close()
		return nil, fmt.Errorf("%w%s", err, logs)
	}
	return s, nil
}

func (s *Server) init(ctx context.Context, repo string) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := s.writePKI(); err != nil {
		return err
	}
	var err error
	// A free port may be taken before it is used.
	for range 3 {
		if s.ports, err = freePorts(); err != nil {
			return err
		}
		if s.Config, err = s.adminConfig(); err != nil {
			return err
		}
		if err = s.run(ctx); !errors.Is(err, errExited) {
			break
		}
		s.killAll()
	}
	if err != nil {
		return err
	}
	dir := filepath.Join(repo, "charts", "akri", "crds")
	if s.opts.crdDir != nil {
		dir = *s.opts.crdDir
	}
	if dir != "" {
		if err := installCRDs(ctx, s.Config, dir); err != nil {
			return err
		}
	}
	if err := s.begin(ctx); err != nil {
		return err
	}
	return s.runManager()
}

// Stop kills all processes of the server at once, as in a power cut; the data
// stays. Clients get connection refused. It may be called twice.
func (s *Server) Stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.killAll()
}

// Restart starts a stopped (or running) server again, with the same ports,
// certificates and data, and waits until it is ready.
func (s *Server) Restart(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.killAll()
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	err := s.run(ctx)
	if err == nil && s.began == 0 {
		err = s.begin(ctx)
	}
	if err == nil {
		err = s.runManager()
	}
	if err != nil {
		return fmt.Errorf("restart the test API server: %w%s", err, s.logTails())
	}
	return nil
}

// Forget stops the server and removes its data, as if its etcd were lost and set
// up anew. Certificates and ports stay. [Server.Restart] starts it again; there
// are no CRDs then.
func (s *Server) Forget() error {
	s.Stop()
	if err := os.RemoveAll(s.path("etcd")); err != nil {
		return fmt.Errorf("forget the test API server's data: %w", err)
	}
	s.began = 0
	return nil
}

// Close stops all processes and removes the server's files.
func (s *Server) Close() {
	s.Stop()
	os.RemoveAll(s.Dir)
}

// ConfigFor returns a client configuration whose certificate is for user and
// groups. Such a user has the rights that RBAC grants it, at first none.
func (s *Server) ConfigFor(user string, groups ...string) *rest.Config {
	cfg, err := s.clientConfig(user, groups...)
	if err != nil {
		// Happens only if the random number generator fails.
		return &rest.Config{Host: s.Config.Host}
	}
	return cfg
}

func (s *Server) killAll() {
	for _, p := range []*process{s.manager, s.api, s.etcd} {
		p.kill()
	}
	s.manager, s.api, s.etcd = nil, nil, nil
}

func (s *Server) logTails() string {
	var out string
	for _, name := range []string{kubebin.Etcd, kubebin.APIServer, kubebin.ControllerManager} {
		if t := tail(filepath.Join(s.Dir, "logs", name+".log"), 2048); t != "" {
			out += fmt.Sprintf("\n--- %s\n%s", name, t)
		}
	}
	return out
}

// tail returns up to n bytes from the end of a file, or "".
func tail(path string, n int64) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return ""
	}
	buf := make([]byte, min(n, info.Size()))
	if _, err := f.ReadAt(buf, info.Size()-int64(len(buf))); err != nil {
		return ""
	}
	return string(buf)
}
