package devcluster

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/akri-go/akri/internal/cell"
	"github.com/akri-go/akri/internal/devcluster/kubebin"
)

// DefaultDir is where `akri dev` keeps its cluster.
const DefaultDir = "/var/lib/akri-dev"

// Command is how a person calls `akri dev` for the cluster in dir.
func Command(dir string) string {
	if dir == "" || dir == DefaultDir {
		return "akri dev"
	}
	return "akri dev --dir " + dir
}

// ErrNoCluster means that a folder holds no cluster.
var ErrNoCluster = errors.New("no cluster there; `akri dev up` makes one")

// Options configure the cluster that Up brings up.
type Options struct {
	Dir   string // "" means DefaultDir
	Nodes int    // 0 means as many as there are, one for a new cluster
	// EdgeNodes are machines beside the nodes, for edgecore ([EdgeNode]). 0 means
	// as many as there are, none for a new cluster.
	EdgeNodes int
	Progress  io.Writer // one line per step; nil means silent
	Repo      string    // checkout with the build recipes; "" means kubebin.RepoRoot()
	// Kubernetes is one of KubernetesVersions, with or without its patch. ""
	// means $AKRI_KUBERNETES, else the version of the existing cluster, else
	// the default.
	Kubernetes string
	// NodeGrace is how long a node may be silent before it is not ready, in whole
	// seconds from 4 up (--node-monitor-grace-period). The kubelets renew their
	// Leases in a quarter of it. 0 means that of the cluster that is there, else
	// Kubernetes' own, 50 s.
	NodeGrace time.Duration
	// Install lets Up install missing Debian packages.
	Install bool
	// MaxRestartPeriod bounds the delay before a container is restarted, at
	// least 1 s; 0 means the kubelet's five minutes.
	MaxRestartPeriod time.Duration
	// AuditUsers are users whose requests the API server logs in AuditLog, one
	// JSON object per line; none means no log.
	AuditUsers []string
}

// Cluster is a cluster in a folder, running or not.
type Cluster struct {
	dir     string
	state   state
	network Network
	// maxRestart is Options.MaxRestartPeriod while Up works.
	maxRestart time.Duration
	// auditUsers is Options.AuditUsers while Up works.
	auditUsers []string
}

// Open returns the cluster in dir ("" means DefaultDir), or ErrNoCluster if
// there is none.
func Open(dir string) (*Cluster, error) {
	dir, err := absDir(dir)
	if err != nil {
		return nil, err
	}
	st, err := readState(dir)
	if err != nil {
		return nil, err
	}
	if st == nil {
		return nil, fmt.Errorf("%s: %w", dir, ErrNoCluster)
	}
	return &Cluster{dir: dir, state: *st, network: network(st.Index)}, nil
}

func absDir(dir string) (string, error) {
	if dir == "" {
		dir = DefaultDir
	}
	return cell.Folder(dir)
}

func (c *Cluster) path(elem ...string) string {
	return filepath.Join(append([]string{c.dir}, elem...)...)
}

// Dir is the cluster's folder.
func (c *Cluster) Dir() string { return c.dir }

// Logs is the folder with the logs of all components and each node's /var/log.
func (c *Cluster) Logs() string { return c.path("logs") }

// AuditLog is the file with the requests of Options.AuditUsers
// (audit.k8s.io/v1, level Metadata).
func (c *Cluster) AuditLog() string { return filepath.Join(c.Logs(), auditLog) }

// Network says which addresses the cluster uses.
func (c *Cluster) Network() Network { return c.network }

// NodeCount is the number of nodes.
func (c *Cluster) NodeCount() int { return c.state.Nodes }

// Binary returns the path of a binary of the cluster, kubectl for instance.
func (c *Cluster) Binary(name string) string { return c.state.Bins[name] }

// Kubeconfig is the path of the cluster administrator's kubeconfig.
func (c *Cluster) Kubeconfig() string { return c.path("kubeconfig") }

// RESTConfig is the cluster administrator's client configuration, without
// client-side rate limits.
func (c *Cluster) RESTConfig() (*rest.Config, error) {
	cfg, err := clientcmd.BuildConfigFromFlags("", c.Kubeconfig())
	if err != nil {
		return nil, fmt.Errorf("read the cluster's kubeconfig: %w", err)
	}
	cfg.QPS = -1
	return cfg, nil
}

// Clientset is a client with RESTConfig.
func (c *Cluster) Clientset() (kubernetes.Interface, error) {
	cfg, err := c.RESTConfig()
	if err != nil {
		return nil, err
	}
	return kubernetes.NewForConfig(cfg)
}

func (c *Cluster) apiURL() string {
	return fmt.Sprintf("https://%s:%d", c.network.ControlPlane(), apiPort)
}

const controlCell = "control-plane"

func nodeCell(node int) string { return "node" + strconv.Itoa(node) }

// lab is where the cluster runs: the control plane is its hub, the nodes are
// its members.
func (c *Cluster) lab() cell.Lab {
	lab := cell.Lab{
		Dir: c.dir, Network: c.network.Network, Hub: controlCell,
		BinDir: c.state.BinDir, Holder: c.state.Bins[kubebin.Pause], Settings: settings(),
	}
	for i := 1; i <= c.state.Nodes; i++ {
		lab.Members = append(lab.Members, nodeCell(i))
	}
	for i := 1; i <= c.state.EdgeNodes; i++ {
		lab.Members = append(lab.Members, edgeCell(i))
	}
	return lab
}

func (c *Cluster) cell(name string) cell.Cell { return c.lab().Cell(name) }

// settings of the kernel. Services need the first one for Pods on the same
// node; the others are what the kubelet would change for the whole machine.
func settings() []cell.Setting {
	return []cell.Setting{
		{Name: "net/bridge/bridge-nf-call-iptables", Value: "1"},
		{Name: "vm/overcommit_memory", Value: "1", Pretend: true},
		{Name: "vm/panic_on_oom", Value: "0", Pretend: true},
		{Name: "kernel/panic", Value: "10", Pretend: true},
		{Name: "kernel/panic_on_oops", Value: "1", Pretend: true},
		{Name: "kernel/keys/root_maxkeys", Value: "1000000", Pretend: true},
		{Name: "kernel/keys/root_maxbytes", Value: "25000000", Pretend: true},
	}
}

// progress writes lines with the time since the start.
type progress struct {
	mu    sync.Mutex
	w     io.Writer
	began time.Time
}

func newProgress(w io.Writer) *progress {
	if w == nil {
		w = io.Discard
	}
	return &progress{w: w, began: time.Now()}
}

func (p *progress) step(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprintf(p.w, "%7.1fs  %s\n", time.Since(p.began).Seconds(), fmt.Sprintf(format, args...))
}

// Write prints the progress of a build; it gets whole lines.
func (p *progress) Write(line []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, err := fmt.Fprintf(p.w, "%7.1fs  %s", time.Since(p.began).Seconds(), line); err != nil {
		return 0, err
	}
	return len(line), nil
}

func ensureDir(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make the cluster's folder (choose another with --dir): %w", err)
	}
	return nil
}
