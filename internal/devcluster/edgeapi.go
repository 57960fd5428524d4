package devcluster

import (
	"context"
	"net"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/akri-go/akri/internal/edge/status"
)

const (
	// kubeletAccess is how the edge node's kubelet reaches edgecore's API.
	kubeletAccess = EdgeDir + "/kubelet/kubelet.kubeconfig"
	// statusSocket is edgecore's default.
	statusSocket = "/run/kubeedge/edgecore.sock"
)

// Report returns what edgecore says of itself, as edgecore status shows it.
func (e *EdgeNode) Report(ctx context.Context) (status.Report, error) {
	socket, err := e.Path(statusSocket)
	if err != nil {
		return status.Report{}, err
	}
	return status.Ask(ctx, socket)
}

// RESTConfig is for clients of the edge node's own API, with the rights of its
// kubelet. It is of use until the power is cut.
func (e *EdgeNode) RESTConfig() (*rest.Config, error) {
	file, err := e.Path(kubeletAccess)
	if err != nil {
		return nil, err
	}
	access, err := clientcmd.LoadFromFile(file)
	if err != nil {
		return nil, err
	}
	for _, user := range access.AuthInfos { // its files are the edge node's
		for _, file := range []*string{&user.ClientCertificate, &user.ClientKey} {
			if *file, err = e.Path(*file); err != nil {
				return nil, err
			}
		}
	}
	config, err := clientcmd.NewDefaultClientConfig(*access, nil).ClientConfig()
	if err != nil {
		return nil, err
	}
	config.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		return dialIn(ctx, e.NetNS(), network, address)
	}
	return config, nil
}
