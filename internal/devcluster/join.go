package devcluster

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/akri-go/akri/internal/atomicfile"
	"github.com/akri-go/akri/internal/cell"
	"github.com/akri-go/akri/internal/devcluster/kubebin"
	"github.com/akri-go/akri/internal/images"
	"github.com/akri-go/akri/internal/poll"
)

const (
	// Edgecore and Keadm are the programs of edge nodes.
	Edgecore = "edgecore"
	Keadm    = "keadm"
	// EdgeDir is /etc/kubeedge on edge nodes: their /etc is the machine's.
	EdgeDir = "/var/lib/kubeedge/etc"
	// EdgecoreConfig is edgecore's configuration there.
	EdgecoreConfig = EdgeDir + "/config/edgecore.yaml"

	nodeReadyTimeout = answerTimeout
	// leasesPerGrace is how often the Lease of an edge node is renewed within the
	// time after which the node is not ready.
	leasesPerGrace = 4
	// programDir is where edge nodes' programs are, below the cluster's folder.
	programDir = "programs"
)

// JoinOptions say how edge nodes are made.
type JoinOptions struct {
	// Repo is the checkout whose programs they run; "" means the one around the
	// working folder or this program.
	Repo     string
	Progress io.Writer
	// PingInterval is how often both ends of a link look whether it is there; 0
	// means cloudcore's default. A link that is cut is noticed after 2.25 times
	// that, and 10 s at least.
	PingInterval time.Duration
}

// JoinEdgeNodes makes edge nodes of the machines for edge nodes, as a person
// would: it installs cloudcore, joins each machine with keadm, starts edgecore and
// waits until the cluster has the Node. It can be repeated: cloudcore's chart is
// upgraded, and a node that has joined stays as it is.
func (c *Cluster) JoinEdgeNodes(ctx context.Context, o JoinOptions) error {
	if c.state.EdgeNodes == 0 {
		return nil
	}
	out := newProgress(o.Progress)
	if o.Repo == "" {
		repo, err := kubebin.RepoRoot()
		if err != nil {
			return err
		}
		o.Repo = repo
	}
	if err := c.edgePrograms(ctx, o, out); err != nil {
		return err
	}
	if err := c.installCloudcore(ctx, o, out); err != nil {
		return err
	}
	for i := 1; i <= c.state.EdgeNodes; i++ {
		e, err := c.EdgeNode(i)
		if err != nil {
			return err
		}
		if err := e.Join(ctx); err != nil {
			return err
		}
		if err := e.StartEdgecore(ctx); err != nil {
			return err
		}
	}
	return c.waitEdgeNodes(ctx, out)
}

// installCloudcore loads cloudcore's image and installs its chart with keadm.
func (c *Cluster) installCloudcore(ctx context.Context, o JoinOptions, out *progress) error {
	cloudcore, err := images.Find("cloudcore")
	if err != nil {
		return err
	}
	archives, err := images.Build(ctx, images.Options{Module: o.Repo, Out: filepath.Join(o.Repo, "out"),
		Platforms: []images.Platform{{Arch: runtime.GOARCH}}, Images: cloudcore})
	if err != nil {
		return err
	}
	for i := 1; i <= c.state.Nodes; i++ {
		if err := c.importImages(ctx, nodeCell(i), archives[0].Path); err != nil {
			return err
		}
	}
	set := fmt.Sprintf("service.type=NodePort,service.nodePorts.hub=%d,service.nodePorts.join=%d", CloudHubPort, JoinPort)
	if grace := c.state.NodeGrace; grace > 0 { // with cloudcore's default a node would be NotReady in between
		set += ",config.controller.leaseRenewInterval=" + (grace / leasesPerGrace).String()
	}
	if o.PingInterval > 0 {
		set += ",config.hub.pingInterval=" + o.PingInterval.String()
	}
	_, err = c.keadm(ctx, "init", "--set", set)
	if err == nil {
		out.step("cloudcore ready")
	}
	return err
}

// keadm runs keadm where the cluster's kubectl works, and returns what it prints.
func (c *Cluster) keadm(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, c.path(programDir, Keadm), append(args, "--kube-config", c.Kubeconfig())...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 5 * time.Second
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("keadm %s: %w: %s", args[0], cell.Interrupted(ctx, err), bytes.TrimSpace(errs.Bytes()))
	}
	return string(out), nil
}

// edgePrograms builds the programs of edge nodes, and puts them where each cell
// sees them.
func (c *Cluster) edgePrograms(ctx context.Context, o JoinOptions, out *progress) error {
	build := images.Options{Module: o.Repo, Out: filepath.Join(o.Repo, "out")}
	for _, name := range []string{Edgecore, Keadm} {
		build.Images = append(build.Images, images.Image{Name: name, Package: "cmd/" + name})
	}
	dir, err := images.Compile(ctx, build, images.Platform{Arch: runtime.GOARCH})
	if err != nil {
		return err
	}
	for _, name := range []string{Edgecore, Keadm} {
		program, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		to := c.path(programDir, name)
		if have, err := os.ReadFile(to); err == nil && bytes.Equal(have, program) {
			continue
		}
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		if err := atomicfile.Write(to, program, 0o755); err != nil {
			return err
		}
		out.step("built %s", name)
	}
	return nil
}

