package api

import (
	"crypto/tls"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
)

// ProxyUser is kube-proxy's user, here as in a cluster.
const ProxyUser = "system:kube-proxy"

// ProxyAs is who kube-proxy is to cloudcore.
var ProxyAs = edgev1.As{Component: "kube-proxy"}

// NodeUser is the user of a node's kubelet.
func NodeUser(node string) string { return "system:node:" + node }

// Users judges the certificates of the programs on a node. name returns whose
// certificate it is, if it is good.
func Users(node string, name func(tls.ConnectionState) (string, bool)) func(tls.ConnectionState) (User, bool) {
	return func(state tls.ConnectionState) (User, bool) {
		who, ok := name(state)
		switch {
		case !ok:
			return User{}, false
		case who == NodeUser(node):
			return User{Name: who}, true
		case who == ProxyUser:
			return User{Name: who, As: ProxyAs}, true
		}
		return User{}, false
	}
}
