//go:build vm

package vm

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/devcluster/kubebin"
	"github.com/akri-go/akri/internal/devcluster/kubetest"
	"github.com/akri-go/akri/internal/eventually"
	"github.com/akri-go/akri/internal/images"
	"github.com/akri-go/akri/internal/peers"
	"github.com/akri-go/akri/test/vm/guest"
)

const (
	nodeName    = "guest"
	brokerImage = "akri.local/usb-camera:vm"
	pauseImage  = "akri.local/pause:vm"
	// nodePatience is how long a kubelet may take on an emulated processor.
	nodePatience = 6 * time.Minute
)

// cluster is a control plane on this machine, and a guest that is its node.
type cluster struct {
	*testing.T
	api  client.Client
	node *guest.Guest
}

// startCluster starts an API server, a scheduler and the controller here, and
// containerd, kubelet, agent and handler in a guest.
func startCluster(t *testing.T) *cluster {
	t.Helper()
	api := kubetest.Start(t, kubetest.WithControllerManager("garbage-collector-controller", "namespace-controller",
		"serviceaccount-controller", "node-lifecycle-controller", "taint-eviction-controller"))
	bins, err := kubebin.Ensure(t.Context(), kubebin.Options{Progress: os.Stderr},
		kubebin.Scheduler, kubebin.Kubelet, kubebin.Pause, kubebin.Containerd, kubebin.ContainerdShim, kubebin.Ctr)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	admin := kubeconfig(t, filepath.Join(dir, "admin"), api.Config, "127.0.0.1")
	onThisMachine(t, bins[kubebin.Scheduler], nil, "--kubeconfig="+admin, "--leader-elect=false", "--bind-address=127.0.0.1", "--secure-port=0")
	onThisMachine(t, guest.Build(t, "cmd/akri-controller")["akri-controller"], nil,
		"--kubeconfig="+admin, "--leader-elect=false", "--metrics-port=0", "--health-probe-address=0", "--namespace=default")

	files := map[string]string{
		"/bin/containerd": bins[kubebin.Containerd], "/bin/containerd-shim-runc-v2": bins[kubebin.ContainerdShim], "/bin/ctr": bins[kubebin.Ctr],
		"/bin/kubelet":         bins[kubebin.Kubelet],
		"/etc/kubelet.conf":    kubeconfig(t, filepath.Join(dir, "kubelet"), api.ConfigFor("system:node:"+nodeName, "system:nodes"), guest.Host),
		"/etc/agent.conf":      kubeconfig(t, filepath.Join(dir, "agent"), api.Config, guest.Host),
		"/images/pause.tar":    imageOf(t, filepath.Join(dir, "pause.tar"), pauseImage, bins[kubebin.Pause]),
		"/images/broker.tar":   imageOf(t, filepath.Join(dir, "broker.tar"), brokerImage, guest.Build(t, "samples/brokers/usb-camera")["usb-camera"]),
		"/etc/containerd.toml": "containerd.toml", "/etc/kubelet.yaml": "kubelet.yaml", "/etc/cni/loopback.conflist": "loopback.conflist",
		"/etc/hosts": "hosts", "/etc/resolv.conf": "resolv.conf", "/etc/passwd": "passwd",
	}
	for name, file := range files {
		if !filepath.IsAbs(file) {
			files[name] = filepath.Join("testdata", file)
		}
	}
	root := peers.Unpack(t, "runc", "libc6", "libseccomp2")
	runc, err := guest.Dynamic(root, filepath.Join(root, "usr", "sbin", "runc"), "/bin/runc")
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(files, runc)
	c := &cluster{T: t}
	log.SetLogger(logr.Discard()) // the client's library wants one
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v0.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	if c.api, err = client.New(api.Config, client.Options{Scheme: scheme}); err != nil {
		t.Fatal(err)
	}
	c.node = guest.Start(t, guest.Options{
		Programs: []string{"cmd/akri-agent", "cmd/akri-discovery"}, Modules: []string{"vivid n_devs=1 node_types=0x1", "ftdi_sio", "overlay"},
		Files: files, Folders: []string{handlersFolder}, MemoryMiB: 2560, Outside: true, Life: 25 * time.Minute,
	})
	c.startNode()
	return c
}

