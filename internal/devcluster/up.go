package devcluster

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/akri-go/akri/internal/atomicfile"
	"github.com/akri-go/akri/internal/cell"
	"github.com/akri-go/akri/internal/devcluster/kubebin"
	"github.com/akri-go/akri/internal/poll"
)

// A machine that is slow or busy needs minutes for what takes another seconds.
// What has ended is noticed at once, so the limits only end waits for what hangs.
const (
	upTimeout      = 15 * time.Minute
	answerTimeout  = 5 * time.Minute  // of a component that has been started
	attemptTimeout = 20 * time.Second // of one question whether it answers
)

// Up brings the cluster up and waits until its nodes are ready and its DNS
// answers. It starts what does not run and leaves alone what runs. After an
// error or an interruption call it again, or Down.
func Up(ctx context.Context, opts Options) (*Cluster, error) {
	out := newProgress(opts.Progress)
	dir, err := absDir(opts.Dir)
	if err != nil {
		return nil, err
	}
	if opts.Nodes < 0 || opts.EdgeNodes < 0 || opts.Nodes+opts.EdgeNodes > MaxNodes {
		return nil, fmt.Errorf("%d nodes and %d edge nodes: want 1 to %d in all, or 0 for as many as there are", opts.Nodes, opts.EdgeNodes, MaxNodes)
	}
	if err := requireRoot(); err != nil {
		return nil, err
	}
	unlock, err := cell.Lock(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer unlock()
	cni, err := prepareHost(ctx, out, opts.Install)
	if err != nil {
		return nil, err
	}
	if err := checkInotify(opts.Nodes+opts.EdgeNodes, unix.InotifyInit1); err != nil {
		out.step("%v", err)
	}
	old, err := readState(dir)
	if err != nil {
		return nil, err
	}
	kubernetes, err := chooseKubernetes(old, cmp.Or(opts.Kubernetes, kubebin.WantedVersion()))
	if err != nil {
		return nil, err
	}
	grace, err := chooseNodeGrace(old, opts.NodeGrace)
	if err != nil {
		return nil, err
	}
	paths, err := kubebin.Ensure(ctx, kubebin.Options{Repo: opts.Repo, Progress: out, Kubernetes: kubernetes})
	if err != nil {
		return nil, err
	}
	cache, err := kubebin.CacheDir()
	if err != nil {
		return nil, err
	}
	c, err := claim(ctx, dir, opts.Nodes, opts.EdgeNodes, old, state{Kubernetes: kubernetes, NodeGrace: grace, BinDir: cache, Bins: binaries(paths), CNIDir: cni})
	if err != nil {
		return nil, err
	}
	c.maxRestart, c.auditUsers = opts.MaxRestartPeriod, opts.AuditUsers
	out.step("cluster in %s, Kubernetes %s, network %s, %d node(s)", c.dir, kubernetes, c.network.All(), c.state.Nodes)
	if n := c.state.EdgeNodes; n > 0 {
		out.step("%d machine(s) for edge nodes", n)
	}
	if err := c.up(ctx, out); err != nil {
		return nil, fmt.Errorf("%w (logs: %s; `akri dev down` cleans up)", err, c.Logs())
	}
	out.step("ready")
	return c, nil
}

// claim reserves an index for the cluster in dir and writes its state. Old is
// the state of an existing cluster, or nil.
func claim(ctx context.Context, dir string, nodes, edgeNodes int, old *state, fresh state) (*Cluster, error) {
	if err := ensureDir(dir); err != nil {
		return nil, err
	}
	want := -1
	st := fresh
	st.Format, st.Nodes, st.EdgeNodes, st.Created = stateFormat, max(nodes, 1), edgeNodes, time.Now().UTC()
	if old != nil {
		want = old.Index
		st.Created = old.Created
		if nodes == 0 {
			st.Nodes = old.Nodes
		}
		if edgeNodes == 0 {
			st.EdgeNodes = old.EdgeNodes
		}
		if st.Nodes < old.Nodes || st.EdgeNodes < old.EdgeNodes {
			return nil, fmt.Errorf("the cluster in %s has %d nodes and %d edge nodes and does not shrink; `akri dev down` first", dir, old.Nodes, old.EdgeNodes)
		}
		// The edge nodes' addresses come after the nodes'.
		if st.Nodes > old.Nodes && old.EdgeNodes > 0 {
			return nil, fmt.Errorf("the cluster in %s has edge nodes, so it gets no more nodes; `akri dev down` first", dir)
		}
	}
	var err error
	if st.Index, err = cell.Reserve(ctx, dir, want); err != nil {
		switch {
		case errors.Is(err, cell.ErrTaken):
			err = fmt.Errorf("%w; stop that one, or run `akri dev down --dir %s` and start again", err, dir)
		case errors.Is(err, cell.ErrNoneFree):
			err = fmt.Errorf("%w; stop a cluster with `akri dev down --dir …`", err)
		}
		return nil, err
	}
	if err := atomicfile.WriteJSON(stateFile(dir), st); err != nil {
		return nil, err
	}
	return &Cluster{dir: dir, state: st, network: network(st.Index)}, nil
}

func (c *Cluster) up(ctx context.Context, out *progress) error {
	ctx, cancel := context.WithTimeout(ctx, upTimeout)
	defer cancel()
	if err := c.certificates(); err != nil {
		return fmt.Errorf("make certificates: %w", err)
	}
	configs := make([]nodeConfig, 0, c.state.Nodes+c.state.EdgeNodes)
	for i := 1; i <= c.state.Nodes; i++ {
		configs = append(configs, c.nodeConfig(i))
	}
	for i := 1; i <= c.state.EdgeNodes; i++ {
		configs = append(configs, c.edgeConfig(i))
	}
	for _, cfg := range configs {
		files, err := renderNode(cfg)
		if err != nil {
			return fmt.Errorf("render the configuration of %s: %w", cfg.Name, err)
		}
		for name, data := range files {
			if err := atomicfile.Write(c.path("config", name), data, 0o600); err != nil {
				return err
			}
		}
	}
	if len(c.auditUsers) > 0 {
		policy, err := auditPolicyFor(c.auditUsers)
		if err != nil {
			return err
		}
		if err := atomicfile.Write(c.path("config", auditPolicy), policy, 0o600); err != nil {
			return err
		}
	}
	if err := c.createCells(ctx, out); err != nil {
		return err
	}
	images, err := c.ownImages(ctx)
	if err != nil {
		return err
	}
	group, gctx := errgroup.WithContext(ctx)
	group.Go(func() error { return c.startControlPlane(gctx, out) })
	for _, cfg := range configs {
		group.Go(func() error { return c.startRuntime(gctx, out, cfg.Cell, cfg.Name, images) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for i := 1; i <= c.state.Nodes; i++ {
		if err := c.startComponents(ctx, nodeCell(i), Kubelet, Proxy); err != nil {
			return err
		}
	}
	if err := c.applyAddons(ctx); err != nil {
		return err
	}
	if err := c.WaitNodesReady(ctx); err != nil {
		return err
	}
	out.step("%d node(s) ready", c.state.Nodes)
	return c.waitDNS(ctx)
}

// createCells makes the cells, and the routes between them.
func (c *Cluster) createCells(ctx context.Context, out *progress) error {
	fresh, err := c.lab().Create(ctx)
	if err != nil {
		return err
	}
	if fresh {
		out.step("namespaces made")
	}
	if err := cell.RunIP(ctx, c.network.routePlan(c.state.Nodes)...); err != nil {
		return err
	}
	return c.fence(ctx)
}

func (c *Cluster) startControlPlane(ctx context.Context, out *progress) error {
	if err := c.startComponents(ctx, controlCell, Etcd); err != nil {
		return err
	}
	health := fmt.Sprintf("http://%s:2381/health", c.network.ControlPlane())
	if err := c.waitComponent(ctx, controlCell, Etcd, func(ctx context.Context) error { return httpOK(ctx, health) }); err != nil {
		return err
	}
	if err := c.StartAPIServer(ctx); err != nil {
		return err
	}
	out.step("API server ready at %s", c.apiURL())
	return c.startComponents(ctx, controlCell, ControllerManager, Scheduler)
}

// startRuntime starts a node's containerd and imports the images that the
// cluster itself needs.
func (c *Cluster) startRuntime(ctx context.Context, out *progress, cellName, node string, images map[string]string) error {
	if err := c.startComponents(ctx, cellName, Containerd); err != nil {
		return err
	}
	err := c.waitComponent(ctx, cellName, Containerd, func(ctx context.Context) error {
		_, err := c.ctr(ctx, cellName, nil, "version")
		return err
	})
	if err != nil {
		return err
	}
	if err := c.importMissing(ctx, cellName, images); err != nil {
		return err
	}
	out.step("%s: containerd ready", node)
	return nil
}

func (c *Cluster) startComponents(ctx context.Context, cellName string, components ...string) error {
	for _, component := range components {
		if _, err := c.cell(cellName).Start(ctx, component, c.state.Bins[component], c.arguments(cellName, component)...); err != nil {
			return withRemedy(err)
		}
	}
	return nil
}

// waitComponent calls check until it succeeds; it fails at once if the
// component has ended.
func (c *Cluster) waitComponent(ctx context.Context, cellName, component string, check func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	return poll.Until(ctx, component+" of "+cellName+" answers", 50*time.Millisecond, func(ctx context.Context) error {
		p, err := c.cell(cellName).Process(component)
		if err != nil {
			return poll.Fatal(err)
		}
		if !p.Alive() {
			return poll.Fatal(fmt.Errorf("it ended, see %s", c.cell(cellName).LogFile(component)))
		}
		attempt, cancel := context.WithTimeout(ctx, attemptTimeout)
		defer cancel()
		return check(attempt)
	})
}

func httpOK(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, resp.Status)
	}
	return nil
}

func shortHash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])[:12]
}

func (c *Cluster) componentsOf(cellName string) []string {
	switch {
	case cellName == controlCell:
		return controlComponents()
	case strings.HasPrefix(cellName, edgeCellPrefix):
		return []string{Containerd, Edgecore}
	}
	return nodeComponents()
}
