package cloudhub

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/coder/websocket"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
	"github.com/akri-go/akri/bounded"
	"github.com/akri-go/akri/internal/session"
	"github.com/akri-go/akri/internal/shorten"
)

// NodePrefix comes before the node's name in the common name of certificates, as
// in those of kubelets.
const NodePrefix = "system:node:"

const (
	maxTextBytes     = 200 // of what others say, in a line of log
	readBufferBytes  = 512
	writeBufferBytes = 1024
)

// member is a connection that has a certificate, and the session that it
// becomes.
type member struct {
	node    string
	cert    *x509.Certificate
	hello   edgev1.Hello
	address string
	session *session.Session
	began   time.Time
	done    chan struct{} // closed when the controller knows that it has ended
	reason  string        // why the hub ends it; empty: it does not. Guarded by Hub.mu
	hub     *Hub
}

// NodeOf returns the node that a certificate is for.
func NodeOf(c *x509.Certificate) (string, error) {
	node, ok := strings.CutPrefix(c.Subject.CommonName, NodePrefix)
	if !ok || node == "" {
		return "", fmt.Errorf("the certificate of %q is not that of a node: its common name must be %s<node>",
			shorten.Text(c.Subject.CommonName, maxTextBytes), NodePrefix)
	}
	return node, nil
}

// accept makes a WebSocket of a request. What follows has a goroutine of its
// own: that of the request has a stack that has grown.
func (h *Hub) accept(ctx context.Context, l *bounded.Listener, w http.ResponseWriter, r *http.Request) {
	conn, ok := r.Context().Value(connKey{}).(*tls.Conn)
	if !ok || r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		http.Error(w, "a certificate is needed", http.StatusUnauthorized)
		return
	}
	raw, ok := conn.NetConn().(*session.Conn)
	if !ok {
		http.Error(w, "not a connection of this hub", http.StatusInternalServerError)
		return
	}
	cert := r.TLS.PeerCertificates[0]
	node, err := NodeOf(cert)
	if err != nil {
		h.metrics.refused("Certificate")
		h.sparing.Log(h.Log, slog.LevelWarn, "refused a connection", "address", r.RemoteAddr, "error", err)
		http.Error(w, err.Error(), http.StatusForbidden)
		return
	}
	ws, err := websocket.Accept(small{w}, r, nil)
	if err != nil {
		h.metrics.refused("NoWebSocket")
		return // it has been answered
	}
	m := &member{node: node, cert: cert, address: r.RemoteAddr, began: time.Now(), done: make(chan struct{}), hub: h}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.stopped {
		_ = ws.CloseNow()
		return
	}
	m.session = session.New(ws, raw, h.Session)
	h.running.Go(func() { m.run(ctx, l, raw) })
}

// small gives a WebSocket smaller buffers than those of an HTTP server, 8 KiB
// for each node. What is longer than a buffer passes it.
type small struct{ http.ResponseWriter }

func (s small) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, b, err := http.NewResponseController(s.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	// The node may have spoken already.
	first, err := b.Reader.Peek(b.Reader.Buffered())
	if err != nil {
		conn.Close()
		return nil, nil, err
	}
	conn = &begun{conn, bytes.Clone(first)}
	r, to := bufio.NewReaderSize(conn, readBufferBytes), bufio.NewWriterSize(conn, writeBufferBytes)
	return conn, bufio.NewReadWriter(r, to), nil
}

// begun is a connection of which the first bytes have been read.
type begun struct {
	net.Conn
	first []byte
}

func (b *begun) Read(p []byte) (int, error) {
	if len(b.first) == 0 {
		return b.Conn.Read(p)
	}
	n := copy(p, b.first)
	if b.first = b.first[n:]; len(b.first) == 0 {
		b.first = nil
	}
	return n, nil
}

// run is the life of a session.
func (m *member) run(ctx context.Context, l *bounded.Listener, conn net.Conn) {
	h := m.hub
	defer close(m.done)
	late := time.AfterFunc(h.Limits.HandshakeTimeout, func() { m.session.Close(errNoHello) })
	err := m.greet()
	if !late.Stop() || err != nil {
		m.session.Close(err)
		err = m.session.Err()
		h.metrics.refused("NoHello")
		h.sparing.Log(h.Log, slog.LevelInfo, "a session did not begin", "node", m.node, "address", m.address,
			"error", shorten.Text(err.Error(), maxTextBytes))
		return
	}
	if bye, bad := h.enter(m); bad {
		h.metrics.refused(bye.Reason)
		h.sparing.Log(h.Log, slog.LevelWarn, "refused a node", "node", m.node, "address", m.address, "reason", bye.Reason)
		m.session.Leave(bye)
		m.drain()
		return
	}
	l.Release(conn) // from now on it counts as a session
	h.metrics.opened(time.Since(m.began))
	h.Log.Info("an edge node connected", "node", m.node, "address", m.address,
		"version", shorten.Text(m.hello.Version, maxTextBytes))
	err = m.serve(ctx)
	reason := h.exit(m, err)
	h.metrics.ended(reason)
	h.Log.Info("an edge node is gone", "node", m.node, "address", m.address, "reason", reason,
		"after", time.Since(m.began).Round(time.Second), "error", shorten.Text(err.Error(), maxTextBytes))
}