// waitEdgeNodes waits until the cluster has all edge nodes whose link is not cut,
// and they are ready.
func (c *Cluster) waitEdgeNodes(ctx context.Context, out *progress) error {
	client, err := c.Clientset()
	if err != nil {
		return err
	}
	var reached []int
	for i := 1; i <= c.state.EdgeNodes; i++ {
		switch cut, err := c.lab().IsCut(edgeCell(i)); {
		case err != nil:
			return err
		case cut:
			out.step("%s: its link is cut", EdgeNodeName(i))
		default:
			reached = append(reached, i)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, nodeReadyTimeout)
	defer cancel()
	err = poll.Until(ctx, "the edge nodes are ready", 200*time.Millisecond, func(ctx context.Context) error {
		for _, i := range reached {
			node, err := client.CoreV1().Nodes().Get(ctx, EdgeNodeName(i), metav1.GetOptions{})
			if err != nil {
				return err
			}
			if ok, why := nodeReady(node); !ok {
				return fmt.Errorf("%s is not ready: %s (edgecore's log: %s)", node.Name, why, c.cell(edgeCell(i)).LogFile(Edgecore))
			}
		}
		return nil
	})
	if err == nil {
		out.step("%d edge node(s) ready", len(reached))
	}
	return err
}

// Program is the path that a program of JoinEdgeNodes has on the edge node.
func (e *EdgeNode) Program(name string) string { return cell.InsidePath(programDir, name) }

// Joined tells whether the machine has joined. It must have power.
func (e *EdgeNode) Joined() (bool, error) {
	file, err := e.Path(EdgecoreConfig)
	if err != nil {
		return false, err
	}
	return exists(file), nil
}

// Join makes the machine an edge node with keadm, unless it is one: keadm checks
// it, gets its certificate, and writes edgecore's configuration, with the settings
// that kubelets in cells need.
func (e *EdgeNode) Join(ctx context.Context) error {
	if joined, err := e.Joined(); err != nil || joined {
		return err
	}
	// What edgecore decides it keeps.
	kubelet, err := e.settings("kubelet.yaml", "authentication", "authorization", "tlsCertFile", "tlsPrivateKeyFile", "nodeLeaseDurationSeconds", "clusterDNS")
	if err != nil {
		return err
	}
	proxy, err := e.settings("proxy.yaml", "clientConnection", "hostnameOverride")
	if err != nil {
		return err
	}
	token, err := e.cluster.keadm(ctx, "gettoken", "--edgenode-name", e.Name)
	if err != nil {
		return err
	}
	cmd, err := e.Command(ctx, e.Program(Keadm), "join", "--token-file", "-", "--edgenode-name", e.Name, "--dir", EdgeDir,
		"--cloudcore-ipport", fmt.Sprintf("%s:%d", e.cluster.CloudAddress(), CloudHubPort), "--certport", fmt.Sprint(JoinPort),
		"--kubelet", e.Binary(Kubelet), "--kube-proxy", e.Binary(Proxy), "--cgroupdriver", "cgroupfs", "--node-ip", e.Address.String(),
		"--set", "modules.edged.tailoredKubeletConfig="+kubelet, "--set", "modules.edged.kubeProxy.tailoredKubeProxyConfig="+proxy)
	if err != nil {
		return err
	}
	cmd.Stdin = strings.NewReader(token)
	if said, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("keadm join on %s: %w\n%s", e.Name, cell.Interrupted(ctx, err), bytes.TrimSpace(said))
	}
	return nil
}

// settings are those of a configuration file of the machine, as JSON, without its
// kind and some others.
func (e *EdgeNode) settings(file string, without ...string) (string, error) {
	text, err := os.ReadFile(e.cluster.path("config", e.cell.Name+"-"+file))
	if err != nil {
		return "", err
	}
	var settings map[string]any
	if err := yaml.Unmarshal(text, &settings); err != nil {
		return "", err
	}
	for _, name := range append(without, "apiVersion", "kind") {
		delete(settings, name)
	}
	out, err := json.Marshal(settings)
	return string(out), err
}

// StartEdgecore starts edgecore as its unit would, unless it runs.
func (e *EdgeNode) StartEdgecore(ctx context.Context) error {
	return e.Run(ctx, Edgecore, e.cluster.path(programDir, Edgecore), "--config", EdgecoreConfig)
}

// EdgecoreStatus returns what edgecore status says.
func (e *EdgeNode) EdgecoreStatus(ctx context.Context, args ...string) ([]byte, error) {
	cmd, err := e.Command(ctx, append([]string{e.Program(Edgecore), "status", "--config", EdgecoreConfig}, args...)...)
	if err != nil {
		return nil, err
	}
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return out, fmt.Errorf("edgecore status on %s: %w: %s", e.Name, cell.Interrupted(ctx, err), bytes.TrimSpace(errs.Bytes()))
	}
	return out, nil
}
