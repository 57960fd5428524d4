package keadm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/akri-go/akri/internal/atomicfile"
	"github.com/akri-go/akri/internal/edge/config"
	"github.com/akri-go/akri/internal/edge/edgehub/join"
)

// Options say which machine joins which cluster, and as what.
type Options struct {
	// Cloudcore is the host and port of its links, and CertPort the port of its
	// join server at the same host.
	Cloudcore string
	CertPort  int
	Token     string
	Node      string
	// Dir is the folder of edgecore's configuration and certificates.
	Dir string
	// Kubelet is the program, and RuntimeEndpoint where the container runtime
	// listens. CgroupDriver is the kubelet's.
	Kubelet, RuntimeEndpoint, CgroupDriver string
	NodeIP                                 string
	// KubeProxy is the program that makes Services work; "" is none.
	KubeProxy string
}

// Config is the configuration file of edgecore. Join makes it unless it is there.
func (o Options) Config() string { return filepath.Join(o.Dir, "config", "edgecore.yaml") }

// JoinServer returns the host and port of the join server.
func (o Options) JoinServer() (string, error) {
	host, _, err := net.SplitHostPort(o.Cloudcore)
	if err != nil || host == "" {
		return "", fmt.Errorf("--cloudcore-ipport is %q: want host:port, such as 192.0.2.1:10000", o.Cloudcore)
	}
	return net.JoinHostPort(host, fmt.Sprint(o.CertPort)), nil
}

// Join makes this machine an edge node: it checks what an edge node needs, gets
// the node's certificate, and writes edgecore's configuration. A certificate and
// a configuration that are there already stay if they are this node's. What it
// has done is told in lines to out.
func Join(ctx context.Context, o Options, out io.Writer) error {
	server, err := o.JoinServer()
	if err != nil {
		return err
	}
	c, have, err := o.configuration(server)
	if err != nil {
		return err
	}
	if err := Check(ctx, o); err != nil {
		return err
	}
	hub := c.Modules.EdgeHub
	node := c.Modules.Edged.HostnameOverride
	present, err := join.Load(hub.CertDir)
	switch {
	case err == nil && present.Node == node && time.Now().Before(present.Certificate.Leaf.NotAfter):
		fmt.Fprintf(out, "this machine has the certificate of node %s, until %s\n", node, present.Certificate.Leaf.NotAfter.Local().Format(time.DateOnly))
	case err == nil && present.Node != node:
		return fmt.Errorf("this machine has joined as node %s, not %s: remove %s to join anew", present.Node, node, hub.CertDir)
	default: // none, expired, damaged
		if err := join.Join(ctx, join.Options{Address: server, Node: node, Dir: hub.CertDir}, o.Token); err != nil {
			return fmt.Errorf("get the certificate of node %s: %w", node, err)
		}
		fmt.Fprintf(out, "got the certificate of node %s\n", node)
	}
	if p := c.Modules.Edged.KubeProxy; p.Enable {
		if err := isProgram(p.Program); err != nil {
			fmt.Fprintf(out, "Services will not work on this node until it has kube-proxy: %v; install it in the version of the cluster, or say where it is with --kube-proxy\n", err)
		}
	}
	if have {
		fmt.Fprintf(out, "%s stays as it is\n", o.Config())
		return nil
	}
	text, err := yaml.Marshal(c)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(o.Config()), 0o755); err != nil {
		return err
	}
	if err := atomicfile.WriteDurable(o.Config(), text, 0o644); err != nil {
		return err
	}
	fmt.Fprintf(out, "wrote %s\n", o.Config())
	return nil
}

// configuration is that of the file, or one that is made of the options.
func (o Options) configuration(server string) (c config.Config, have bool, err error) {
	c, err = config.Load(o.Config())
	switch {
	case err == nil:
		m := c.Modules
		if m.Edged.HostnameOverride != o.Node || m.EdgeHub.WebSocket.Server != o.Cloudcore {
			return c, true, fmt.Errorf("%s is of node %s of %s: remove it to join anew, or edit it", o.Config(), m.Edged.HostnameOverride, m.EdgeHub.WebSocket.Server)
		}
		return c, true, nil
	case !errors.Is(err, fs.ErrNotExist):
		return c, true, err
	}
	c = config.Default()
	m := &c.Modules
	m.EdgeHub.WebSocket.Server, m.EdgeHub.HTTPServer = o.Cloudcore, "https://"+server
	m.EdgeHub.CertDir = filepath.Join(o.Dir, "certs")
	if m.Edged.KubeProxy.Enable = o.KubeProxy != ""; m.Edged.KubeProxy.Enable {
		m.Edged.KubeProxy.Program = o.KubeProxy
	}
	m.Edged.KubeProxy.ConfigDir = filepath.Join(o.Dir, "kube-proxy")
	m.MetaManager.MetaServer.CertDir, m.Edged.ConfigDir = filepath.Join(o.Dir, "local"), filepath.Join(o.Dir, "kubelet")
	m.Edged.HostnameOverride, m.Edged.Kubelet, m.Edged.NodeIP = o.Node, o.Kubelet, o.NodeIP
	m.Edged.TailoredKubeletConfig = map[string]any{"containerRuntimeEndpoint": o.RuntimeEndpoint, "cgroupDriver": o.CgroupDriver}
	return c, false, c.Check()
}

// Check looks for what an edge node needs, and returns all that is missing.
func Check(ctx context.Context, o Options) error {
	var errs []error
	if os.Geteuid() != 0 {
		errs = append(errs, errors.New("the kubelet needs root: run this as root, with sudo for instance"))
	}
	if err := isProgram(o.Kubelet); err != nil {
		errs = append(errs, fmt.Errorf("the kubelet: %w; install it in the version of the cluster or one before, or say where it is with --kubelet", err))
	}
	errs = append(errs, checkRuntime(ctx, o.RuntimeEndpoint), checkCgroups(os.ReadFile))
	return errors.Join(errs...)
}

// isProgram returns why a file cannot be run.
func isProgram(file string) error {
	switch info, err := os.Stat(file); {
	case err != nil:
		return err
	case info.IsDir() || info.Mode()&0o111 == 0:
		return fmt.Errorf("%s is not a program", file)
	}
	return nil
}

// checkRuntime connects to the container runtime.
func checkRuntime(ctx context.Context, endpoint string) error {
	path, ok := strings.CutPrefix(endpoint, "unix://")
	if !ok {
		return fmt.Errorf("--remote-runtime-endpoint is %q: want unix:// and a path", endpoint)
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", path)
	if err != nil {
		return fmt.Errorf("the container runtime: %w; start containerd, or say where it listens with --remote-runtime-endpoint", err)
	}
	return conn.Close()
}

// checkCgroups looks whether there is a tree with what the kubelet needs.
func checkCgroups(readFile func(string) ([]byte, error)) error {
	mounts, err := readFile("/proc/self/mounts")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(mounts)) {
		f := strings.Fields(line)
		if len(f) > 2 && f[2] == "cgroup2" {
			controllers, err := readFile(filepath.Join(f[1], "cgroup.controllers"))
			if err != nil {
				return err
			}
			if has := strings.Fields(string(controllers)); slices.Contains(has, "memory") && slices.Contains(has, "pids") && slices.Contains(has, "cpu") {
				return nil
			}
		}
		if len(f) > 3 && f[2] == "cgroup" && slices.Contains(strings.Split(f[3], ","), "memory") {
			return nil // version 1
		}
	}
	return errors.New("the kernel's cgroups have no memory controller; on a Raspberry Pi add cgroup_enable=memory to /boot/firmware/cmdline.txt and restart")
}