var errNoHello = errors.New("it did not say Hello in time")

// greet hears the node's Hello.
func (m *member) greet() error {
	first, err := m.session.Read()
	if err != nil {
		return err
	}
	hello, ok := first.(*edgev1.Hello)
	if !ok {
		return fmt.Errorf("it said %s before Hello", edgev1.KindOf(first))
	}
	m.hello = *hello
	return nil
}

// enter makes m the session of its node, unless the node may not have one.
func (h *Hub) enter(m *member) (edgev1.Goodbye, bool) {
	if m.hello.Protocol != edgev1.Protocol {
		return edgev1.Goodbye{Reason: edgev1.ReasonProtocol, RetryAfter: busyRetry,
			Message: fmt.Sprintf("cloudcore speaks protocol %d: edgecore must be of a release that does", edgev1.Protocol)}, true
	}
	if bye, bad := h.judge(time.Now(), m.node, m.cert); bad {
		return bye, true
	}
	h.mu.Lock()
	before := h.sessions[m.node]
	if h.stopped {
		h.mu.Unlock()
		return edgev1.Goodbye{Reason: edgev1.ReasonShuttingDown, Message: "this cloudcore ends"}, true
	}
	if before == nil && len(h.sessions) >= h.Limits.Sessions {
		h.mu.Unlock()
		return edgev1.Goodbye{Reason: edgev1.ReasonBusy, RetryAfter: busyRetry,
			Message: "this cloudcore has as many edge nodes as it may"}, true
	}
	h.sessions[m.node] = m
	h.mu.Unlock()
	if before != nil {
		h.replaced(before, m)
	}
	return edgev1.Goodbye{}, false
}

// replaced ends the session that a node had before, and waits until its
// controller knows: of two sessions of a node that never sees both. An end that
// is gone does not hear of it, and is not waited for.
func (h *Hub) replaced(before, m *member) {
	level, text := slog.LevelInfo, "an edge node connected anew"
	if twins(before.hello, m.hello) {
		level, text = slog.LevelWarn, "two machines have certificates of one node: the newest connection counts"
		if h.Twins != nil {
			h.Twins(m.node, m.address, before.address)
		}
	}
	h.sparing.Log(h.Log, level, text, "node", m.node, "address", m.address, "before", before.address)
	before.leave(edgev1.Goodbye{Reason: edgev1.ReasonReplaced, RetryAfter: replacedRetry,
		Message: "another connection has a certificate of this node"})
	timer := time.NewTimer(replacedWait)
	defer timer.Stop()
	select {
	case <-before.done:
	case <-timer.C:
		before.session.Close(nil)
		<-before.done
	}
}

// twins reports whether two machines say these Hellos: one that has lost its
// store while its session lived has not started anew since.
func twins(a, b edgev1.Hello) bool {
	return a.Store != b.Store && (a.Boot != b.Boot || a.Boot == "")
}

// leave says Goodbye.
func (m *member) leave(bye edgev1.Goodbye) {
	m.hub.mu.Lock()
	if m.reason == "" {
		m.reason = bye.Reason
	}
	m.hub.mu.Unlock()
	m.session.Leave(bye)
}

// serve says Hello and gives the controller what comes, until the session ends.
func (m *member) serve(ctx context.Context) error {
	of, cancel := context.WithCancelCause(ctx)
	defer cancel(errStopped)
	hello := edgev1.Hello{
		Protocol: edgev1.Protocol, Version: m.hub.Version, Node: m.node, PingInterval: m.hub.Session.PingInterval,
	}
	if err := m.session.Send(of, &hello); err != nil {
		m.drain() // it was told to leave
		return err
	}
	controlled := m.hub.Controller.Open(of, m.node, m.hello, m.session.Send)
	defer controlled.Close()
	for {
		message, err := m.session.Read()
		if err != nil {
			cancel(err)
			return err
		}
		controlled.Receive(message)
	}
}

// drain reads on until the session has ended.
func (m *member) drain() {
	for {
		if _, err := m.session.Read(); err != nil {
			return
		}
	}
}

// exit forgets a session, and says in a word why it ended.
func (h *Hub) exit(m *member, err error) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.sessions[m.node] == m {
		delete(h.sessions, m.node)
	}
	var bye *session.GoodbyeError
	switch {
	case m.reason != "":
		return m.reason
	case errors.As(err, &bye):
		return "Goodbye"
	case session.IsProtocolError(err):
		return edgev1.ReasonProtocol
	case session.IsTimeout(err):
		return "Timeout"
	}
	return "Broken"
}
