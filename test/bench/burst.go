package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v0 "github.com/akri-go/akri/api/v0"
)

// writers is how many requests the agent's publisher has under way at once.
const writers = 16

// measureBurst makes a debugEcho handler report many devices at once, on each
// node, and measures the time until a watcher sees each with all its nodes. The
// floor is as many server-side applies of similar objects by as many writers.
func measureBurst(ctx context.Context, b *bench) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	floor, err := b.floorOfMany(ctx)
	if err != nil {
		return fmt.Errorf("floor: %w", err)
	}
	return b.withDevices(ctx, "bench-burst", b.devices, func(visible, offered time.Duration) error {
		b.report(fmt.Sprintf("burst-%d-instances", b.devices), visible.Seconds(), "s", floor.Seconds())
		b.report(fmt.Sprintf("burst-%d-offered-by-kubelet", b.devices), offered.Seconds(), "s", 0)
		return measureRSS(ctx, b)
	})
}

// withDevices makes a Configuration of n devices and calls use when all nodes
// see and offer all of them, with how long each took.
func (b *bench) withDevices(ctx context.Context, name string, n int, use func(visible, offered time.Duration) error) (err error) {
	w, err := b.watchInstances(ctx)
	if err != nil {
		return err
	}
	defer w.Stop()
	var details strings.Builder
	details.WriteString("descriptions:\n")
	for i := range n {
		fmt.Fprintf(&details, "- bench-%d\n", i)
	}
	started := time.Now()
	clean, err := b.configure(ctx, &v0.Configuration{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: v0.ConfigurationSpec{DiscoveryHandler: v0.DiscoveryHandlerInfo{
			Name: "debugEcho", DiscoveryDetails: details.String()}},
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, clean()) }()
	all, err := w.until(ctx, func() bool { return w.complete(n, len(b.nodes)) })
	if err != nil {
		return err
	}
	if err := b.untilOffered(ctx, name, n); err != nil {
		return err
	}
	return use(all.Sub(started), time.Since(started))
}

// floorOfMany applies as many Instances as there are devices, once for each
// node.
func (b *bench) floorOfMany(ctx context.Context) (time.Duration, error) {
	w, err := b.watchInstances(ctx)
	if err != nil {
		return 0, err
	}
	defer w.Stop()
	started := time.Now()
	g, gctx := errgroup.WithContext(ctx)
	for _, node := range b.nodes {
		work := make(chan int)
		for range writers {
			g.Go(func() error {
				for i := range work {
					if err := b.apply(gctx, b.instance(node, i)); err != nil {
						return err
					}
				}
				return nil
			})
		}
		g.Go(func() error {
			defer close(work)
			for i := range b.devices {
				select {
				case work <- i:
				case <-gctx.Done():
					return gctx.Err()
				}
			}
			return nil
		})
	}
	done, err := w.until(ctx, func() bool { return w.complete(b.devices, len(b.nodes)) })
	if err := g.Wait(); err != nil {
		return 0, err
	}
	if err != nil {
		return 0, err
	}
	if err := b.api.DeleteAllOf(ctx, &v0.Instance{}, client.InNamespace(b.namespace)); err != nil {
		return 0, err
	}
	_, err = w.until(ctx, func() bool { return len(w.there) == 0 })
	return done.Sub(started), err
}

// untilOffered waits until each node offers all n devices of a Configuration.
func (b *bench) untilOffered(ctx context.Context, configuration string, devices int) error {
	name := corev1.ResourceName(v0.ResourceName(configuration))
	return wait.PollUntilContextTimeout(ctx, 200*time.Millisecond, 5*time.Minute, true, func(ctx context.Context) (bool, error) {
		nodes, err := b.listNodes(ctx)
		if err != nil {
			return false, err
		}
		return !slices.ContainsFunc(nodes, func(n corev1.Node) bool {
			q := n.Status.Allocatable[name]
			return q.Value() < int64(devices)
		}), nil
	})
}
