package heartbeat

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/akri-go/akri/internal/agent/kubeclient"
)

// It renews while it can, hurries when it could not, and is quiet about what it
// may not do.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		var at []time.Duration
		var last kubeclient.Lease
		start := time.Now()
		var mu sync.Mutex
		answer, owner := error(nil), errors.New("no API server")
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() {
			done <- Run(ctx, Options{
				Node: "n", Namespace: "ns", Logger: slog.New(slog.NewTextHandler(&log, nil)),
				Apply: func(_ context.Context, l kubeclient.Lease, _ string) error {
					mu.Lock()
					defer mu.Unlock()
					at, last = append(at, time.Since(start)), l
					return answer
				},
				Owner: func(context.Context) ([]metav1.OwnerReference, error) {
					mu.Lock()
					defer mu.Unlock()
					return []metav1.OwnerReference{{Kind: "DaemonSet"}}, owner
				},
			})
		}()
		pass := func(d time.Duration) int {
			synctest.Wait()
			mu.Lock()
			at = nil
			mu.Unlock()
			time.Sleep(d) // fake
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			return len(at)
		}
		now := func(apply, own error) {
			mu.Lock()
			defer mu.Unlock()
			answer, owner = apply, own
		}
		if n := pass(time.Minute); n != 0 {
			t.Errorf("%d Leases that go with nothing", n)
		}
		now(nil, nil)
		if n := pass(5 * time.Minute); n < 30 || n > 31 {
			t.Errorf("%d renewals in 5 minutes, want one in 10 s", n)
		}
		if last.Metadata.Name != "akri-agent-n" || last.Metadata.Namespace != "ns" || last.Spec.HolderIdentity != "n" ||
			last.Spec.LeaseDurationSeconds != 30 || len(last.Metadata.OwnerReferences) != 1 {
			t.Errorf("the Lease is %+v", last)
		}
		now(errors.New("connection refused"), nil)
		if n := pass(time.Minute); n < 25 {
			t.Errorf("%d tries in a minute without an API server", n)
		}
		if log.Len() > 0 {
			t.Errorf("it complains of an API server that is away: %s", &log)
		}
		// An API server that starts forbids all until it has read its roles.
		no := apierrors.NewForbidden(schema.GroupResource{Resource: "leases"}, "x", errors.New("no"))
		for _, answers := range [][2]error{{no, nil}, {nil, no}} {
			now(answers[0], answers[1])
			pass(3 * time.Second)
			now(nil, nil)
			if n := pass(6 * time.Second); n == 0 || log.Len() > 0 {
				t.Errorf("%d renewals as soon as they are allowed again; it says %q", n, &log)
			}
		}
		now(no, nil)
		if n := pass(10 * time.Minute); n > 15 {
			t.Errorf("%d tries in 10 minutes of what is forbidden", n)
		}
		if n := strings.Count(log.String(), "cannot renew"); n != 1 {
			t.Errorf("it complains %d times: %s", n, &log)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
