// Package testcluster is the real cluster under end-to-end tests: API server,
// scheduler, kubelets and containerd, with the chart and the images that users
// install.
//
// A test package has one cluster, its bed, from TestMain to the end. It is gone
// afterwards. With AKRI_E2E_DIR set it is kept in a folder below that, named
// after the package, and used again by the next run. The logs of a cluster whose
// tests failed are kept in out/logs.
package testcluster

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	goruntime "runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/go-logr/logr"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/devcluster"
	"github.com/akri-go/akri/internal/helm"
)

// The release of the chart.
const (
	Release   = "akri"
	Namespace = "akri-system"
)

// Options says which cluster a package needs.
type Options struct {
	Name  string // of the package, a folder's name
	Nodes int    // 0 means 1
	// EdgeNodes are machines for edge nodes.
	EdgeNodes int
	// NoAkri is for tests of the edge half alone: the chart is not installed.
	NoAkri bool
	// Images are those that the nodes get at the start, as for [Bed.Load], beside what
	// the chart runs by default.
	Images []string
	Values []string // of the chart, as for helm --set; nil means DefaultValues
	// MaxRestartPeriod is that of [devcluster.Options]: tests that kill
	// containers often do not want to wait for minutes.
	MaxRestartPeriod time.Duration
	// NodeGrace is that of [devcluster.Options].
	NodeGrace time.Duration
}

// DefaultValues run both handlers as DaemonSets of their own. What Akri waits
// for on purpose takes less time than with users.
func DefaultValues() []string {
	return []string{"udev.discovery.enabled=true", "debugEcho.discovery.enabled=true", "agent.allowDebugEcho=true",
		"agent.slotsFreedAfter=3s"}
}

// Bed is a cluster with Akri installed.
type Bed struct {
	*devcluster.Cluster
	API client.WithWatch // an administrator, without client-side limits
	// Repo is the checkout, Programs a folder for what tests build and run on
	// the nodes.
	Repo, Programs string

	mu      sync.Mutex
	deleted []deletion
}

// Main is a package's TestMain: it makes the cluster, hands it to use, runs the
// tests and returns what to exit with. The package's folder is two below the
// checkout's.
func Main(m *testing.M, o Options, use func(*Bed)) int {
	flag.Parse()
	ctrl.SetLogger(logr.Discard())
	status, err := run(m, o, use)
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", o.Name, err)
		return max(status, 1)
	}
	return status
}

func run(m *testing.M, o Options, use func(*Bed)) (status int, err error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	b := &Bed{}
	if b.Repo, err = filepath.Abs(filepath.Join("..", "..")); err != nil {
		return 1, err
	}
	dir := ""
	if kept := os.Getenv("AKRI_E2E_DIR"); kept != "" {
		dir = filepath.Join(kept, o.Name)
	} else {
		if dir, err = os.MkdirTemp("", "akri-"+o.Name+"-"); err != nil {
			return 1, err
		}
		defer func() { err = errors.Join(err, takeDown(dir)) }()
	}
	if b.Programs, err = os.MkdirTemp("", "akri-"+o.Name+"-programs-"); err != nil {
		return 1, err
	}
	defer os.RemoveAll(b.Programs)
	if err := os.Chmod(b.Programs, 0o755); err != nil { // other users run them too
		return 1, err
	}
	defer func() {
		if status != 0 {
			err = errors.Join(err, keepLogs(filepath.Join(dir, "logs"), filepath.Join(b.Repo, "out", "logs", o.Name)))
		}
	}()
	if err := b.setUp(ctx, dir, o); err != nil {
		return 1, fmt.Errorf("set up: %w", err)
	}
	use(b)
	status = m.Run()
	if err := b.awaitDeletions(ctx); err != nil {
		return max(status, 1), err
	}
	return status, nil
}

func takeDown(dir string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*WaitTimeout)
	defer cancel()
	if err := devcluster.Down(ctx, dir, os.Stderr); err != nil {
		return fmt.Errorf("take the cluster down: %w", err)
	}
	return os.RemoveAll(dir)
}

func (b *Bed) setUp(ctx context.Context, dir string, o Options) (err error) {
	b.Cluster, err = devcluster.Up(ctx, devcluster.Options{
		Dir: dir, Nodes: max(o.Nodes, 1), EdgeNodes: o.EdgeNodes, Progress: os.Stderr, Repo: b.Repo, Install: true,
		MaxRestartPeriod: o.MaxRestartPeriod, NodeGrace: o.NodeGrace})
	if err != nil {
		return err
	}
	if err := b.Load(ctx, o.Images...); err != nil {
		return err
	}
	if !o.NoAkri {
		if o.Values == nil {
			o.Values = DefaultValues()
		}
		if err := b.Install(ctx, o.Values...); err != nil {
			return err
		}
	}
	config, err := b.RESTConfig()
	if err != nil {
		return err
	}
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v0.AddToScheme(scheme)); err != nil {
		return err
	}
	b.API, err = client.NewWithWatch(config, client.Options{Scheme: scheme})
	return err
}

// Install installs the chart, with values as for helm --set and the images that it
// runs by default, and waits until its objects are ready.
func (b *Bed) Install(ctx context.Context, set ...string) error {
	values, err := helm.ParseValues(set)
	if err != nil {
		return err
	}
	if err := b.Load(ctx, "agent", "controller", "discovery"); err != nil {
		return err
	}
	return b.InstallChart(ctx, helm.InstallOptions{
		ChartDir: filepath.Join(b.Repo, "charts", "akri"), Release: Release, Namespace: Namespace, Values: values, Wait: 2 * WaitTimeout,
	})
}

// Load gives the nodes images that `make images` has built, by their names.
func (b *Bed) Load(ctx context.Context, names ...string) error {
	var archives []string
	for _, name := range names {
		archives = append(archives, filepath.Join(b.Repo, "out", "images", name+"-"+goruntime.GOARCH+".tar"))
	}
	if err := b.LoadImages(ctx, archives...); err != nil {
		return fmt.Errorf("%w (`make images` builds them)", err)
	}
	return nil
}

// keepLogs copies the logs out of a folder that will not be there for long.
func keepLogs(from, to string) error {
	if err := os.RemoveAll(to); err != nil {
		return err
	}
	if err := copyFiles(from, to); err != nil {
		return fmt.Errorf("keep the logs: %w", err)
	}
	fmt.Fprintln(os.Stderr, "the logs of the cluster are in", to)
	return nil
}

// copyFiles copies the regular files below a folder; links into it are left out.
func copyFiles(from, to string) error {
	return filepath.WalkDir(from, func(path string, e os.DirEntry, err error) error {
		if err != nil {
			return nil // it went while we looked: these are logs
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if e.IsDir() {
			return os.MkdirAll(filepath.Join(to, rel), 0o755)
		}
		if !e.Type().IsRegular() {
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return nil
		}
		return os.WriteFile(filepath.Join(to, rel), data, 0o644)
	})
}
