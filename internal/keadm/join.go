package keadm

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/akri-go/akri/internal/atomicfile"
	"github.com/akri-go/akri/internal/edge/config"
	"github.com/akri-go/akri/internal/edge/edged"
	"github.com/akri-go/akri/internal/edge/edgehub/join"
	"github.com/akri-go/akri/internal/edge/status"
	"github.com/akri-go/akri/internal/exitcode"
	"github.com/akri-go/akri/internal/keadm/preflight"
	"github.com/akri-go/akri/internal/version"
)

// Options say which machine joins which cluster, and as what.
type Options struct {
	System
	// Cloudcore is the host and port of its links, and CertPort the port of its
	// join server at the same host.
	Cloudcore string
	CertPort  int
	// Token is not needed by a machine that has a certificate.
	Token string
	Node  string
	// Dir is the folder of edgecore's configuration and certificates.
	Dir string
	// Kubelet is the program, and RuntimeEndpoint where the container runtime
	// listens. CgroupDriver is the kubelet's.
	Kubelet, RuntimeEndpoint, CgroupDriver string
	NodeIP                                 string
	// KubeProxy is the program that makes Services work; "" is none.
	KubeProxy string
	// Set are fields of edgecore's configuration, key=value.
	Set []string
	// Edgecore is the program; see [System.FindEdgecore].
	Edgecore string
	// Start is whether edgecore is started, now and at boot.
	Start bool
	// Ignore are checks that do not matter (package preflight).
	Ignore []string
}

// Config is the configuration file of edgecore. Join makes it unless it is there.
func (o Options) Config() string { return configFile(o.Dir) }

func configFile(dir string) string { return filepath.Join(dir, "config", "edgecore.yaml") }

// JoinServer returns the host and port of the join server.
func (o Options) JoinServer() (string, error) {
	host, _, err := net.SplitHostPort(o.Cloudcore)
	if err != nil || host == "" {
		return "", fmt.Errorf("--cloudcore-ipport is %q: want host:port, such as 192.0.2.1:10000", o.Cloudcore)
	}
	return net.JoinHostPort(host, strconv.Itoa(o.CertPort)), nil
}

// joining is a join under way.
type joining struct {
	Options
	config  config.Config
	have    bool // the configuration was there before
	facts   preflight.Facts
	present *join.Credentials // the certificate that was there before, if it is good
	back    undo
	out     io.Writer
}

