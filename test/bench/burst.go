package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
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

// measureBurst has a debugEcho handler report many devices at once, on each
// node, and times them to a watcher that sees each with all of its nodes. The
// floor is as many server-side applies of like objects by as many writers.
func measureBurst(ctx context.Context, b *bench) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	floor, err := b.floorOfMany(ctx)
	if err != nil {
		return fmt.Errorf("floor: %w", err)
	}
	return b.withDevices(ctx, "bench-burst", func(visible, offered time.Duration) error {
		b.report(fmt.Sprintf("burst-%d-instances", b.devices), visible.Seconds(), "s", floor.Seconds())
		b.report(fmt.Sprintf("burst-%d-offered-by-kubelet", b.devices), offered.Seconds(), "s", 0)
		return measureRSS(ctx, b)
	})
}

// withDevices makes a Configuration of many devices and calls use when all nodes
// see and offer them all. It says how long each took.
func (b *bench) withDevices(ctx context.Context, name string, use func(visible, offered time.Duration) error) (err error) {
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
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: v0.ConfigurationSpec{DiscoveryHandler: v0.DiscoveryHandlerInfo{
			Name: "debugEcho", DiscoveryDetails: details.String()}},
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, clean()) }()
	all, err := w.until(ctx, func() bool { return w.complete(b.devices, len(b.nodes)) })
	if err != nil {
		return err
	}
	if err := b.untilOffered(ctx, name); err != nil {
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

// untilOffered waits until each node has all devices of a Configuration to give.
func (b *bench) untilOffered(ctx context.Context, configuration string) error {
	name := corev1.ResourceName(v0.ResourceName(configuration))
	return wait.PollUntilContextTimeout(ctx, 200*time.Millisecond, 5*time.Minute, true, func(ctx context.Context) (bool, error) {
		nodes, err := b.listNodes(ctx)
		if err != nil {
			return false, err
		}
		return !slices.ContainsFunc(nodes, func(n corev1.Node) bool {
			q := n.Status.Allocatable[name]
			return q.Value() < int64(b.devices)
		}), nil
	})
}

// measureIdle counts the API writes of Akri and the CPU time of its agents while
// there are many devices and nothing changes.
func measureIdle(ctx context.Context, b *bench) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute+b.idle)
	defer cancel()
	return b.withDevices(ctx, "bench-idle", func(time.Duration, time.Duration) error { return b.watchIdle(ctx) })
}

func (b *bench) watchIdle(ctx context.Context) error {
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
	for what, n := range after {
		if n > before[what] {
			fmt.Fprintf(os.Stderr, "written while idle: %s, %.0f times\n", what, n-before[what])
		}
	}
	b.report(fmt.Sprintf("idle-writes-%d-instances", b.devices), (sum(after)-sum(before))/minutes, "writes/min", 0)
	b.report(fmt.Sprintf("idle-agent-cpu-%d-instances", b.devices), 100*cpu.Seconds()/took.Seconds()/float64(len(agents)), "percent-of-a-core", 0)
	return nil
}

// settled waits until Events and status of the devices have been written. The
// last Event of a burst waits for its turn for up to 30 s, so that is 40 s
// without a write, or three minutes. It returns the writes until then.
func (b *bench) settled(ctx context.Context) (map[string]float64, error) {
	var last map[string]float64
	quiet := 0
	err := wait.PollUntilContextTimeout(ctx, 5*time.Second, 3*time.Minute, true, func(ctx context.Context) (bool, error) {
		now, err := b.writes(ctx)
		if err != nil {
			return false, err
		}
		quiet++
		if !maps.Equal(now, last) {
			last, quiet = now, 0
		}
		return quiet == 8, nil
	})
	if err != nil && !wait.Interrupted(err) {
		return nil, err
	}
	return last, ctx.Err()
}

func sum(counts map[string]float64) (total float64) {
	for _, n := range counts {
		total += n
	}
	return total
}

var (
	requestLine = regexp.MustCompile(`^apiserver_request_total\{(.*)\} (\S+)$`)
	whatWritten = regexp.MustCompile(`(verb|resource|subresource)="[^"]+"`)
)

// writes returns how many requests have changed objects of akri.sh or Events so
// far, by what they did to what. Leases are not among them, nor the kubelet's status patches of
// the Node.
func (b *bench) writes(ctx context.Context) (map[string]float64, error) {
	raw, err := b.metrics(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the API server's metrics: %w", err)
	}
	counts := map[string]float64{}
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
				return nil, fmt.Errorf("read %q: %w", lines.Text(), err)
			}
			counts[strings.Join(whatWritten.FindAllString(m[1], -1), " ")] += n
		}
	}
	return counts, lines.Err()
}
