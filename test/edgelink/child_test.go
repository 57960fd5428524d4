package edgelink

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
	"testing"
	"time"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
	"github.com/akri-go/akri/internal/certs"
	"github.com/akri-go/akri/internal/cloud/cloudhub"
)

// childEnv makes the test binary a hub of its own, so that what it costs can be
// told from what the simulated nodes cost. Its value is a folder of certificates.
const childEnv = "AKRI_EDGELINK_CHILD"

func TestMain(m *testing.M) {
	switch {
	case os.Getenv(childEnv) != "":
		if err := runChild(os.Getenv(childEnv)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	case os.Getenv(slowEnv) != "":
		if err := runSlow(os.Getenv(slowEnv)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	default:
		os.Exit(m.Run())
	}
}

// authority is what the hub asks, made of the data of package certs.
type authority map[string][]byte

// served is an authority whose certificates are read once.
type served struct {
	authority
	config *tls.Config
}

func (s *served) ServerTLS() (*tls.Config, error) { return s.config, nil }

func benchPolicy() certs.Policy {
	return certs.Policy{Name: "bench", Authority: 24 * time.Hour, Leaf: 24 * time.Hour}
}

func newAuthority() (authority, error) {
	data, _, err := benchPolicy().Plan(time.Now(), nil, []string{edgev1.ServerName})
	return data, err
}

func (a authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(a[certs.Bundle])
	return pool
}

func (a authority) ServerTLS() (*tls.Config, error) {
	pair, err := tls.X509KeyPair(a[certs.Leaf], a[certs.LeafKey])
	return &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: a.pool()}, err
}

func (authority) Revoked(string, *x509.Certificate) bool { return false }

// node returns how a node connects. All have one key, which costs the hub the
// same.
func (a authority) node(key *ecdsa.PrivateKey, name string) (*tls.Config, error) {
	signer, err := benchPolicy().Signer(time.Now(), a)
	if err != nil {
		return nil, err
	}
	cert, err := signer.Sign(&x509.Certificate{
		Subject:   pkix.Name{CommonName: cloudhub.NodePrefix + name, Organization: []string{"system:nodes"}},
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, key.Public())
	if err != nil {
		return nil, err
	}
	return &tls.Config{MinVersion: tls.VersionTLS13, ServerName: edgev1.ServerName, RootCAs: a.pool(),
		Certificates: []tls.Certificate{{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert}}}, nil
}

// runChild serves until stdin is closed. For each line of it, it prints sessions,
// goroutines, resident bytes and CPU time in ns.
func runChild(dir string) error {
	debug.SetGCPercent(50) // as cloudcore should have it
	a := authority{}
	for _, key := range []string{certs.Bundle, certs.Leaf, certs.LeafKey} {
		var err error
		if a[key], err = os.ReadFile(filepath.Join(dir, key)); err != nil {
			return err
		}
	}
	config, err := a.ServerTLS()
	if err != nil {
		return err
	}
	hub, err := cloudhub.New(cloudhub.Options{
		Authority: &served{a, config}, Controller: &echo{}, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	l, err := hub.Listen(ctx, "127.0.0.1:0")
	if err != nil {
		return err
	}
	served := make(chan error, 1)
	go func() { served <- hub.Serve(ctx, l) }()
	fmt.Println(l.Addr())
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		if lines.Text() == "collect" {
			runtime.GC()
			debug.FreeOSMemory()
		}
		var use syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &use); err != nil {
			return err
		}
		resident, err := residentBytes()
		if err != nil {
			return err
		}
		fmt.Println(hub.Len(), runtime.NumGoroutine(), resident, use.Utime.Nano()+use.Stime.Nano())
	}
	cancel()
	return <-served
}

func residentBytes() (int64, error) {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0, err
	}
	var size, resident int64
	_, err = fmt.Sscan(string(text), &size, &resident)
	return resident * int64(os.Getpagesize()), err
}

// child is a hub in a process of its own.
type child struct {
	authority
	address string
	say     func(string) error
	lines   *bufio.Scanner
}

type stat struct {
	sessions, goroutines int
	resident             int64
	cpu                  time.Duration
}

func startChild(b *testing.B) *child {
	b.Helper()
	a, err := newAuthority()
	if err != nil {
		b.Fatal(err)
	}
	dir := b.TempDir()
	for key, data := range a {
		if err := os.WriteFile(filepath.Join(dir, key), data, 0o600); err != nil {
			b.Fatal(err)
		}
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+dir)
	cmd.Stderr = os.Stderr
	in, err1 := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	if err := errors.Join(err1, err2); err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			b.Error(err)
		}
	})
	c := &child{authority: a, lines: bufio.NewScanner(out)}
	c.say = func(s string) error { _, err := fmt.Fprintln(in, s); return err }
	if !c.lines.Scan() {
		b.Fatal("the hub does not start")
	}
	c.address = strings.TrimSpace(c.lines.Text())
	return c
}

// stat asks what the hub has used; collect: after a garbage collection.
func (c *child) stat(b *testing.B, collect bool) stat {
	b.Helper()
	word := "stat"
	if collect {
		word = "collect"
	}
	if err := c.say(word); err != nil || !c.lines.Scan() {
		b.Fatalf("the hub does not answer: %v", err)
	}
	var s stat
	if _, err := fmt.Sscan(c.lines.Text(), &s.sessions, &s.goroutines, &s.resident, (*int64)(&s.cpu)); err != nil {
		b.Fatal(err)
	}
	return s
}

func fixed(c *tls.Config) func() (*tls.Config, error) {
	return func() (*tls.Config, error) { return c, nil }
}
