package api

import (
	"crypto/tls"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
	"github.com/akri-go/akri/internal/edge/metamanager/tokens"
)

// ProxyUser is kube-proxy's user, here as in a cluster.
const ProxyUser = "system:kube-proxy"

// ProxyAs is who kube-proxy is to cloudcore.
var ProxyAs = edgev1.As{Component: "kube-proxy"}

// NodeUser is the user of a node's kubelet.
func NodeUser(node string) string { return "system:node:" + node }

// User is who asks.
type User struct {
	Name string
	As   edgev1.As
}

// podUser is the user of a Pod with such a token.
func podUser(c tokens.Claims) User {
	k := c.Kubernetes
	return User{Name: c.Subject, As: edgev1.As{
		ServiceAccount: k.Namespace + "/" + k.ServiceAccount.Name, Pod: k.Pod.Name, PodUID: k.Pod.UID,
	}}
}

// isNode reports whether the user is the kubelet.
func (u User) isNode() bool { return u.As == edgev1.As{} }

// isPod reports whether the user is a Pod's service account.
func (u User) isPod() bool { return u.As.ServiceAccount != "" }

// reader is in whose name the user reads. All Pods of a service account may see
// the same: one interest serves them all, and the Pod that replaces another one.
func (u User) reader() edgev1.As {
	as := u.As
	as.Pod, as.PodUID = "", ""
	return as
}

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
