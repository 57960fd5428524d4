package devcluster

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/akri-go/akri/internal/atomicfile"
	"github.com/akri-go/akri/internal/devcluster/pki"
)

const clusterName = "akri-dev"

// certificates makes what is missing in <dir>/pki, and the kubeconfigs.
func (c *Cluster) certificates() error {
	dir := c.path("pki")
	ca, err := authority(dir)
	if err != nil {
		return err
	}
	n := c.network
	issue := func(name string, make func() (pki.Pair, error)) error {
		if exists(filepath.Join(dir, name+".key")) {
			return nil
		}
		pair, err := make()
		if err != nil {
			return err
		}
		return pair.Write(dir, name)
	}
	err = issue("apiserver", func() (pki.Pair, error) {
		return ca.Server("kube-apiserver", n.ControlPlane().String(), n.APIService().String(), "127.0.0.1", "localhost",
			"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local")
	})
	if err != nil {
		return err
	}
	clients := []struct {
		name, user string
		groups     []string
		kubeconfig string
	}{
		{"admin", "akri-dev-admin", []string{"system:masters"}, "kubeconfig"},
		{"controller-manager", "system:kube-controller-manager", nil, "config/controller-manager.kubeconfig"},
		{"scheduler", "system:kube-scheduler", nil, "config/scheduler.kubeconfig"},
		{"proxy", "system:kube-proxy", nil, "config/proxy.kubeconfig"},
		{"apiserver-kubelet", "kube-apiserver-kubelet", []string{"system:masters"}, ""},
		{"front-proxy", "front-proxy-client", nil, ""},
	}
	for i := 1; i <= c.state.Nodes; i++ {
		cell := nodeCell(i)
		clients = append(clients, struct {
			name, user string
			groups     []string
			kubeconfig string
		}{cell, "system:node:" + NodeName(i), []string{"system:nodes"}, "config/" + cell + ".kubeconfig"})
		err := issue(cell+"-server", func() (pki.Pair, error) {
			return ca.Server(NodeName(i), n.Node(i).String(), NodeName(i))
		})
		if err != nil {
			return err
		}
	}
	for _, cl := range clients {
		if err := issue(cl.name, func() (pki.Pair, error) { return ca.Client(cl.user, cl.groups...) }); err != nil {
			return err
		}
		if cl.kubeconfig == "" {
			continue
		}
		pair, err := pki.Read(dir, cl.name)
		if err != nil {
			return err
		}
		if err := c.writeKubeconfig(c.path(cl.kubeconfig), ca, pair); err != nil {
			return err
		}
	}
	if exists(filepath.Join(dir, "sa.pub")) {
		return nil
	}
	private, public, err := pki.NewKeyPair()
	if err != nil {
		return err
	}
	if err := atomicfile.Write(filepath.Join(dir, "sa.key"), private, 0o600); err != nil {
		return err
	}
	return atomicfile.Write(filepath.Join(dir, "sa.pub"), public, 0o644)
}

func authority(dir string) (*pki.Authority, error) {
	pair, err := pki.Read(dir, "ca")
	if err == nil {
		return pki.ParseAuthority(pair)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	ca, err := pki.NewAuthority(clusterName)
	if err != nil {
		return nil, err
	}
	return ca, ca.Write(dir, "ca")
}

func (c *Cluster) writeKubeconfig(path string, ca *pki.Authority, pair pki.Pair) error {
	kc := clientcmdapi.NewConfig()
	kc.Clusters[clusterName] = &clientcmdapi.Cluster{Server: c.apiURL(), CertificateAuthorityData: ca.CertPEM}
	kc.AuthInfos[clusterName] = &clientcmdapi.AuthInfo{ClientCertificateData: pair.CertPEM, ClientKeyData: pair.KeyPEM}
	kc.Contexts[clusterName] = &clientcmdapi.Context{Cluster: clusterName, AuthInfo: clusterName}
	kc.CurrentContext = clusterName
	data, err := clientcmd.Write(*kc)
	if err != nil {
		return err
	}
	return atomicfile.Write(path, data, 0o600)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
