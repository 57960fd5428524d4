// Edgefloor is the least program of the kind of edgecore: an SQLite file, and a
// TLS connection with certificates of both ends. The figure edge-node compares
// edgecore's memory and size with it. It prints "ready", and ends with its standard
// input.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"runtime/debug"
	"time"

	_ "modernc.org/sqlite" // the driver

	"github.com/akri-go/akri/internal/certs"
	"github.com/akri-go/akri/internal/trim"
)

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "edgefloor:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) (err error) {
	if len(args) != 1 {
		return errors.New("want the file of the database")
	}
	debug.SetGCPercent(50) // as edgecore
	defer trim.Start(ctx, slog.New(slog.DiscardHandler))()
	db, err := sql.Open("sqlite", args[0])
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if _, err := db.ExecContext(ctx, "PRAGMA journal_mode=WAL; CREATE TABLE objects (name TEXT PRIMARY KEY, json BLOB)"); err != nil {
		return err
	}
	server, client, err := ends()
	if err != nil {
		return err
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", server)
	if err != nil {
		return err
	}
	defer l.Close()
	go func() { // ends with the listener
		_ = (&http.Server{ReadHeaderTimeout: time.Minute}).Serve(l)
	}()
	conn, err := (&tls.Dialer{Config: client}).DialContext(ctx, "tcp", l.Addr().String())
	if err != nil {
		return err
	}
	defer conn.Close()
	fmt.Println("ready")
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// ends are those of a connection with certificates of both.
func ends() (server, client *tls.Config, err error) {
	policy := certs.Policy{Name: "floor", Authority: 24 * time.Hour, Leaf: 24 * time.Hour}
	data, _, err := policy.Plan(time.Now(), nil, []string{"localhost"})
	if err != nil {
		return nil, nil, err
	}
	pair, err := tls.X509KeyPair(data[certs.Leaf], data[certs.LeafKey])
	if err != nil {
		return nil, nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(data[certs.Bundle])
	server = &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAnyClientCert}
	client = &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{pair}, RootCAs: roots, ServerName: "localhost"}
	return server, client, nil
}
