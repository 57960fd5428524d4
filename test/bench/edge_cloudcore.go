package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/akri-go/akri/internal/backoff"
	"github.com/akri-go/akri/internal/poll"
)

// What cloudcore may need.
const (
	memoryPerNodeBound = 60   // KiB
	memoryBound        = 1024 // MiB, of 10,000 nodes
	coresBound         = 1    // for 10,000 idle nodes
	reconnectBound     = 5    // s, of 1,000 nodes
)

const (
	reconnecting = 1000 // nodes that connect at once
	connecting   = 64   // of the others, at a time
	leaseEvery   = 20 * time.Second
	// withoutNodes is how long the API server is watched before there are nodes;
	// then cloudcore has given back what its start needed.
	withoutNodes = 30 * time.Second
	// settling is how long cloudcore may take until all Leases are renewed in time.
	settling = 5 * time.Minute
)

// measureEdgeCloudcore measures what many idle edge nodes cost cloudcore and the
// API server. cloudcore and an API server run beside this process, which is the
// nodes.
func measureEdgeCloudcore(ctx context.Context, b *bench) (err error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Minute+b.idle)
	defer cancel()
	if b.edgeNodes < reconnecting {
		return fmt.Errorf("-edge-nodes %d: want %d or more", b.edgeNodes, reconnecting)
	}
	if err := enoughFiles(b.edgeNodes); err != nil {
		return err
	}
	c, err := startCloudcore(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.stop(err != nil)) }()
	empty, err := c.during(ctx, withoutNodes)
	if err != nil {
		return err
	}
	data, err := c.secret(ctx)
	if err != nil {
		return err
	}
	all, err := newCrowd(b.edgeNodes, data)
	if err != nil {
		return err
	}
	defer all.hangUp()

	if err := c.makeNodes(ctx, all.nodes[:1]); err != nil {
		return err
	}
	if _, err := connectAll(ctx, all.nodes[:1], c.hub, 1); err != nil {
		return err
	}
	one, err := c.look(ctx)
	if err != nil {
		return err
	}
	if err := b.reconnect(ctx, c, all.nodes[:reconnecting], data); err != nil {
		return err
	}

	rest := all.nodes[reconnecting:]
	if err := c.makeNodes(ctx, rest); err != nil {
		return err
	}
	took, err := connectAll(ctx, rest, c.hub, connecting)
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "%d more nodes connected in %s\n", len(rest), took.Round(time.Second))
	beating, stop := context.WithCancel(ctx)
	var g sync.WaitGroup
	g.Go(func() { all.beat(beating) })
	idle, err := c.settled(ctx, b.idle)
	stop()
	g.Wait()
	if err != nil {
		return err
	}
	if lost := float64(b.edgeNodes) - idle.sessions; lost > 0 {
		fmt.Fprintf(os.Stderr, "the machine is too slow: of %d nodes %v have lost their connection\n", b.edgeNodes, lost)
	}

	n := idle.sessions
	name := fmt.Sprintf("edge-cloudcore-%%s-%d-nodes", b.edgeNodes)
	b.report("edge-cloudcore-memory-per-idle-node", 1024*(idle.resident-empty.resident)/n, "KiB", 0, memoryPerNodeBound)
	b.report(fmt.Sprintf(name, "memory"), idle.resident, "MiB", empty.resident, memoryBound)
	b.report(fmt.Sprintf(name, "cpu"), idle.cores, "cores", 0, coresBound)
	// With less than its floor, the API server was too slow for so many nodes.
	b.report(fmt.Sprintf(name, "lease-renewals"), idle.renewals, "1/s", n/leaseEvery.Seconds())
	b.report(fmt.Sprintf("edge-api-requests-per-node-and-hour-%d-nodes", b.edgeNodes), 3600*(idle.requests-empty.requests)/n, "requests", 0)
	b.report("edge-api-watches-1-node", one.watches-empty.watches, "watches", 0)
	b.report(fmt.Sprintf("edge-api-watches-%d-nodes", b.edgeNodes), idle.watches-empty.watches, "watches", one.watches-empty.watches,
		one.watches-empty.watches)
	return nil
}

// reconnect measures nodes that lose their connections and connect again, all at
// once. The nodes' own part uses the same processors.
func (b *bench) reconnect(ctx context.Context, c *cloudcore, nodes []*simulated, data map[string][]byte) error {
	if err := c.makeNodes(ctx, nodes[1:]); err != nil {
		return err
	}
	if _, err := connectAll(ctx, nodes[1:], c.hub, connecting); err != nil {
		return err
	}
	// Labels that cloudcore gives the Nodes are written, and Leases.
	if _, err := c.settled(ctx, 0); err != nil {
		return err
	}
	floor, err := bareHandshakes(ctx, nodes, data)
	if err != nil {
		return fmt.Errorf("floor: %w", err)
	}
	for _, n := range nodes {
		n.hangUp()
	}
	err = poll.Until(ctx, "cloudcore knows that the nodes are gone", 100*time.Millisecond, func(ctx context.Context) error {
		now, err := c.look(ctx)
		if err == nil && now.sessions > 0 {
			err = fmt.Errorf("%v are connected", now.sessions)
		}
		return err
	})
	if err != nil {
		return err
	}
	used, cpu := spent(), c.process().cpu()
	took, err := connectAll(ctx, nodes, c.hub, len(nodes))
	if err != nil {
		return err
	}
	cpu = c.process().cpu() - cpu
	explain("reconnecting", used)
	b.report(fmt.Sprintf("edge-cloudcore-reconnect-%d-nodes", len(nodes)), took.Seconds(), "s", floor.Seconds(), reconnectBound)
	b.report("edge-cloudcore-reconnect-cpu-per-node", ms(cpu)/float64(len(nodes)), "ms", 0)
	return nil
}

