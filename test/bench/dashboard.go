package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/backoff"
	"github.com/akri-go/akri/internal/devcluster/kubetest"
	"github.com/akri-go/akri/internal/explain/snapshot"
	"github.com/akri-go/akri/internal/images"
)

// browsers is how many look at the dashboard in the end.
const browsers = 20

// measureDashboard measures what the dashboard takes on a real API server: its
// memory, and its CPU time and what it sends to each browser while nothing changes,
// and while all devices change, which others do as fast as the API server can.
func measureDashboard(ctx context.Context, b *bench) (err error) {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Minute+3*b.idle)
	defer cancel()
	server, err := kubetest.New(ctx)
	if err != nil {
		return err
	}
	defer server.Close()
	c, _, err := snapshot.Client(server.Config)
	if err != nil {
		return err
	}
	d := &dashboardBench{bench: b, client: c}
	if err := d.start(ctx, server); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.stop()) }()
	if err := c.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: b.namespace}}); err != nil {
		return err
	}
	for i := range b.devices {
		o := b.instance("", i)
		o.Spec.Nodes = []string{"n1"}
		if err := c.Create(ctx, o); err != nil {
			return fmt.Errorf("make Instance %d: %w", i, err)
		}
		d.instances = append(d.instances, o)
	}
	return d.measure(ctx)
}

// dashboardBench is a dashboard's process.
type dashboardBench struct {
	*bench
	client    client.Client
	instances []*v0.Instance
	dir       string
	address   string
	cmd       *exec.Cmd
}

func (d *dashboardBench) start(ctx context.Context, server *kubetest.Server) (err error) {
	if d.dir, err = os.MkdirTemp("", "akri-bench-"); err != nil {
		return err
	}
	program, config := filepath.Join(d.dir, "akri-dashboard"), filepath.Join(d.dir, "kubeconfig")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-tags", images.Tags, "-ldflags", "-s -w", "-o", program, "./cmd/akri-dashboard")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if said, err := build.CombinedOutput(); err != nil {
		return errors.Join(fmt.Errorf("build akri-dashboard: %w: %s", err, said), os.RemoveAll(d.dir))
	}
	k := api.NewConfig()
	k.Clusters["c"] = &api.Cluster{Server: server.Config.Host, CertificateAuthorityData: server.Config.CAData}
	k.AuthInfos["u"] = &api.AuthInfo{ClientCertificateData: server.Config.CertData, ClientKeyData: server.Config.KeyData}
	k.Contexts["x"], k.CurrentContext = &api.Context{Cluster: "c", AuthInfo: "u"}, "x"
	l, err := net.Listen("tcp", "127.0.0.1:0") // a port that is free
	if err == nil {
		d.address = l.Addr().String()
		err = errors.Join(l.Close(), clientcmd.WriteToFile(*k, config))
	}
	if err == nil {
		d.cmd = exec.Command(program, "--kubeconfig", config, "--listen", d.address, "--health-probe-address=0", "--log-level=warn")
		d.cmd.Stderr = os.Stderr
		d.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL}
		err = d.cmd.Start()
	}
	if err != nil {
		return errors.Join(err, os.RemoveAll(d.dir))
	}
	return nil
}

func (d *dashboardBench) stop() error {
	return errors.Join(d.cmd.Process.Signal(unix.SIGTERM), d.cmd.Wait(), os.RemoveAll(d.dir))
}

func (d *dashboardBench) measure(ctx context.Context) error {
	p := process(fmt.Sprintf("/proc/%d", d.cmd.Process.Pid))
	if err := d.ready(ctx); err != nil {
		return err
	}
	first, err := d.look(ctx)
	if err != nil {
		return err
	}
	defer first.close()
	d.report("dashboard-first-message", float64(first.last())/1024, "KiB", 0)
	if err := d.latency(ctx, first); err != nil {
		return err
	}
	all := []*viewer{first}
	for _, n := range []int{1, browsers} {
		for len(all) < n {
			v, err := d.look(ctx)
			if err != nil {
				return err
			}
			defer v.close()
			all = append(all, v)
		}
		if err := d.span(p, all, fmt.Sprintf("dashboard-idle-%d-browsers", n), func() error { return backoff.Sleep(ctx, d.idle) }); err != nil {
			return err
		}
		if err := d.span(p, all, fmt.Sprintf("dashboard-%d-change-%d-browsers", len(d.instances), n), func() error { return d.changeAll(ctx, all, n) }); err != nil {
			return err
		}
	}
	now, peak, err := p.rss()
	if err != nil {
		return err
	}
	d.report("dashboard-rss", now, "MiB", 0)
	d.report("dashboard-rss-peak", peak, "MiB", 0)
	return nil
}

// span reports what something takes: CPU time of the dashboard, and bytes for each
// browser.
func (d *dashboardBench) span(p process, all []*viewer, name string, do func() error) error {
	cpu, sent, began := p.cpu(), sentTo(all), time.Now()
	if err := do(); err != nil {
		return err
	}
	took := time.Since(began)
	d.report(name+"-cpu", 100*(p.cpu()-cpu).Seconds()/took.Seconds(), "percent-of-a-core", 0)
	d.report(name+"-sent", float64(sentTo(all)-sent)/1024/float64(len(all)), "KiB-per-browser", 0)
	d.report(name+"-took", took.Seconds(), "s", 0)
	return nil
}

