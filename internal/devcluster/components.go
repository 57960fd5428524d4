package devcluster

import (
	"bytes"
	"embed"
	"fmt"
	"path/filepath"
	"text/template"
	"time"

	"github.com/akri-go/akri/internal/cell"
	"github.com/akri-go/akri/internal/devcluster/kubebin"
)

// The components, by the names that logs, Status and the fault functions use.
const (
	Etcd              = kubebin.Etcd
	APIServer         = kubebin.APIServer
	ControllerManager = kubebin.ControllerManager
	Scheduler         = kubebin.Scheduler
	Containerd        = kubebin.Containerd
	Kubelet           = kubebin.Kubelet
	Proxy             = kubebin.Proxy
)

const (
	apiPort       = 6443
	containerdCtl = "/run/containerd/containerd.sock"
)

// ownImage is the name of the image with one of the cluster's binaries. Its tag
// is a hash of the content, so that a node never has an old image.
func (c *Cluster) ownImage(binary string) string {
	return "akri.local/" + binary + ":" + shortHash(filepath.Base(filepath.Dir(c.state.Bins[binary])))
}

// NodeName is the name of a node, counted from 1, in the cluster's API.
func NodeName(node int) string { return fmt.Sprintf("akri-dev-%d", node) }

func controlComponents() []string {
	return []string{Etcd, APIServer, ControllerManager, Scheduler}
}

func nodeComponents() []string { return []string{Containerd, Kubelet, Proxy} }

// arguments returns the command line of a component, with paths as the cell
// sees them.
func (c *Cluster) arguments(cellName, component string) []string {
	n := c.network
	pkiPath := func(name string) string { return cell.InsidePath("pki", name) }
	config := func(name string) string { return cell.InsidePath("config", name) }
	switch component {
	case Etcd:
		return []string{
			"--name=akri-dev", "--data-dir=" + cell.InsidePath("etcd"),
			// A power cut may damage the data; a development cluster can be replaced.
			"--unsafe-no-fsync",
			"--listen-client-urls=http://127.0.0.1:2379", "--advertise-client-urls=http://127.0.0.1:2379",
			"--listen-peer-urls=http://127.0.0.1:2380", "--initial-advertise-peer-urls=http://127.0.0.1:2380",
			"--initial-cluster=akri-dev=http://127.0.0.1:2380",
			"--listen-metrics-urls=http://" + n.ControlPlane().String() + ":2381",
			"--auto-compaction-retention=1h", "--log-level=warn",
			// A single member need not wait a second for others before it leads.
			"--heartbeat-interval=20", "--election-timeout=200",
		}
	case APIServer:
		args := []string{
			"--etcd-servers=http://127.0.0.1:2379",
			"--bind-address=" + n.ControlPlane().String(), "--advertise-address=" + n.ControlPlane().String(),
			fmt.Sprintf("--secure-port=%d", apiPort),
			"--service-cluster-ip-range=" + n.Services().String(),
			"--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction",
			"--allow-privileged=true",
			"--client-ca-file=" + pkiPath("ca.crt"),
			"--tls-cert-file=" + pkiPath("apiserver.crt"), "--tls-private-key-file=" + pkiPath("apiserver.key"),
			"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
			"--service-account-key-file=" + pkiPath("sa.pub"), "--service-account-signing-key-file=" + pkiPath("sa.key"),
			"--kubelet-certificate-authority=" + pkiPath("ca.crt"),
			"--kubelet-client-certificate=" + pkiPath("apiserver-kubelet.crt"), "--kubelet-client-key=" + pkiPath("apiserver-kubelet.key"),
			"--kubelet-preferred-address-types=InternalIP",
			"--requestheader-client-ca-file=" + pkiPath("ca.crt"), "--requestheader-allowed-names=front-proxy-client",
			"--requestheader-username-headers=X-Remote-User", "--requestheader-group-headers=X-Remote-Group",
			"--requestheader-extra-headers-prefix=X-Remote-Extra-",
			"--proxy-client-cert-file=" + pkiPath("front-proxy.crt"), "--proxy-client-key-file=" + pkiPath("front-proxy.key"),
			// There is no kube-proxy here: webhooks are called at their Pods'
			// addresses.
			"--enable-aggregator-routing=true",
		}
		if len(c.auditUsers) > 0 {
			args = append(args, "--audit-policy-file="+config(auditPolicy), "--audit-log-path="+cell.InsidePath("logs", auditLog))
		}
		return args
	case ControllerManager:
		return append([]string{
			"--kubeconfig=" + config("controller-manager.kubeconfig"), "--leader-elect=false", "--bind-address=127.0.0.1",
			"--use-service-account-credentials=true", "--controllers=*",
			"--root-ca-file=" + pkiPath("ca.crt"), "--service-account-private-key-file=" + pkiPath("sa.key"),
			"--cluster-signing-cert-file=" + pkiPath("ca.crt"), "--cluster-signing-key-file=" + pkiPath("ca.key"),
			"--flex-volume-plugin-dir=/var/lib/kubelet/volume-plugins",
		}, c.monitorArgs()...)
	case Scheduler:
		return []string{"--kubeconfig=" + config("scheduler.kubeconfig"), "--leader-elect=false", "--bind-address=127.0.0.1"}
	case Containerd:
		return []string{"--config=" + config(cellName+"-containerd.toml")}
	case Kubelet:
		node := nodeNumber(cellName)
		return []string{
			"--config=" + config(cellName+"-kubelet.yaml"), "--kubeconfig=" + config(cellName+".kubeconfig"),
			"--hostname-override=" + NodeName(node), "--node-ip=" + n.Node(node).String(),
		}
	case Proxy:
		return []string{"--config=" + config(cellName+"-proxy.yaml")}
	}
	return nil
}

