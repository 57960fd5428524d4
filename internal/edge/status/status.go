// Package status is what edgecore tells a person at the node: edgecore status
// asks for it, on a socket that only root can open.
package status

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/sys/unix"

	"github.com/akri-go/akri/bounded"
	"github.com/akri-go/akri/internal/unixsock"
)

// Report is all of it.
type Report struct {
	Version string    `json:"version"`
	Node    string    `json:"node"`
	Started time.Time `json:"started"`
	Link    Link      `json:"link"`
	Outbox  Outbox    `json:"outbox"`
	Store   Store     `json:"store"`
	Kubelet Program   `json:"kubelet"`
	// KubeProxy makes Services work.
	KubeProxy Program `json:"kubeProxy"`
	Pods      []Pod   `json:"pods,omitempty"`
	// ForPods are where Pods reach edgecore.
	ForPods ForPods `json:"forPods"`
	// PodsUnknown means that the node's Pods were never synced.
	PodsUnknown bool `json:"podsUnknown,omitempty"`
}

// Link is the link to cloudcore.
type Link struct {
	Connected   bool      `json:"connected"`
	Since       time.Time `json:"since,omitzero"`
	LastContact time.Time `json:"lastContact,omitzero"`
	LastError   string    `json:"lastError,omitempty"`
	NextTry     time.Time `json:"nextTry,omitzero"`
	Sessions    int       `json:"sessions"`
	Received    uint64    `json:"receivedBytes"`
	Sent        uint64    `json:"sentBytes"`
	Syncing     int       `json:"syncing"` // interests that are not complete yet
}

// Outbox is what waits for cloudcore.
type Outbox struct {
	Events  int       `json:"events"`
	Others  int       `json:"others"` // deletions of Pods
	Oldest  time.Time `json:"oldest,omitzero"`
	Dropped uint64    `json:"dropped"` // because there were too many
	Refused uint64    `json:"refused"` // by the cluster
}

// Store is what is stored.
type Store struct {
	Objects   int    `json:"objects"`
	Bytes     int    `json:"bytes"`
	Interests int    `json:"interests"`
	Watches   int    `json:"watches"`
	Overlaid  int    `json:"overlaid"` // objects whose status the node has changed while cut
	Fault     string `json:"fault,omitempty"`
}

// Program is a program that edgecore runs, if it is managed.
type Program struct {
	Managed  bool      `json:"managed"`
	PID      int       `json:"pid,omitempty"`
	Since    time.Time `json:"since,omitzero"`
	Restarts int       `json:"restarts"`
	LastExit string    `json:"lastExit,omitempty"`
}

// ForPods are addresses, "" where it is not to be had.
type ForPods struct {
	API string `json:"api,omitempty"` // the local API
	DNS string `json:"dns,omitempty"`
}

// Pod is one of the node's Pods.
type Pod struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Phase     string `json:"phase"`
	Ready     string `json:"ready"` // 1/2
	Restarts  int    `json:"restarts"`
}

// Serve answers on a socket until ctx is done.
func Serve(ctx context.Context, socket string, report func() Report) error {
	if err := os.MkdirAll(filepath.Dir(socket), 0o755); err != nil {
		return fmt.Errorf("make the folder of the status socket: %w", err)
	}
	l, err := unixsock.Listen(socket, 0o600)
	if err != nil {
		return fmt.Errorf("listen for edgecore status on %s: %w", socket, err)
	}
	return bounded.Serve(ctx, bounded.NewListener(l, bounded.Limits{Connections: 8, PerPeer: 8}), &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(report()) // the client may have gone
		}),
	})
}

// askTimeout bounds a question.
const askTimeout = 10 * time.Second