// Join makes this machine an edge node: it checks what an edge node needs, gets
// the node's certificate, writes edgecore's configuration, and starts edgecore
// where systemd runs. What is there already stays if it is this node's. What it
// has done is told in lines to out. If it fails, or ctx ends it, it takes back
// what it has done.
func Join(ctx context.Context, o Options, out io.Writer) (err error) {
	server, err := o.JoinServer()
	if err != nil {
		return exitcode.AsUsage(err)
	}
	j := &joining{Options: o, out: out}
	if j.config, j.have, err = o.configuration(server); err != nil {
		return err
	}
	if err := j.credentials(); err != nil {
		return err
	}
	if err := j.check(ctx); err != nil {
		return err
	}
	defer func() {
		if err != nil && len(j.back.steps) > 0 {
			j.say("taking back what was done")
			err = errors.Join(err, j.back.run(ctx))
		}
	}()
	for _, step := range []func(context.Context) error{j.certificate, j.configure, j.install, j.start} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (j *joining) say(format string, args ...any) { fmt.Fprintf(j.out, format+"\n", args...) }

// node is the node's name.
func (j *joining) node() string { return j.config.Modules.Edged.HostnameOverride }

// credentials looks which certificate is there.
func (j *joining) credentials() error {
	dir := j.config.Modules.EdgeHub.CertDir
	c, err := join.Load(dir)
	switch {
	case err == nil && c.Node != j.node():
		return fmt.Errorf("this machine has joined as node %s, not %s: keadm reset makes it nobody's, then join again", c.Node, j.node())
	case err == nil && time.Now().Before(c.Certificate.Leaf.NotAfter):
		j.present = c
	case j.Token == "": // there is none, or it has expired or is damaged
		return exitcode.Usagef("give --token or --token-file: see keadm join --help")
	}
	return nil
}

// check looks at the machine.
func (j *joining) check(ctx context.Context) error {
	m := j.config.Modules
	j.Edgecore = j.FindEdgecore(j.Edgecore)
	running, err := status.Ask(ctx, j.config.StatusSocket)
	joined := err == nil && running.Node == j.node()
	hub, proxy := m.EdgeHub, ""
	if m.Edged.KubeProxy.Enable {
		proxy = m.Edged.KubeProxy.Program
	}
	j.facts = preflight.Look(ctx, preflight.Place{
		Kubelet: m.Edged.Kubelet, KubeProxy: proxy, Edgecore: j.Edgecore, RuntimeEndpoint: runtimeEndpoint(j.config), Ports: ports(j.config),
		Data: kubeletRoot(j.config), Hub: hub.WebSocket.Server, Join: hub.JoinAddress(), Joined: joined, Systemctl: j.Systemctl,
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	swap := m.Edged.TailoredKubeletConfig["failSwapOn"] == false
	warnings, err := preflight.Split(preflight.Judge(j.facts, preflight.Wants{
		Version: version.String(), Install: j.Systemctl != "", Swap: swap, Ignore: j.Ignore,
	}))
	for _, w := range warnings {
		j.say("warning: %s", w)
	}
	return err
}

// certificate gets the node's certificate.
func (j *joining) certificate(ctx context.Context) error {
	hub := j.config.Modules.EdgeHub
	if j.present != nil {
		j.say("this machine has the certificate of node %s, until %s", j.node(), j.present.Certificate.Leaf.NotAfter.Local().Format(time.DateOnly))
		return nil
	}
	for _, file := range []string{join.AuthoritiesFile, join.CertificateFile} {
		if err := j.back.file(filepath.Join(hub.CertDir, file)); err != nil {
			return err
		}
	}
	cluster, err := join.Join(ctx, join.Options{Address: hub.JoinAddress(), Node: j.node(), Dir: hub.CertDir}, j.Token)
	if err != nil {
		return fmt.Errorf("get the certificate of node %s: %w", j.node(), err)
	}
	j.say("got the certificate of node %s", j.node())
	warnings, err := preflight.Split(preflight.JudgeSkew(j.facts.Kubelet.Version, cluster, j.Ignore))
	for _, w := range warnings {
		j.say("warning: %s", w)
	}
	return err
}

// configure writes edgecore's configuration.
func (j *joining) configure(context.Context) error {
	if j.have {
		j.say("%s stays as it is", j.Config())
		return nil
	}
	text, err := yaml.Marshal(j.config)
	if err != nil {
		return err
	}
	if err := j.back.file(j.Config()); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(j.Config()), 0o755); err != nil {
		return err
	}
	if err := atomicfile.WriteDurable(j.Config(), text, 0o644); err != nil {
		return err
	}
	j.say("wrote %s", j.Config())
	return nil
}

// configuration is that of the file, or one that is made of the options.
func (o Options) configuration(server string) (c config.Config, have bool, err error) {
	c, err = config.Load(o.Config())
	switch {
	case err == nil:
		m := c.Modules
		if m.Edged.HostnameOverride != o.Node || m.EdgeHub.WebSocket.Server != o.Cloudcore {
			return c, true, fmt.Errorf("%s is of node %s of %s: edit it, or let keadm reset remove it and join again",
				o.Config(), m.Edged.HostnameOverride, m.EdgeHub.WebSocket.Server)
		}
		return c, true, o.asked(c)
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
	if !slices.Contains([]string{"systemd", "cgroupfs"}, o.CgroupDriver) {
		return c, false, exitcode.Usagef("--cgroupdriver is %q: want systemd or cgroupfs", o.CgroupDriver)
	}
	if err := c.Check(); err != nil {
		return c, false, exitcode.AsUsage(err)
	}
	c, err = set(c, o.Set)
	return c, false, exitcode.AsUsage(err)
}

// asked tells whether a configuration that is there has what is asked for with
// --set, as when the same join is repeated.
func (o Options) asked(have config.Config) error {
	want, err := set(have, o.Set)
	if err != nil {
		return exitcode.AsUsage(err)
	}
	before, err := json.Marshal(have)
	if err != nil {
		return err
	}
	after, err := json.Marshal(want)
	if err != nil {
		return err
	}
	if !bytes.Equal(before, after) {
		return fmt.Errorf("%s is there already, and --set, which asks for other values, does not change it: edit it, and restart edgecore", o.Config())
	}
	return nil
}

// runtimeEndpoint is where the kubelet of a configuration finds its container
// runtime.
func runtimeEndpoint(c config.Config) string {
	if s, ok := c.Modules.Edged.TailoredKubeletConfig["containerRuntimeEndpoint"].(string); ok {
		return s
	}
	return edged.ContainerRuntime
}

// kubeletRoot is the folder of the kubelet's Pods.
func kubeletRoot(c config.Config) string {
	for _, a := range c.Modules.Edged.Args {
		if dir, ok := strings.CutPrefix(a, "--root-dir="); ok {
			return dir
		}
	}
	return "/var/lib/kubelet"
}

// ports are the addresses that a node listens at, and who does.
func ports(c config.Config) map[string]string {
	t := c.Modules.Edged.TailoredKubeletConfig
	field := func(name, otherwise string) string {
		if v, ok := t[name]; ok {
			return fmt.Sprint(v)
		}
		return otherwise
	}
	all := map[string]string{
		c.Modules.MetaManager.MetaServer.Server:                                                   "edgecore's local API",
		net.JoinHostPort(field("address", ""), field("port", "10250")):                            "the kubelet",
		net.JoinHostPort(field("healthzBindAddress", "127.0.0.1"), field("healthzPort", "10248")): "the kubelet's health check",
	}
	if c.Metrics.Server != "" {
		all[c.Metrics.Server] = "edgecore's metrics"
	}
	return all
}
