package kubetest

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/akri-go/akri/internal/devcluster/kubebin"
	"github.com/akri-go/akri/internal/devcluster/pki"
	"github.com/akri-go/akri/internal/freeport"
)

// attemptTimeout ends a question that hangs, so that another is asked. An answer
// that comes late on a busy machine is waited for.
const attemptTimeout = 20 * time.Second

func (s *Server) path(elem ...string) string {
	return filepath.Join(append([]string{s.Dir}, elem...)...)
}

func (s *Server) writePKI() error {
	var err error
	if s.ca, err = pki.NewAuthority("akri-kubetest"); err != nil {
		return err
	}
	if err := s.ca.Write(s.path("pki"), "ca"); err != nil {
		return err
	}
	server, err := s.ca.Server("kube-apiserver", "127.0.0.1", "localhost")
	if err != nil {
		return err
	}
	if err := server.Write(s.path("pki"), "apiserver"); err != nil {
		return err
	}
	private, public, err := pki.NewKeyPair()
	if err != nil {
		return err
	}
	if err := os.WriteFile(s.path("pki", "sa.key"), private, 0o600); err != nil {
		return err
	}
	return os.WriteFile(s.path("pki", "sa.pub"), public, 0o600)
}

func (s *Server) adminConfig() (*rest.Config, error) {
	return s.clientConfig("kubetest-admin", "system:masters")
}

func (s *Server) clientConfig(user string, groups ...string) (*rest.Config, error) {
	pair, err := s.ca.Client(user, groups...)
	if err != nil {
		return nil, err
	}
	return &rest.Config{
		Host:            "https://127.0.0.1:" + strconv.Itoa(s.ports.secure),
		TLSClientConfig: rest.TLSClientConfig{CAData: s.ca.CertPEM, CertData: pair.CertPEM, KeyData: pair.KeyPEM},
		QPS:             -1, // the server limits requests, not the client
	}, nil
}

func (s *Server) etcdURL() string { return fmt.Sprintf("http://127.0.0.1:%d", s.ports.client) }

// run starts the server and its store, and waits until it is ready.
func (s *Server) run(ctx context.Context) error {
	for _, dir := range []string{"logs", "etcd"} {
		if err := os.MkdirAll(s.path(dir), 0o700); err != nil {
			return err
		}
	}
	etcdURL := s.etcdURL()
	peerURL := fmt.Sprintf("http://127.0.0.1:%d", s.ports.peer)
	var err error
	s.etcd, err = startProcess(s.path("logs", "etcd.log"), s.bins[kubebin.Etcd],
		"--name=kubetest", "--data-dir="+s.path("etcd"), "--unsafe-no-fsync",
		"--listen-client-urls="+etcdURL, "--advertise-client-urls="+etcdURL,
		"--listen-peer-urls="+peerURL, "--initial-advertise-peer-urls="+peerURL,
		"--initial-cluster=kubetest="+peerURL, "--log-level=warn",
		// A single member need not wait a second for others before it leads.
		"--heartbeat-interval=20", "--election-timeout=200")
	if err != nil {
		return err
	}
	// kube-apiserver retries its store with a growing delay: if started too
	// early it is ready later.
	if err := waitFor(ctx, s.etcd, func(ctx context.Context) error { return httpOK(ctx, etcdURL+"/health") }); err != nil {
		return err
	}
	s.api, err = startProcess(s.path("logs", "kube-apiserver.log"), s.bins[kubebin.APIServer], s.apiServerArgs(etcdURL)...)
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(s.Config)
	if err != nil {
		return err
	}
	return waitFor(ctx, s.api, func(ctx context.Context) error { return ready(ctx, client) })
}

func (s *Server) apiServerArgs(etcdURL string) []string {
	return append([]string{
		"--etcd-servers=" + etcdURL,
		"--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", "--secure-port=" + strconv.Itoa(s.ports.secure),
		"--endpoint-reconciler-type=none",
		"--service-cluster-ip-range=10.0.0.0/24",
		"--authorization-mode=Node,RBAC",
		"--disable-admission-plugins=ServiceAccount",
		"--allow-privileged=true",
		"--client-ca-file=" + s.path("pki", "ca.crt"),
		"--tls-cert-file=" + s.path("pki", "apiserver.crt"), "--tls-private-key-file=" + s.path("pki", "apiserver.key"),
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + s.path("pki", "sa.pub"),
		"--service-account-signing-key-file=" + s.path("pki", "sa.key"),
	}, s.opts.apiArgs...)
}

// runManager starts the controllers, if any are asked for. It comes after the
// CRDs: the garbage collector looks for new kinds only every 30 s.
func (s *Server) runManager() error {
	if s.opts.controllers == nil {
		return nil
	}
	kubeconfig := s.path("manager.kubeconfig")
	if err := writeKubeconfig(kubeconfig, s.Config); err != nil {
		return err
	}
	var err error
	s.manager, err = startProcess(s.path("logs", "kube-controller-manager.log"), s.bins[kubebin.ControllerManager],
		"--kubeconfig="+kubeconfig, "--leader-elect=false", "--secure-port=0",
		"--controllers="+strings.Join(s.opts.controllers, ","),
		"--root-ca-file="+s.path("pki", "ca.crt"),
		"--service-account-private-key-file="+s.path("pki", "sa.key"))
	return err
}

// ready returns an error until the server answers and has created what every
// cluster has.
func ready(ctx context.Context, client kubernetes.Interface) error {
	if err := client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error(); err != nil {
		return err
	}
	_, err := client.CoreV1().Namespaces().Get(ctx, metav1.NamespaceDefault, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return fmt.Errorf("namespace default is not there yet")
	}
	return err
}

func httpOK(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, resp.Status)
	}
	return nil
}

// waitFor calls check until it succeeds, p ends or ctx is done.
func waitFor(ctx context.Context, p *process, check func(context.Context) error) error {
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	for {
		attempt, cancel := context.WithTimeout(ctx, attemptTimeout)
		err := check(attempt)
		cancel()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %w (last answer: %v)", p.name, ctx.Err(), err)
		case <-p.done:
			return fmt.Errorf("%s: %w", p.name, errExited)
		case <-tick.C:
		}
	}
}

// freePorts picks free ports; Restart finds them free again.
func freePorts() (ports, error) {
	found, err := freeport.Find(3)
	if err != nil {
		return ports{}, err
	}
	return ports{client: found[0], peer: found[1], secure: found[2]}, nil
}

func writeKubeconfig(path string, cfg *rest.Config) error {
	kc := clientcmdapi.NewConfig()
	kc.Clusters["kubetest"] = &clientcmdapi.Cluster{Server: cfg.Host, CertificateAuthorityData: cfg.CAData}
	kc.AuthInfos["kubetest"] = &clientcmdapi.AuthInfo{ClientCertificateData: cfg.CertData, ClientKeyData: cfg.KeyData}
	kc.Contexts["kubetest"] = &clientcmdapi.Context{Cluster: "kubetest", AuthInfo: "kubetest"}
	kc.CurrentContext = "kubetest"
	return clientcmd.WriteToFile(*kc, path)
}