func sentTo(all []*viewer) (bytes int) {
	for _, v := range all {
		bytes += v.all()
	}
	return bytes
}

// changeAll changes each device once, and waits until all browsers have the last.
func (d *dashboardBench) changeAll(ctx context.Context, all []*viewer, round int) error {
	var g errgroup.Group
	g.SetLimit(8)
	for _, o := range d.instances {
		g.Go(func() error {
			patch := fmt.Appendf(nil, `{"spec":{"capacity":%d}}`, 100+round)
			return d.client.Patch(ctx, o, client.RawPatch(types.MergePatchType, patch))
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	// One more, after all of them.
	return d.changeOne(ctx, all, d.instances[0], 200+round)
}

// changeOne changes a device, and waits until browsers have it.
func (d *dashboardBench) changeOne(ctx context.Context, all []*viewer, o *v0.Instance, capacity int) error {
	var shown []<-chan struct{}
	for _, v := range all {
		shown = append(shown, v.expect(fmt.Sprintf(`"capacity":%d,`, capacity)))
	}
	patch := fmt.Appendf(nil, `{"spec":{"capacity":%d}}`, capacity)
	if err := d.client.Patch(ctx, o, client.RawPatch(types.MergePatchType, patch)); err != nil {
		return err
	}
	for i, v := range all {
		if err := v.await(ctx, shown[i]); err != nil {
			return err
		}
	}
	return nil
}

// latency reports how long it takes until a browser has a change, when there is
// nothing else.
func (d *dashboardBench) latency(ctx context.Context, v *viewer) error {
	var took []time.Duration
	for i := range min(d.rounds, 50) {
		if err := backoff.Sleep(ctx, time.Second); err != nil {
			return err
		}
		began := time.Now()
		if err := d.changeOne(ctx, []*viewer{v}, d.instances[i%len(d.instances)], 1000+i); err != nil {
			return err
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	d.report("dashboard-change-shown-p50", ms(quantile(took, 0.5)), "ms", 0)
	d.report("dashboard-change-shown-p99", ms(quantile(took, 0.99)), "ms", 0)
	return nil
}

// ready waits until the dashboard has all devices.
func (d *dashboardBench) ready(ctx context.Context) error {
	last := []byte(d.instances[len(d.instances)-1].Name)
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+d.address+"/api/board", nil)
		if err != nil {
			return err
		}
		if resp, err := http.DefaultClient.Do(req); err == nil {
			data, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err == nil && bytes.Contains(data, last) {
				return nil
			}
		}
		if err := backoff.Sleep(ctx, 200*time.Millisecond); err != nil {
			return fmt.Errorf("wait until the dashboard has all devices: %w", err)
		}
	}
}

// viewer is a browser that counts what it gets.
type viewer struct {
	cancel context.CancelFunc
	ended  chan struct{}

	mu         sync.Mutex
	bytes      int
	lastLength int    // of the last message
	what       []byte // that a message is to have
	shown      chan struct{}
}

// look opens the feed, and returns when the first message is there.
func (d *dashboardBench) look(ctx context.Context) (*viewer, error) {
	ctx, cancel := context.WithCancel(ctx)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+d.address+"/api/live", nil)
	var resp *http.Response
	if err == nil {
		resp, err = http.DefaultClient.Do(req)
	}
	if err != nil {
		cancel()
		return nil, err
	}
	v := &viewer{cancel: cancel, ended: make(chan struct{})}
	first := v.expect(`"all":true`)
	go func() {
		defer close(v.ended)
		defer resp.Body.Close()
		for in := bufio.NewReader(resp.Body); ; {
			line, err := in.ReadBytes('\n')
			if err != nil {
				return
			}
			v.count(line)
		}
	}()
	if err := v.await(ctx, first); err != nil {
		v.close()
		return nil, err
	}
	return v, nil
}

func (v *viewer) count(line []byte) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.bytes += len(line)
	if !bytes.HasPrefix(line, []byte("data:")) {
		return
	}
	v.lastLength = len(line)
	if v.shown != nil && bytes.Contains(line, v.what) {
		close(v.shown)
		v.shown = nil
	}
}

// expect returns what is closed when a message has something in it.
func (v *viewer) expect(what string) <-chan struct{} {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.what, v.shown = []byte(what), make(chan struct{})
	return v.shown
}

func (v *viewer) await(ctx context.Context, shown <-chan struct{}) error {
	select {
	case <-ctx.Done():
		return fmt.Errorf("wait for the dashboard: %w", ctx.Err())
	case <-v.ended:
		return errors.New("the dashboard has ended the feed")
	case <-shown:
		return nil
	}
}

func (v *viewer) close() { v.cancel(); <-v.ended }

func (v *viewer) all() int { v.mu.Lock(); defer v.mu.Unlock(); return v.bytes }

func (v *viewer) last() int { v.mu.Lock(); defer v.mu.Unlock(); return v.lastLength }