// startNode starts the programs of a node, and waits until it is ready.
func (c *cluster) startNode() {
	c.Helper()
	c.node.Run(c.T, "/init", "mount", "cgroup2", "/sys/fs/cgroup")
	for _, dir := range []string{"/var/lib/containerd", "/var/lib/kubelet"} {
		c.node.Run(c.T, "/init", "mount", "tmpfs", dir) // the kubelet measures file systems, and an initramfs is none
	}
	containerd := c.program(nil, "/bin/containerd", "--config=/etc/containerd.toml")
	const socket = "/run/containerd/containerd.sock"
	eventually.Succeeds(c, nodePatience, func(ctx context.Context) error {
		c.goesOn(containerd)
		conn, err := c.node.Dial(ctx, "unix", socket)
		if err != nil {
			return err
		}
		return conn.Close()
	})
	for _, image := range []string{"pause", "broker"} {
		c.node.Run(c.T, "/bin/ctr", "--address="+socket, "--namespace=k8s.io", "images", "import", "/images/"+image+".tar")
	}
	kubelet := c.program(nil, "/bin/kubelet", "--config=/etc/kubelet.yaml", "--kubeconfig=/etc/kubelet.conf", "--hostname-override="+nodeName, "--node-ip=10.0.2.15")
	eventually.Succeeds(c, nodePatience, func(ctx context.Context) error {
		c.goesOn(kubelet)
		var n corev1.Node
		if err := c.api.Get(ctx, client.ObjectKey{Name: nodeName}, &n); err != nil {
			return err
		}
		for _, condition := range n.Status.Conditions {
			if condition.Type == corev1.NodeReady && condition.Status == corev1.ConditionTrue && len(n.Spec.Taints) == 0 {
				return nil
			}
		}
		return fmt.Errorf("the node is not ready: %v, taints %v", n.Status.Conditions, n.Spec.Taints)
	})
	c.program([]string{"AGENT_NODE_NAME=" + nodeName, "KUBECONFIG=/etc/agent.conf", "DISCOVERY_HANDLERS_DIRECTORY=" + handlersFolder, "METRICS_PORT=0"},
		"/bin/akri-agent")
	c.program([]string{"DISCOVERY_HANDLERS_DIRECTORY=" + handlersFolder}, "/bin/akri-discovery", "udev")
}

// program starts a program in the guest; if the test fails, its log is shown.
func (c *cluster) program(env []string, argv ...string) *guest.Process {
	c.Helper()
	p := c.node.Start(c.T, env, argv...)
	c.Cleanup(func() {
		if c.Failed() {
			c.Logf("%s says:\n%s", argv[0], end(p.Output()))
		}
	})
	return p
}

// goesOn fails the test if a program has ended.
func (c *cluster) goesOn(p *guest.Process) {
	c.Helper()
	if exit, ended := p.Ended(); ended {
		c.Fatalf("a program of the node has ended with %s", exit)
	}
}

// kubeconfig writes a kubeconfig for the API server at an address of this machine.
func kubeconfig(t *testing.T, file string, cfg *rest.Config, address string) string {
	t.Helper()
	k := clientcmdapi.NewConfig()
	k.Clusters["c"] = &clientcmdapi.Cluster{Server: strings.Replace(cfg.Host, "127.0.0.1", address, 1), TLSServerName: "localhost",
		CertificateAuthorityData: cfg.CAData}
	k.AuthInfos["u"] = &clientcmdapi.AuthInfo{ClientCertificateData: cfg.CertData, ClientKeyData: cfg.KeyData}
	k.Contexts["c"] = &clientcmdapi.Context{Cluster: "c", AuthInfo: "u"}
	k.CurrentContext = "c"
	if err := clientcmd.WriteToFile(*k, file); err != nil {
		t.Fatal(err)
	}
	return file
}

func imageOf(t *testing.T, archive, ref, program string) string {
	t.Helper()
	if err := images.WriteProgram(archive, ref, program); err != nil {
		t.Fatal(err)
	}
	return archive
}
