package simulator

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/akri-go/akri/bounded"
	"github.com/akri-go/akri/internal/backoff"
)

// Limits of a camera's HTTP server. A fault holds a connection for no longer
// than hangTime.
const (
	maxConnections = 32
	hangTime       = 2 * time.Minute
)

// serve starts HTTP at an address, and RTSP if it is the main one.
func (c *Camera) serve(e *endpoint, at netip.AddrPort, rtspPort uint16, main bool) error {
	ctx, cancel := context.WithCancel(context.Background())
	e.close = cancel
	l, err := bounded.Listen(ctx, at.String(), bounded.Limits{Connections: maxConnections})
	if err != nil {
		return err
	}
	bound, err := netip.ParseAddrPort(l.Addr().String())
	if err != nil {
		return errors.Join(err, l.Close())
	}
	e.at = netip.AddrPortFrom(at.Addr(), bound.Port())
	server := &http.Server{Handler: c.handler(e), Protocols: new(http.Protocols),
		BaseContext: func(net.Listener) context.Context { return ctx }}
	server.Protocols.SetHTTP1(true) // as cameras have it
	if c.sim.issuer != nil {
		server.TLSConfig = &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return c.sim.issuer.certificate(e.at.Addr(), c.Faults().Expired)
		}}
	}
	// What is under way when a camera loses its power does not end well: its
	// connections are cut.
	cut := context.AfterFunc(ctx, func() { server.Close() })
	e.serving.Go(func() {
		defer cut()
		bounded.Bound(l, server)
		var err error
		if server.TLSConfig != nil {
			err = server.ServeTLS(l, "", "")
		} else {
			err = server.Serve(l)
		}
		if !errors.Is(err, http.ErrServerClosed) {
			c.sim.log.Error("a camera's HTTP ends", "number", c.Number, "error", err)
		}
	})
	if c.sim.options.NoRTSP || !main {
		return nil
	}
	return c.serveRTSP(ctx, e, rtspPort)
}

// handler is all that a camera serves over HTTP, with its faults before.
func (c *Camera) handler(e *endpoint) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /onvif/device_service", c.soap(e, deviceService))
	mux.HandleFunc("POST /onvif/media_service", c.soap(e, mediaService))
	mux.HandleFunc("GET /snapshot/{profile}", c.snapshot)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// net/http sees that a client goes only when all of the body is read.
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
		if err != nil {
			http.Error(w, "the request cannot be read", http.StatusBadRequest)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		f := c.Faults()
		if f.faulty() {
			c.counts.add("HTTP")
		}
		if c.misbehave(w, r, f) {
			mux.ServeHTTP(w, r)
		}
	})
}

// faulty says whether a fault stands before all answers.
func (f Faults) faulty() bool {
	return f.Silent || f.Garbage || f.Endless || f.Redirect != "" || f.Bomb
}

// misbehave is the faults of answers; it says whether to answer all the same.
func (c *Camera) misbehave(w http.ResponseWriter, r *http.Request, f Faults) bool {
	if f.Slow > 0 {
		// The server's own deadline is for answers of cameras that work.
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(f.Slow + time.Minute))
		if backoff.Sleep(r.Context(), f.Slow) != nil {
			return false
		}
	}
	switch {
	case f.Silent:
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(hangTime))
		_ = backoff.Sleep(r.Context(), hangTime)
		if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
			conn.Close() // without an answer
		}
	case f.Redirect != "":
		http.Redirect(w, r, f.Redirect, http.StatusTemporaryRedirect)
	case f.Garbage:
		_, _ = w.Write(garbage(8192))
	case f.Bomb:
		w.Header().Set("Content-Type", contentType)
		_, _ = w.Write(bomb())
	case f.Endless:
		endless(w, r)
	default:
		return true
	}
	return false
}

// endless writes a text that begins like an answer, until whoever asked has had
// enough, or hangTime is over.
func endless(w http.ResponseWriter, r *http.Request) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(hangTime))
	w.Header().Set("Content-Type", contentType)
	_, err := io.WriteString(w, `<?xml version="1.0"?><s:Envelope xmlns:s="`+nsEnvelope+`"><s:Body>`)
	for err == nil && r.Context().Err() == nil {
		_, err = io.WriteString(w, "<more>and more, and more, and more, and more, and more, and more</more>\n")
	}
}

// garbage returns random bytes.
func garbage(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rand.Uint32())
	}
	return b
}

// bomb returns a small document whose entities would expand to gigabytes.
func bomb() []byte {
	text := `<?xml version="1.0"?><!DOCTYPE bomb [<!ENTITY a "boom">`
	for c := 'b'; c <= 'k'; c++ {
		text += "<!ENTITY " + string(c) + ` "`
		for range 10 {
			text += "&" + string(c-1) + ";"
		}
		text += `">`
	}
	return []byte(text + `]><s:Envelope xmlns:s="` + nsEnvelope + `"><s:Body>&k;</s:Body></s:Envelope>`)
}