// Ask asks the edgecore that has the socket.
func Ask(ctx context.Context, socket string) (Report, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}
	defer transport.CloseIdleConnections()
	var r Report
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://edgecore/", nil)
	if err != nil {
		return r, err
	}
	resp, err := (&http.Client{Transport: transport}).Do(req)
	switch {
	case errors.Is(err, os.ErrPermission):
		return r, fmt.Errorf("%s: only root may ask: %w", socket, err)
	case err != nil:
		return r, fmt.Errorf("edgecore does not run, or has another status socket than %s: %w", socket, err)
	}
	defer resp.Body.Close()
	return r, json.NewDecoder(resp.Body).Decode(&r)
}

// Process returns the number of the process that has the socket.
func Process(ctx context.Context, socket string) (pid int, err error) {
	conn, err := new(net.Dialer).DialContext(ctx, "unix", socket)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	file, err := conn.(*net.UnixConn).SyscallConn()
	if err != nil {
		return 0, err
	}
	ctrlErr := file.Control(func(fd uintptr) {
		var peer *unix.Ucred
		if peer, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			pid = int(peer.Pid)
		}
	})
	return pid, errors.Join(err, ctrlErr)
}

// Text is the report for a person at a time.
func (r Report) Text(now time.Time) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	line := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%s\t%s\n", name, fmt.Sprintf(format, args...))
	}
	ago := func(t time.Time) string { return now.Sub(t).Round(time.Second).String() }
	line("edgecore", "%s, up %s", r.Version, ago(r.Started))
	line("node", "%s", r.Node)
	switch l := r.Link; {
	case l.Connected && l.Syncing > 0:
		line("link", "connected for %s, %d of what is followed not synced yet", ago(l.Since), l.Syncing)
	case l.Connected:
		line("link", "connected for %s, in step", ago(l.Since))
	default:
		line("link", "CUT: %s", or(l.LastError, "not connected yet"))
		if !l.NextTry.IsZero() {
			line("", "next try in %s", max(0, l.NextTry.Sub(now)).Round(time.Second))
		}
	}
	if r.Link.LastContact.IsZero() {
		line("last contact", "never since edgecore started")
	} else {
		line("last contact", "%s ago", ago(r.Link.LastContact))
	}
	line("traffic", "%d bytes received, %d sent, %d sessions", r.Link.Received, r.Link.Sent, r.Link.Sessions)
	line("stored", "%d objects, %d bytes; %d interests, %d watches", r.Store.Objects, r.Store.Bytes, r.Store.Interests,
		r.Store.Watches)
	if r.Store.Fault != "" {
		line("", "IN MEMORY ONLY: %s", r.Store.Fault)
	}
	if o := r.Outbox; r.Store.Overlaid > 0 || o != (Outbox{}) {
		line("waits", "%d statuses, %d deletions, %d Events", r.Store.Overlaid, o.Others, o.Events)
		if !o.Oldest.IsZero() {
			line("", "for %s at most", ago(o.Oldest))
		}
		if o.Dropped > 0 || o.Refused > 0 {
			line("", "%d were too many, %d were refused by the cluster", o.Dropped, o.Refused)
		}
	}
	for _, named := range []struct {
		name string
		Program
	}{{"kubelet", r.Kubelet}, {"kube-proxy", r.KubeProxy}} {
		switch p := named.Program; {
		case !p.Managed:
			line(named.name, "not edgecore's")
		case p.PID > 0:
			line(named.name, "runs for %s, pid %d, restarted %d times", ago(p.Since), p.PID, p.Restarts)
		default:
			line(named.name, "DOES NOT RUN: %s", or(p.LastExit, "not started yet"))
		}
	}
	line("for Pods", "API server at %s, DNS at %s", or(r.ForPods.API, "none"), or(r.ForPods.DNS, "none"))
	switch {
	case r.PodsUnknown:
		line("Pods", "not known yet")
	default:
		line("Pods", "%d", len(r.Pods))
		for _, p := range r.Pods {
			line("", "%s/%s  %s  %s ready, %d restarts", p.Namespace, p.Name, p.Phase, p.Ready, p.Restarts)
		}
	}
	_ = w.Flush() // into memory
	return b.String()
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
