package api

import (
	"context"
	"fmt"
	"net/http"
	"time"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
	"github.com/akri-go/akri/internal/edge/metamanager/store"
)

const (
	// silentAfter is how long a kubelet may not renew its Lease: what the kubelet
	// itself has by default (nodeLeaseDurationSeconds).
	silentAfter = 40 * time.Second
	lookEvery   = 10 * time.Second
)

// WatchKubelet tells the cluster when the kubelet is silent: cloudcore renews the
// node's Lease as long as the link lives, so nobody else could. The Node's Ready
// condition becomes Unknown; a kubelet that is back writes its own. It returns
// when ctx is done.
func (s *Server) WatchKubelet(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	s.lease.renewed(time.Now())
	var told bool
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		last := s.lease.last()
		if time.Since(last) < silentAfter {
			told = false
			continue
		}
		if told || !s.Cloud.Linked() {
			continue
		}
		reply, err := s.call(ctx, edgev1.Call{
			Method: http.MethodPatch, Path: "/api/v1/nodes/" + s.Node + "/status", Accept: "application/json",
			ContentType: "application/strategic-merge-patch+json", Body: silentPatch(last, time.Now()),
		})
		if told = err == nil && (reply.Status < 300 || reply.Status == http.StatusNotFound); told && reply.Status < 300 {
			s.Log.Warn("the kubelet is silent; its Node says so now", "since", last)
			s.take(http.MethodPatch, target{resource: store.Nodes, name: s.Node, subresource: "status"}, reply.Body)
		}
	}
}

// silentPatch is a strategic merge patch of a Node's status.
func silentPatch(last, now time.Time) []byte {
	return fmt.Appendf(nil, `{"status":{"conditions":[{"type":"Ready","status":"Unknown","reason":"KubeletSilent",`+
		`"message":"edgecore is connected, but the kubelet has not renewed its Lease since %s","lastTransitionTime":%q}]}}`,
		last.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))
}

// renewed notes that the kubelet has renewed its Lease.
func (l *leases) renewed(at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.at = at
}

func (l *leases) last() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.at
}