// spareFiles are what a process opens beside its connections.
const spareFiles = 500

// enoughFiles says whether this process and cloudcore may open so many
// connections. Go programs raise the limit themselves as far as they may.
func enoughFiles(connections int) error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	if limit.Max < uint64(connections+spareFiles) {
		return fmt.Errorf("%d nodes need %d open files, and this shell may have %d: ulimit -Hn, or fewer -edge-nodes",
			connections, connections+spareFiles, limit.Max)
	}
	return nil
}

// look is what there is at a time; during fills what was used meanwhile.
type look struct {
	sessions float64
	overdue  float64 // Leases
	resident float64 // MiB of cloudcore
	watches  float64 // at the API server
	requests float64 // to the API server that have ended; with during, of a second
	renewals float64 // of Leases; with during, of a second
	cores    float64 // with during
}

// look looks at cloudcore and its API server.
func (c *cloudcore) look(ctx context.Context) (look, error) {
	own, err := c.metrics(ctx)
	if err != nil {
		return look{}, err
	}
	api, err := c.apiMetrics(ctx)
	if err != nil {
		return look{}, err
	}
	m, err := c.process().resident()
	return look{
		sessions: metricSum(own, "cloudhub_sessions"), overdue: metricSum(own, "edgecontroller_leases_overdue"),
		renewals: metricSum(own, "edgecontroller_lease_renewals_total", `result="ok"`), resident: m.resident,
		watches:  metricSum(api, "apiserver_longrunning_requests", `verb="WATCH"`),
		requests: metricSum(api, "apiserver_request_total"),
	}, err
}

// during looks at the end of a time, and says what was used in it.
func (c *cloudcore) during(ctx context.Context, length time.Duration) (look, error) {
	before, err := c.look(ctx)
	if err != nil {
		return look{}, err
	}
	cpu, began := c.process().cpu(), time.Now()
	if err := backoff.Sleep(ctx, length); err != nil {
		return look{}, err
	}
	cpu = c.process().cpu() - cpu
	seconds := time.Since(began).Seconds()
	after, err := c.look(ctx)
	after.requests = (after.requests - before.requests) / seconds
	after.renewals = (after.renewals - before.renewals) / seconds
	after.cores = cpu.Seconds() / seconds
	return after, err
}

// settled waits until cloudcore is in time with its Leases, and then looks for a
// while.
func (c *cloudcore) settled(ctx context.Context, length time.Duration) (look, error) {
	waiting, cancel := context.WithTimeout(ctx, settling)
	defer cancel()
	err := poll.Until(waiting, "Leases are renewed in time", time.Second, func(ctx context.Context) error {
		now, err := c.look(ctx)
		if err == nil && now.overdue > math.Max(1, now.sessions/100) {
			err = fmt.Errorf("%v of %v are overdue", now.overdue, now.sessions)
		}
		return err
	})
	if ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
		fmt.Fprintf(os.Stderr, "the API server is too slow for so many nodes: %v\n", err)
		err = nil
	}
	if err != nil || length == 0 {
		return look{}, err
	}
	return c.during(ctx, length)
}

// makeNodes makes the nodes' Nodes, as their kubelets would.
func (c *cloudcore) makeNodes(ctx context.Context, nodes []*simulated) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(connecting)
	for _, n := range nodes {
		g.Go(func() error {
			return c.api.Create(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: n.name}})
		})
	}
	if err := g.Wait(); err != nil {
		return fmt.Errorf("make Nodes: %w", err)
	}
	return nil
}

// secret is the data of cloudcore's Secret.
func (c *cloudcore) secret(ctx context.Context) (map[string][]byte, error) {
	var s corev1.Secret
	err := c.api.Get(ctx, client.ObjectKey{Namespace: metav1.NamespaceDefault, Name: secretName}, &s)
	return s.Data, err
}

// metrics reads what cloudcore says of itself.
func (c *cloudcore) metrics(ctx context.Context) ([]byte, error) {
	return get(ctx, "http://"+c.health+"/metrics")
}

func get(ctx context.Context, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %s", url, resp.Status, bytes.TrimSpace(body))
	}
	return body, err
}
