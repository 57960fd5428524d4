// Package edge is the wiring of edgecore: which part uses which.
//
//	clients ── api ── view ── store ── sync ── link ── cloudcore
//	              └── outbox ──┘
//	edged ── kubelet, kube-proxy (clients)
package edge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
	"github.com/akri-go/akri/internal/backoff"
	"github.com/akri-go/akri/internal/edge/config"
	"github.com/akri-go/akri/internal/edge/dns"
	"github.com/akri-go/akri/internal/edge/edged"
	"github.com/akri-go/akri/internal/edge/edgehub/join"
	"github.com/akri-go/akri/internal/edge/edgehub/link"
	"github.com/akri-go/akri/internal/edge/edgehub/sync"
	"github.com/akri-go/akri/internal/edge/metamanager/api"
	"github.com/akri-go/akri/internal/edge/metamanager/localca"
	"github.com/akri-go/akri/internal/edge/metamanager/outbox"
	"github.com/akri-go/akri/internal/edge/metamanager/rewrite"
	"github.com/akri-go/akri/internal/edge/metamanager/store"
	"github.com/akri-go/akri/internal/edge/metamanager/tokens"
	"github.com/akri-go/akri/internal/edge/metamanager/view"
	"github.com/akri-go/akri/internal/edge/status"
	"github.com/akri-go/akri/internal/probes"
	"github.com/akri-go/akri/internal/version"
)

// Run runs edgecore until ctx is done. The kubelet's output goes to output.
func Run(ctx context.Context, c config.Config, log *slog.Logger, output io.Writer) error {
	m := c.Modules
	node := m.Edged.HostnameOverride
	st, err := store.Open(ctx, store.Options{Path: c.Database.DataSource, Log: log, MaxBytes: c.Database.MaxMiB << 20})
	if err != nil {
		return err
	}
	defer func() {
		if err := st.Close(); err != nil {
			log.Error("the store is not closed", "error", err)
		}
	}()
	ca, err := localca.Open(m.MetaManager.MetaServer.CertDir)
	if err != nil {
		return err
	}
	if ca.Replaced {
		log.Error("the local API's authority was damaged: there is a new one, and Pods that read kube-root-ca.crt only once must start again",
			"folder", m.MetaManager.MetaServer.CertDir)
	}
	signer, err := tokens.Open(m.MetaManager.MetaServer.CertDir)
	if err != nil {
		return err
	}
	kubeletCert, proxyCert, err := credentials(ca, m.MetaManager.MetaServer.CertDir, node)
	if err != nil {
		return err
	}
	users := api.Users(node, ca.User)
	listener, err := api.Listen(ctx, m.MetaManager.MetaServer.Server, users)
	if err != nil {
		return fmt.Errorf("listen for the local API: %w", err)
	}
	forPods, at := listenForPods(ctx, m.MetaManager.MetaServer.PodServer, log)
	names := &dns.Source{Store: st, As: api.ProxyAs, Domain: clusterDomain(m.Edged.TailoredKubeletConfig)}
	answers := listenDNS(ctx, m.DNS, names, log)

	var server *api.Server
	var also []edgev1.Interest
	if answers != nil {
		also = dns.Interests(api.ProxyAs)
	}
	var waiting *outbox.Outbox
	hub := sync.New(sync.Options{
		Store: st, Log: log, Node: node, Also: also,
		First:  func(ctx context.Context) { waiting.Replay(ctx) },
		Joined: func(ctx context.Context) { server.Prefetch(ctx) },
	})
	waiting = outbox.New(outbox.Options{Store: st, Do: hub.Do, Kept: hub.Again, Log: log})
	seen := view.New(view.Options{
		Rules: rewrite.Rules{Node: node, API: at, CA: ca.CertPEM},
		Store: st, Want: hub.Want, As: api.ProxyAs, Log: log,
	})
	server = api.New(api.Options{Node: node, Store: st, Cloud: hub, View: seen, Outbox: waiting, Log: log, Authenticate: users, Signer: signer})
	own := []string{"127.0.0.1", "::1", "localhost"}
	atPods := status.ForPods{DNS: addressOf(answers)}
	if at.IsValid() {
		own, atPods.API = append(own, at.Addr().String()), at.String()
	}
	serving := ca.Following(func() []string { return api.Hosts(st, names.Domain, own...) })
	access := edged.Access{Server: "https://" + listener.Addr().String(), CA: ca.CertPEM, Credentials: kubeletCert}
	kubelet := edged.NewKubelet(edged.KubeletOptions{
		Program: m.Edged.Kubelet, Dir: m.Edged.ConfigDir, Node: node, NodeIP: m.Edged.NodeIP, Access: access,
		ClusterDNS: atPods.DNS, Tailored: m.Edged.TailoredKubeletConfig, Args: m.Edged.Args,
	}, log, output)
	access.Credentials = proxyCert
	p := m.Edged.KubeProxy
	proxy := edged.NewProxy(edged.ProxyOptions{
		Program: p.Program, Dir: p.ConfigDir, Node: node, Access: access, Tailored: p.TailoredKubeProxyConfig, Args: p.Args,
	}, log, output)
	var linkStatus link.Status
	said := &reporter{node: node, store: st, hub: hub, api: server, outbox: waiting, link: &linkStatus, runs: m.Edged, kubelet: kubelet, proxy: proxy, forPods: atPods, began: time.Now()}

	all, ctx := errgroup.WithContext(ctx)
	if forPods != nil {
		toPods := serving.Clone() // a server changes its own
		all.Go(func() error { return server.Serve(ctx, forPods, toPods) })
	}
	all.Go(func() error { return server.Serve(ctx, listener, serving) })
	all.Go(func() error { seen.Run(ctx); return nil })
	if answers != nil {
		names.Show = seen.Show
		all.Go(func() error { names.Run(ctx); return nil })
		all.Go(func() error { return answers.Serve(ctx) })
	}
	all.Go(func() error { server.WatchKubelet(ctx); return nil })
	all.Go(func() error { return status.Serve(ctx, c.StatusSocket, said.report) })
	all.Go(func() error { serveMetrics(ctx, c.Metrics.Server, said, log); return nil })
	all.Go(func() error {
		return link.Run(ctx, link.Options{
			Address: m.EdgeHub.WebSocket.Server, TLS: join.TLS(m.EdgeHub.CertDir),
			Hello: edgev1.Hello{Version: version.String(), Node: node, Boot: bootID(), Store: st.ID()},
			Log:   log, Status: &linkStatus,
		}, hub)
	})
	all.Go(func() error { return certificates(ctx, m.EdgeHub, node, log) })
	all.Go(func() error { return runOrWrite(ctx, m.Edged.Enable, kubelet) })
	all.Go(func() error { keepRegistered(ctx, st, node, hub.Linked, kubelet); return nil })
	all.Go(func() error { return runOrWrite(ctx, p.Enable, proxy) })
	return all.Wait()
}

