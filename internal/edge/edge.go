// Package edge is the wiring of edgecore: which part uses which.
//
//	clients ── api ── store ── sync ── link ── cloudcore
//	                                    edged ── kubelet (a client)
package edge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
	"github.com/akri-go/akri/internal/backoff"
	"github.com/akri-go/akri/internal/edge/config"
	"github.com/akri-go/akri/internal/edge/edged"
	"github.com/akri-go/akri/internal/edge/edgehub/join"
	"github.com/akri-go/akri/internal/edge/edgehub/link"
	"github.com/akri-go/akri/internal/edge/edgehub/sync"
	"github.com/akri-go/akri/internal/edge/metamanager/api"
	"github.com/akri-go/akri/internal/edge/metamanager/localca"
	"github.com/akri-go/akri/internal/edge/metamanager/store"
	"github.com/akri-go/akri/internal/edge/status"
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
	credentials := filepath.Join(m.MetaManager.MetaServer.CertDir, "kubelet.pem")
	if err := ca.WriteClient(credentials, api.NodeUser(node), "system:nodes"); err != nil {
		return fmt.Errorf("write the kubelet's credentials: %w", err)
	}

	var server *api.Server
	hub := sync.New(sync.Options{Store: st, Log: log, Node: node, Joined: func(ctx context.Context) {
		server.Prefetch(ctx)
		server.Joined(ctx)
	}})
	server = api.New(api.Options{Node: node, Store: st, Cloud: hub, Log: log, Authenticate: api.Users(node, ca.User)})
	cert, err := ca.Server("127.0.0.1", "::1", "localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc")
	if err != nil {
		return err
	}
	listener, err := api.Listen(ctx, m.MetaManager.MetaServer.Server)
	if err != nil {
		return fmt.Errorf("listen for the local API: %w", err)
	}
	kubelet := edged.New(edged.Options{
		Kubelet: m.Edged.Kubelet, Dir: m.Edged.ConfigDir, Node: node, NodeIP: m.Edged.NodeIP,
		Server: "https://" + listener.Addr().String(), CA: ca.CertPEM, Credentials: credentials,
		Tailored: m.Edged.TailoredKubeletConfig, Args: m.Edged.Args,
	}, log, output)
	var linkStatus link.Status
	said := &reporter{node: node, store: st, hub: hub, api: server, link: &linkStatus, kubelet: kubelet, runsKubelet: m.Edged.Enable, began: time.Now()}

	all, ctx := errgroup.WithContext(ctx)
	all.Go(func() error { return server.Serve(ctx, listener, ca.Config(cert)) })
	all.Go(func() error { server.WatchKubelet(ctx); return nil })
	all.Go(func() error { return status.Serve(ctx, c.StatusSocket, said.report) })
	all.Go(func() error {
		return link.Run(ctx, link.Options{
			Address: m.EdgeHub.WebSocket.Server, TLS: join.TLS(m.EdgeHub.CertDir),
			Hello: edgev1.Hello{Version: version.String(), Node: node, Boot: bootID(), Store: st.ID()},
			Log:   log, Status: &linkStatus,
		}, hub)
	})
	all.Go(func() error { return certificates(ctx, m.EdgeHub, node, log) })
	all.Go(func() error {
		if m.Edged.Enable {
			return kubelet.Run(ctx)
		}
		return kubelet.Write()
	})
	return all.Wait()
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
