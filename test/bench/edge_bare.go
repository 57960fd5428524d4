package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/akri-go/akri/internal/certs"
)

// bareHandshakes returns how long it takes until nodes have connections with
// certificates of both ends, which all begin at once: the unavoidable part of
// connecting to cloudcore. The server is in this process and does nothing else;
// data is that of cloudcore's Secret.
func bareHandshakes(ctx context.Context, nodes []*simulated, data map[string][]byte) (time.Duration, error) {
	pair, err := tls.X509KeyPair(data[certs.Leaf], data[certs.LeafKey])
	if err != nil {
		return 0, err
	}
	clients := x509.NewCertPool()
	clients.AppendCertsFromPEM(data[certs.Bundle])
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{pair},
		ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients, SessionTicketsDisabled: true})
	if err != nil {
		return 0, err
	}
	var serving errgroup.Group
	serving.Go(func() error {
		for {
			conn, err := l.Accept()
			if err != nil {
				return nil // it is closed
			}
			serving.Go(func() error {
				defer conn.Close()
				_, _ = conn.Write([]byte{0}) // when the client's certificate is good
				_, _ = io.Copy(io.Discard, conn)
				return nil
			})
		}
	})
	began := time.Now()
	g, ctx := errgroup.WithContext(ctx)
	for _, n := range nodes {
		g.Go(func() error {
			d := tls.Dialer{Config: n.config, NetDialer: &net.Dialer{LocalAddr: &net.TCPAddr{IP: n.from}}}
			conn, err := d.DialContext(ctx, "tcp", l.Addr().String())
			if err != nil {
				return err
			}
			defer conn.Close()
			_, err = io.ReadFull(conn, make([]byte, 1))
			return err
		})
	}
	err = g.Wait()
	took := time.Since(began)
	l.Close()
	_ = serving.Wait() // it has no errors
	return took, err
}
