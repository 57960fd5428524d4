package api

import (
	"context"
	"encoding/json"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
)

// A silent kubelet is told of once, and again only when it has been heard since.
func TestSilentKubelet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var calls []edgev1.Call
		cloud := &silent{do: func(c edgev1.Call) (edgev1.Reply, error) {
			mu.Lock()
			defer mu.Unlock()
			calls = append(calls, c)
			return edgev1.Reply{Status: 404}, nil
		}}
		cloud.linked.Store(true)
		s := &Server{Options: Options{Node: node, Cloud: cloud, Log: slog.New(slog.DiscardHandler)}}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); s.WatchKubelet(ctx) }()
		after := func(d time.Duration, want int) {
			t.Helper()
			time.Sleep(d) // fake
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			if len(calls) != want {
				t.Errorf("%d calls, want %d", len(calls), want)
			}
		}
		for range 20 {
			after(10*time.Second, 0)
			s.lease.renewed(time.Now())
		}
		after(35*time.Second, 0)
		after(20*time.Second, 1)
		after(time.Hour, 1)
		s.lease.renewed(time.Now())
		after(30*time.Second, 1)
		cloud.linked.Store(false)
		after(time.Hour, 1)
		cloud.linked.Store(true)
		after(20*time.Second, 2)
		cancel()
		<-done
		var n corev1.Node
		if err := json.Unmarshal(calls[0].Body, &n); err != nil || n.Status.Conditions[0].Status != corev1.ConditionUnknown || calls[0].Path != "/api/v1/nodes/edge-1/status" {
			t.Errorf("%s %s: %v", calls[0].Path, calls[0].Body, err)
		}
	})
}
