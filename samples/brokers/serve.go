package brokers

import (
	"context"
	"net"
	"net/http"

	"golang.org/x/sync/errgroup"

	"github.com/akri-go/akri/bounded"
	"github.com/akri-go/akri/internal/probes"
)

// Serve serves a handler for gRPC and HTTP, and probes, until ctx is done.
func Serve(ctx context.Context, listener *bounded.Listener, handler http.Handler, p probes.Options) error {
	server := &http.Server{Handler: handler, Protocols: new(http.Protocols),
		BaseContext: func(net.Listener) context.Context { return ctx }}
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetUnencryptedHTTP2(true) // gRPC
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return bounded.Serve(ctx, listener, server) })
	group.Go(func() error { return probes.Serve(ctx, p) })
	return group.Wait()
}
