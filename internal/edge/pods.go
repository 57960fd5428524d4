package edge

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"os"

	"github.com/akri-go/akri/bounded"
	"github.com/akri-go/akri/internal/edge/config"
	"github.com/akri-go/akri/internal/edge/dns"
	"github.com/akri-go/akri/internal/edge/edged"
	"github.com/akri-go/akri/internal/edge/hostaddr"
	"github.com/akri-go/akri/internal/edge/metamanager/api"
)

// What edgecore is for Pods. Where it cannot be, the rest of the node works all
// the same.

// listenForPods listens where Pods reach the local API.
func listenForPods(ctx context.Context, address string, log *slog.Logger) (*bounded.Listener, netip.AddrPort) {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, netip.AddrPort{} // it is not wanted
	}
	var l *bounded.Listener
	if err = hostaddr.Ensure(at.Addr()); err == nil {
		l, err = api.ListenForPods(ctx, address)
	}
	if err != nil {
		log.Error("Pods of this node do not reach the local API (modules.metaManager.metaServer.podServer)", "error", err)
		return nil, netip.AddrPort{}
	}
	return l, at
}

const (
	dnsPort = "53"
	// resolvConf has the node's own resolvers.
	resolvConf = "/etc/resolv.conf"
)

// listenDNS listens for the DNS queries of Pods; nil if it does not.
func listenDNS(ctx context.Context, c config.DNS, names *dns.Source, log *slog.Logger) *dns.Server {
	a, err := netip.ParseAddr(c.Address)
	if !c.Enable || err != nil {
		return nil
	}
	at := net.JoinHostPort(c.Address, dnsPort)
	var s *dns.Server
	if err = hostaddr.Ensure(a); err == nil {
		s, err = dns.Listen(ctx, at, dns.Options{Records: names.Records, Domain: names.Domain, Log: log, Resolvers: func() []string {
			text, _ := os.ReadFile(resolvConf) // without it there are none
			return dns.Resolvers(text, at)
		}})
	}
	if err != nil {
		log.Error("edgecore does not answer the DNS queries of this node's Pods (modules.dns)", "error", err)
		return nil
	}
	return s
}

// addressOf is the address that Pods ask; "" if there is no server.
func addressOf(s *dns.Server) string {
	if s == nil {
		return ""
	}
	host, _, _ := net.SplitHostPort(s.Address()) // it is the listener's own
	return host
}

// clusterDomain is the domain of the cluster's names.
func clusterDomain(kubelet map[string]any) string {
	if domain, ok := kubelet["clusterDomain"].(string); ok && domain != "" {
		return domain
	}
	return edged.ClusterDomain
}
