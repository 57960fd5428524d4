package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v0 "github.com/akri-go/akri/api/v0"
)

// writers is how many requests the agent's publisher has under way at once.
const writers = 16

// measureBurst has a debugEcho handler report many devices at once, and times
// them to the watcher. The floor is as many server-side applies of like
// objects by as many writers. Then it watches what goes on while nothing does.
func measureBurst(ctx context.Context, b *bench) (err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute+b.idle)
	defer cancel()
	floor, err := b.floorOfMany(ctx)
	if err != nil {
		return fmt.Errorf("floor: %w", err)
	}
	w, err := b.watchInstances(ctx)
	if err != nil {
		return err
	}
	defer w.Stop()
	var details strings.Builder
	details.WriteString("descriptions:\n")
	for i := range b.devices {
		fmt.Fprintf(&details, "- bench-%d\n", i)
	}
	started := time.Now()
	clean, err := b.configure(ctx, &v0.Configuration{
		ObjectMeta: metav1.ObjectMeta{Name: "bench-burst"},
		Spec: v0.ConfigurationSpec{DiscoveryHandler: v0.DiscoveryHandlerInfo{
			Name: "debugEcho", DiscoveryDetails: details.String()}},
	})
	if err != nil {
		return err
	}
	defer func() {
		if e := clean(); e != nil && err == nil {
			err = e
		}
	}()
	all, err := w.until(ctx, func() bool { return len(w.there) >= b.devices })
	if err != nil {
		return err
	}
	report(fmt.Sprintf("burst-%d-instances", b.devices), all.Sub(started).Seconds(), "s", floor.Seconds())
	if err := b.untilOffered(ctx); err != nil {
		return err
	}
	report(fmt.Sprintf("burst-%d-offered-by-kubelet", b.devices), time.Since(started).Seconds(), "s", 0)
	if err := measureRSS(ctx, b); err != nil {
		return err
	}
	return b.measureIdle(ctx)
}

func (b *bench) floorOfMany(ctx context.Context) (time.Duration, error) {
	w, err := b.watchInstances(ctx)
	if err != nil {
		return 0, err
	}
	defer w.Stop()
	work := make(chan int)
	started := time.Now()
	g, gctx := errgroup.WithContext(ctx)
	for range writers {
		g.Go(func() error {
			for i := range work {
				if err := b.apply(gctx, b.instance(i)); err != nil {
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
	done, err := w.until(ctx, func() bool { return len(w.there) >= b.devices })
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

// untilOffered waits until a node has all devices of the burst in its capacity.
func (b *bench) untilOffered(ctx context.Context) error {
	name := v0.ResourceName("bench-burst")
	return wait.PollUntilContextTimeout(ctx, 200*time.Millisecond, 5*time.Minute, true, func(ctx context.Context) (bool, error) {
		nodes, err := b.nodes(ctx)
		if err != nil {
			return false, err
		}
		for _, n := range nodes {
			if q, ok := n.Status.Allocatable[resourceName(name)]; ok && q.Value() >= int64(b.devices) {
				return true, nil
			}
		}
		return false, nil
	})
}

// measureIdle counts the API writes of Akri and the CPU time of its agent.
func (b *bench) measureIdle(ctx context.Context) error {
	agents, err := b.processes(ctx, "akri-agent")
	if err != nil {
		return err
	}
	before, err := b.settled(ctx)
	if err != nil {
		return err
	}
	var cpu time.Duration
	for _, p := range agents {
		cpu -= p.cpu()
	}
	started := time.Now()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(b.idle):
	}
	took := time.Since(started)
	for _, p := range agents {
		cpu += p.cpu()
	}
	after, err := b.writes(ctx)
	if err != nil {
		return err
	}
	minutes := took.Minutes()
	report(fmt.Sprintf("idle-writes-%d-instances", b.devices), (after-before)/minutes, "writes/min", 0)
	report(fmt.Sprintf("idle-agent-cpu-%d-instances", b.devices), 100*cpu.Seconds()/took.Seconds()/float64(len(agents)), "percent-of-a-core", 0)
	return nil
}

// settled waits until Events and status of the burst have been written: ten
// seconds without a write, or two minutes. It returns the number of writes.
func (b *bench) settled(ctx context.Context) (float64, error) {
	var last float64
	quiet := 0
	err := wait.PollUntilContextTimeout(ctx, 5*time.Second, 2*time.Minute, true, func(ctx context.Context) (bool, error) {
		now, err := b.writes(ctx)
		if err != nil {
			return false, err
		}
		quiet++
		if now != last {
			last, quiet = now, 0
		}
		return quiet == 2, nil
	})
	if err != nil && !wait.Interrupted(err) {
		return 0, err
	}
	return last, ctx.Err()
}

var requestLine = regexp.MustCompile(`^apiserver_request_total\{(.*)\} (\S+)$`)

// writes returns how many requests have changed objects of akri.sh, Events or
// Nodes so far. Leases are not among them, nor the kubelet's status patches of
// the Node.
func (b *bench) writes(ctx context.Context) (float64, error) {
	raw, err := b.metrics(ctx)
	if err != nil {
		return 0, fmt.Errorf("read the API server's metrics: %w", err)
	}
	var total float64
	lines := bufio.NewScanner(bytes.NewReader(raw))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		m := requestLine.FindStringSubmatch(lines.Text())
		if m == nil {
			continue
		}
		write := false
		for _, verb := range []string{"APPLY", "PATCH", "POST", "PUT", "DELETE"} {
			write = write || strings.Contains(m[1], `verb="`+verb+`"`)
		}
		ours := strings.Contains(m[1], `group="akri.sh"`) || strings.Contains(m[1], `resource="events"`)
		if write && ours {
			n, err := strconv.ParseFloat(m[2], 64)
			if err != nil {
				return 0, fmt.Errorf("read %q: %w", lines.Text(), err)
			}
			total += n
		}
	}
	return total, lines.Err()
}