//go:embed config/*.tmpl
var configFiles embed.FS

// nodeConfig is the input of the templates of a node's configuration files.
type nodeConfig struct {
	Name, Cell, Address        string
	DNS, Cgroup                string
	Pods, ClusterPods          string
	PKI, Config                string
	CNIDir, CNIConfig          string
	SandboxImage, ContainerdAt string
	MaxRestart                 time.Duration
	LeaseSeconds               int
	Gates                      []string // feature gates to enable
}

func (c *Cluster) nodeConfig(node int) nodeConfig {
	return c.memberConfig(node, NodeName(node), nodeCell(node))
}

// memberConfig is nodeConfig for a member of the lab.
func (c *Cluster) memberConfig(number int, node, name string) nodeConfig {
	n := c.network
	return nodeConfig{
		Name: node, Cell: name, Address: n.Node(number).String(),
		DNS: n.DNS().String(), Cgroup: c.lab().Cgroup(name),
		Pods: n.NodePods(number).String(), ClusterPods: n.Pods().String(),
		PKI: cell.InsidePath("pki"), Config: cell.InsidePath("config"),
		CNIDir: c.state.CNIDir, CNIConfig: cell.InsidePath("config", name+"-cni"),
		SandboxImage: c.ownImage(kubebin.Pause), ContainerdAt: containerdCtl,
		MaxRestart: c.maxRestart, LeaseSeconds: c.leaseSeconds(), Gates: c.kubeletGates(),
	}
}

// renderNode returns the configuration files of a node, by path below
// <dir>/config.
func renderNode(cfg nodeConfig) (map[string][]byte, error) {
	tmpl, err := template.New("").Option("missingkey=error").ParseFS(configFiles, "config/*.tmpl")
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	for name, file := range map[string]string{
		"containerd.toml.tmpl": cfg.Cell + "-containerd.toml",
		"kubelet.yaml.tmpl":    cfg.Cell + "-kubelet.yaml",
		"proxy.yaml.tmpl":      cfg.Cell + "-proxy.yaml",
		"cni.conflist.tmpl":    filepath.Join(cfg.Cell+"-cni", "10-akri-dev.conflist"),
		"resolv.conf.tmpl":     "resolv.conf",
	} {
		var buf bytes.Buffer
		if err := tmpl.ExecuteTemplate(&buf, name, cfg); err != nil {
			return nil, err
		}
		files[file] = buf.Bytes()
	}
	return files, nil
}

func nodeNumber(cellName string) int {
	var n int
	if _, err := fmt.Sscanf(cellName, "node%d", &n); err != nil {
		return 0
	}
	return n
}
