package services

import (
	"cmp"
	"net"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
)

const (
	// connectTimeout is how long a connection may take.
	connectTimeout = 3 * time.Second
	// quietTimeout is how long a broker may say nothing before it is asked whether it
	// is still there. A node that is switched off says nothing any more.
	quietTimeout = 10 * time.Second
)

// Dial makes a connection to a broker, which speaks gRPC in plain text. No message
// of it may have more than maxBytes.
func Dial(address string, maxBytes int) (*grpc.ClientConn, error) {
	return grpc.NewClient("passthrough:///"+address,
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithNoProxy(),
		grpc.WithConnectParams(grpc.ConnectParams{MinConnectTimeout: connectTimeout}),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: quietTimeout, Timeout: connectTimeout}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxBytes)))
}

// WithPort adds port 80, that of upstream's Services, to a host that has none.
func WithPort(host string) string {
	if _, _, err := net.SplitHostPort(host); err == nil {
		return host
	}
	return net.JoinHostPort(strings.Trim(host, "[]"), "80")
}

// namespaceFile has the namespace of every Pod with a service account.
const namespaceFile = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"

// OwnNamespace returns the namespace of the Pod, or default outside a cluster.
func OwnNamespace() string {
	own, _ := os.ReadFile(namespaceFile) // there is none outside a cluster
	return cmp.Or(strings.TrimSpace(string(own)), "default")
}
