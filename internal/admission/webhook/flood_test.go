package webhook

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	admissionv1 "k8s.io/api/admission/v1"
	crlog "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/webhook"
	ctrladmission "sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/akri-go/akri/internal/admission/admissiontest"
	"github.com/akri-go/akri/internal/certs"
	"github.com/akri-go/akri/internal/eventually"
	"github.com/akri-go/akri/internal/freeport"
)

// TestServed is not a test: it is the process that TestFlood attacks.
func TestServed(t *testing.T) {
	address := os.Getenv("AKRI_FLOODED")
	if address == "" {
		t.Skip("run by TestFlood")
	}
	data, _, err := Certificates.Plan(time.Now(), nil, []string{"127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(data[certs.Leaf], data[certs.LeafKey])
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	crlog.SetLogger(logr.Discard())
	s := &server{
		Server: webhook.NewServer(webhook.Options{}), address: address, log: log,
		certificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &pair, nil },
	}
	s.Register(Path, limited(&ctrladmission.Webhook{Handler: &Validator{Live: nobody{}, Log: log}}))
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // until the test is over
		cancel()
	}()
	fmt.Printf("%s\n%s\n", strings.ReplaceAll(string(data[certs.Bundle]), "\n", "|"), "served")
	if err := s.Start(ctx); err != nil {
		t.Error(err)
	}
}

// served starts the process and returns its CA.
func served(t *testing.T, address string) (*exec.Cmd, *x509.CertPool) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestServed$", "-test.v")
	cmd.Env = append(os.Environ(), "AKRI_FLOODED="+address, fmt.Sprintf("GOMEMLIMIT=%d", 256<<20/10*9))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	lines := bufio.NewScanner(out)
	for lines.Scan() && lines.Text() != "served" {
		roots.AppendCertsFromPEM([]byte(strings.ReplaceAll(lines.Text(), "|", "\n")))
	}
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		_, _ = io.Copy(io.Discard, out)
	}()
	t.Cleanup(func() {
		in.Close()
		<-drained
		if err := cmd.Wait(); err != nil {
			t.Errorf("the webhook ended: %v", err)
		}
	})
	return cmd, roots
}

// peak is the highest memory use of a process.
func peak(t *testing.T, pid int) int64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return kib << 10
		}
	}
	t.Fatal("no VmHWM")
	return 0
}

// Strangers open connections and send nothing, begin reviews and do not finish
// them, and send reviews of a megabyte that are costly to decode, all at once.
// The API server's reviews are still answered, and memory is bounded.
func TestFlood(t *testing.T) {
	address := freeport.Address(t)
	cmd, roots := served(t, address)

	var strangers sync.WaitGroup
	defer strangers.Wait()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	// stranger connects from its own address again and again.
	stranger := func(from string, do func(net.Conn)) {
		strangers.Go(func() {
			d := tls.Dialer{NetDialer: &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}, Config: &tls.Config{InsecureSkipVerify: true, CurvePreferences: []tls.CurveID{tls.X25519}}}
			for ctx.Err() == nil {
				c, err := d.DialContext(ctx, "tcp", address)
				if err == nil {
					stop := context.AfterFunc(ctx, func() { c.Close() })
					do(c)
					stop()
					c.Close()
				}
				select {
				case <-ctx.Done():
				case <-time.After(200 * time.Millisecond): // the strangers share this machine
				}
			}
		})
	}
	// As long as allowed, and as costly to decode.
	costly := review(t, admissionv1.Create, strings.Replace(admissiontest.Good, "containers:", "x: ["+strings.Repeat("{},", (maxSpecBytes-4096)/3)+"{}]\n      containers:", 1), "")
	head := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", Path, len(costly))
	untilClosed := func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }
	for i := range 60 {
		from := fmt.Sprintf("127.0.3.%d", i%20+1)
		stranger(from, untilClosed)
		stranger(from, func(c net.Conn) {
			_, _ = io.WriteString(c, head+"{")
			untilClosed(c)
		})
		stranger(from, func(c net.Conn) {
			_, _ = io.WriteString(c, head)
			_, _ = c.Write(costly)
			_ = c.SetReadDeadline(time.Now().Add(reviewTimeout))
			_, _ = http.ReadResponse(bufio.NewReader(c), nil)
		})
	}

	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 8}
	defer transport.CloseIdleConnections()
	apiServer := &http.Client{Transport: transport, Timeout: reviewTimeout}
	body := review(t, admissionv1.Create, admissiontest.Good, "")
	ask := func() error {
		resp, err := apiServer.Post("https://"+address+Path, "application/json", bytes.NewReader(body))
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		var out admissionv1.AdmissionReview
		if err := json.NewDecoder(resp.Body).Decode(&out); err != nil || out.Response == nil || !out.Response.Allowed {
			return fmt.Errorf("%s: %v", resp.Status, err)
		}
		return nil
	}
	var slowest time.Duration
	late := 0
	for range 5 {
		began := time.Now()
		eventually.Succeeds(t, eventually.Patience, func(context.Context) error { // as a user tries again
			err := ask()
			if err != nil {
				late++
			}
			return err
		})
		slowest = max(slowest, time.Since(began))
	}
	cancel()
	most := peak(t, cmd.Process.Pid)
	t.Logf("figure=flood-webhook value=%d unit=MiB; the slowest answer took %s, and %d came too late", most>>20, slowest.Round(time.Millisecond), late)
	if most > maxFloodBytes {
		t.Errorf("the process had %d MiB, want at most %d", most>>20, maxFloodBytes>>20)
	}
}