// credentials writes those of the programs that use the local API, and returns
// their files.
func credentials(ca *localca.Authority, dir, node string) (kubelet, proxy string, err error) {
	kubelet, proxy = filepath.Join(dir, "kubelet.pem"), filepath.Join(dir, "kube-proxy.pem")
	err = errors.Join(ca.WriteClient(kubelet, api.NodeUser(node), "system:nodes"), ca.WriteClient(proxy, api.ProxyUser))
	if err != nil {
		err = fmt.Errorf("write the credentials of the node's programs: %w", err)
	}
	return kubelet, proxy, err
}

// runOrWrite runs a program, or writes its files for whoever runs it.
func runOrWrite(ctx context.Context, run bool, p *edged.Program) error {
	if run {
		return p.Run(ctx)
	}
	return p.Write()
}

// serveMetrics serves until ctx is done. A node goes on without.
func serveMetrics(ctx context.Context, address string, metrics http.Handler, log *slog.Logger) {
	if address == "" {
		return
	}
	if err := probes.Serve(ctx, probes.Options{Address: address, Metrics: metrics}); err != nil && ctx.Err() == nil {
		log.Error("there are no metrics of edgecore: metrics.server in its configuration can be another address, or empty",
			"address", address, "error", err)
	}
}

// certificates has a node that has a token but no certificate join, then keeps
// its certificate new.
func certificates(ctx context.Context, h config.EdgeHub, node string, log *slog.Logger) error {
	o := join.Options{Address: h.JoinAddress(), Node: node, Dir: h.CertDir, Log: log}
	retry := backoff.Backoff{First: time.Second, Max: time.Minute, Jitter: 0.5}
	for failures := 0; h.Token != ""; {
		if _, err := join.Load(h.CertDir); !errors.Is(err, join.ErrNone) {
			break
		}
		_, err := join.Join(ctx, o, h.Token)
		if err == nil {
			log.Info("this node has joined")
			break
		}
		var refused *join.RefusedError
		if errors.As(err, &refused) {
			log.Error("this node cannot join: get a new token with keadm gettoken", "error", err)
			break
		}
		failures++
		log.Warn("this node has not joined yet", "error", err)
		if backoff.Sleep(ctx, retry.Delay(failures)) != nil {
			return nil
		}
	}
	return join.Run(ctx, o)
}

// bootID names the time since the node started; "" if the kernel does not say.
func bootID() string {
	data, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}
