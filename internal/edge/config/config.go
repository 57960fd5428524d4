// Package config is edgecore's configuration file. Where KubeEdge has a name for
// something, it has the same name here.
//
// The file is only read. A key that is not known is an error, and so is a value
// that cannot work. What is left out has the default that edgecore
// --defaultconfig shows.
package config

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// What the file says of itself.
const (
	APIVersion = "edgecore.config.akri.sh/v1alpha1"
	Kind       = "EdgeCore"
)

// DefaultFile is where edgecore looks for its configuration.
const DefaultFile = "/etc/kubeedge/config/edgecore.yaml"

// Config is the file.
type Config struct {
	APIVersion string   `json:"apiVersion"`
	Kind       string   `json:"kind"`
	Database   Database `json:"database"`
	Modules    Modules  `json:"modules"`
	Metrics    Metrics  `json:"metrics"`
	// StatusSocket is where edgecore status asks.
	StatusSocket string `json:"statusSocket"`
	// LogLevel is debug, info, warn or error.
	LogLevel string `json:"logLevel"`
}

// Database is the store.
type Database struct {
	DataSource string `json:"dataSource"` // the SQLite file
	// MaxMiB bounds the objects of the store, in memory as on the disk.
	MaxMiB int `json:"maxMiB"`
}

// Metrics are for Prometheus.
type Metrics struct {
	Server string `json:"server"` // host:port, of the loopback; empty: there are none
}

// Modules are the parts of edgecore.
type Modules struct {
	EdgeHub     EdgeHub     `json:"edgeHub"`
	MetaManager MetaManager `json:"metaManager"`
	Edged       Edged       `json:"edged"`
	DNS         DNS         `json:"dns"`
}

// EdgeHub is the link.
type EdgeHub struct {
	WebSocket WebSocket `json:"websocket"`
	// HTTPServer is where certificates are renewed: https://host:port. Without, it
	// is port 10002 of the WebSocket's host.
	HTTPServer string `json:"httpServer,omitempty"`
	// CertDir has the node's certificate and cloudcore's authorities (package join).
	CertDir string `json:"certDir"`
	// Token is for a node that has no certificate yet: it joins with it.
	Token string `json:"token,omitempty"`
}

// joinPort is that of cloudcore's join server by default.
const joinPort = "10002"

// JoinAddress is the host and port of cloudcore's join server.
func (h EdgeHub) JoinAddress() string {
	if h.HTTPServer != "" {
		return strings.TrimSuffix(strings.TrimPrefix(h.HTTPServer, "https://"), "/")
	}
	host, _, _ := net.SplitHostPort(h.WebSocket.Server) // it was checked
	return net.JoinHostPort(host, joinPort)
}

// WebSocket is where cloudcore is.
type WebSocket struct {
	Server string `json:"server"` // host:port
}

// MetaManager has the local API.
type MetaManager struct {
	MetaServer MetaServer `json:"metaServer"`
}

// MetaServer is the local API.
type MetaServer struct {
	Server string `json:"server"` // host:port, of the loopback
	// PodServer is the IP address and port at which Pods of the node reach it, as
	// the API server's Service. An address that the machine does not have is given
	// to it, on its loopback interface. Empty: Pods do not reach the local API.
	PodServer string `json:"podServer"`
	// CertDir has the local API's own authority and the credentials that it gives
	// programs on the node.
	CertDir string `json:"certDir"`
}

// Edged is the kubelet, and kube-proxy.
type Edged struct {
	// Enable is whether edgecore runs the kubelet. Without, whoever runs it uses
	// the configuration and credentials that edgecore has written.
	Enable           bool   `json:"enable"`
	HostnameOverride string `json:"hostnameOverride"` // the node's name
	NodeIP           string `json:"nodeIP,omitempty"`
	Kubelet          string `json:"kubelet"` // the program
	ConfigDir        string `json:"configDir"`
	// Args are added to the kubelet's.
	Args []string `json:"args,omitempty"`
	// TailoredKubeletConfig has fields of KubeletConfiguration.
	TailoredKubeletConfig map[string]any `json:"tailoredKubeletConfig,omitempty"`
	KubeProxy             KubeProxy      `json:"kubeProxy"`
}

// DNS answers the DNS queries of the node's Pods.
type DNS struct {
	// Enable is whether edgecore does. Then the kubelet's clusterDNS is its address,
	// unless tailoredKubeletConfig has another one.
	Enable bool `json:"enable"`
	// Address is an IP address as in podServer; the port is 53.
	Address string `json:"address"`
}

// KubeProxy makes Services work on the node.
type KubeProxy struct {
	// Enable is whether edgecore runs kube-proxy.
	Enable bool `json:"enable"`
	// Program is kube-proxy. Where it is missing Services do not work, and
	// edgecore looks for it again.
	Program   string `json:"program"`
	ConfigDir string `json:"configDir"`
	// Args are added to kube-proxy's.
	Args []string `json:"args,omitempty"`
	// TailoredKubeProxyConfig has fields of KubeProxyConfiguration.
	TailoredKubeProxyConfig map[string]any `json:"tailoredKubeProxyConfig,omitempty"`
}

// Default is the configuration with all that can be left out.
func Default() Config {
	host, _ := os.Hostname() // without one the name has to be given
	return Config{
		APIVersion: APIVersion, Kind: Kind,
		Database: Database{DataSource: "/var/lib/kubeedge/edgecore.db", MaxMiB: 64},
		Modules: Modules{
			EdgeHub: EdgeHub{CertDir: "/etc/kubeedge/certs"},
			MetaManager: MetaManager{MetaServer{Server: "127.0.0.1:10550", PodServer: "169.254.30.10:10550",
				CertDir: "/etc/kubeedge/local"}},
			Edged: Edged{
				Enable: true, HostnameOverride: strings.ToLower(host), Kubelet: "/usr/bin/kubelet",
				ConfigDir: "/etc/kubeedge/kubelet",
				KubeProxy: KubeProxy{Enable: true, Program: "/usr/bin/kube-proxy", ConfigDir: "/etc/kubeedge/kube-proxy"},
			},
			DNS: DNS{Enable: true, Address: "169.254.30.10"},
		},
		Metrics:      Metrics{Server: defaultMetrics},
		StatusSocket: "/run/kubeedge/edgecore.sock",
		LogLevel:     "info",
	}
}

// defaultMetrics is where the metrics are.
const defaultMetrics = "127.0.0.1:10551"

// example is where cloudcore is in the printed configurations.
const example = "cloudcore.example.org:10000"

// Minimal is the text of --minconfig: what has to be given.
func Minimal() string {
	name := Default().Modules.Edged.HostnameOverride
	if name == "" {
		name = "edge-1"
	}
	return fmt.Sprintf(`apiVersion: %s
kind: %s
modules:
  edgeHub:
    websocket:
      server: %s
  edged:
    hostnameOverride: %s
`, APIVersion, Kind, example, name)
}

// Full is the text of --defaultconfig.
func Full() (string, error) {
	c := Default()
	c.Modules.EdgeHub.WebSocket.Server = example
	data, err := yaml.Marshal(c)
	return string(data), err
}

// Parse reads a file's text.
func Parse(data []byte) (Config, error) {
	c := Default()
	c.APIVersion, c.Kind = "", ""
	text, err := yaml.YAMLToJSONStrict(data)
	if err != nil {
		return c, err
	}
	strict, err := json.UnmarshalStrict(text, &c)
	if err = errors.Join(append(strict, err)...); err != nil {
		return c, fmt.Errorf("%w; edgecore --defaultconfig shows what there is", err)
	}
	return c, c.Check()
}

// Load reads a file.
func Load(file string) (Config, error) {
	data, err := os.ReadFile(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Config{}, fmt.Errorf("read the configuration: %w (edgecore --minconfig prints one to begin with)", err)
	case err != nil:
		return Config{}, fmt.Errorf("read the configuration: %w", err)
	}
	c, err := Parse(data)
	if err != nil {
		return c, fmt.Errorf("configuration %s: %w", file, err)
	}
	return c, nil
}

// Check returns all that cannot work.
func (c Config) Check() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.APIVersion != APIVersion || c.Kind != Kind {
		bad("it is %q of %q: want kind %s of apiVersion %s", c.Kind, c.APIVersion, Kind, APIVersion)
	}
	m := c.Modules
	if why := validation.IsDNS1123Subdomain(m.Edged.HostnameOverride); len(why) > 0 {
		bad("modules.edged.hostnameOverride %q is no name of a node: %s", m.Edged.HostnameOverride, strings.Join(why, ", "))
	}
	if err := hostPort(m.EdgeHub.WebSocket.Server); err != nil {
		bad("modules.edgeHub.websocket.server %q: %w, such as %s", m.EdgeHub.WebSocket.Server, err, example)
	}
	if s := m.EdgeHub.HTTPServer; s != "" && (!strings.HasPrefix(s, "https://") ||
		hostPort(m.EdgeHub.JoinAddress()) != nil) {
		bad("modules.edgeHub.httpServer %q: want https://host:port", s)
	}
	loopback := func(name, server, such string) {
		if err := hostPort(server); err != nil {
			bad("%s %q: %w", name, server, err)
		} else if host, _, _ := net.SplitHostPort(server); !net.ParseIP(host).IsLoopback() {
			bad("%s %q: want an address of the loopback, such as %s", name, server, such)
		}
	}
	loopback("modules.metaManager.metaServer.server", m.MetaManager.MetaServer.Server, "127.0.0.1:10550")
	if c.Metrics.Server != "" {
		loopback("metrics.server", c.Metrics.Server, defaultMetrics)
	}
	if s := m.MetaManager.MetaServer.PodServer; s != "" {
		if at, err := netip.ParseAddrPort(s); err != nil || at.Port() == 0 || !forPods(at.Addr()) {
			bad("modules.metaManager.metaServer.podServer %q: want an IP address and a port where Pods reach this machine and no other, such as 169.254.30.10:10550, or nothing", s)
		}
	}
	if d := m.DNS; d.Enable {
		if a, err := netip.ParseAddr(d.Address); err != nil || !forPods(a) {
			bad("modules.dns.address %q: want an IP address where Pods reach this machine and no other, such as 169.254.30.10", d.Address)
		}
	}
	if m.Edged.NodeIP != "" && net.ParseIP(m.Edged.NodeIP) == nil {
		bad("modules.edged.nodeIP %q is no IP address", m.Edged.NodeIP)
	}
	if c.Database.MaxMiB < 1 || c.Database.MaxMiB > 4096 {
		bad("database.maxMiB %d: want 1 to 4096", c.Database.MaxMiB)
	}
	for name, path := range map[string]string{
		"database.dataSource": c.Database.DataSource, "statusSocket": c.StatusSocket,
		"modules.edgeHub.certDir": m.EdgeHub.CertDir, "modules.metaManager.metaServer.certDir": m.MetaManager.MetaServer.CertDir,
		"modules.edged.kubelet": m.Edged.Kubelet, "modules.edged.configDir": m.Edged.ConfigDir,
		"modules.edged.kubeProxy.program": m.Edged.KubeProxy.Program, "modules.edged.kubeProxy.configDir": m.Edged.KubeProxy.ConfigDir,
	} {
		if !filepath.IsAbs(path) {
			bad("%s %q: want an absolute path", name, path)
		}
	}
	return errors.Join(errs...)
}

// forPods tells whether an address can be one at which Pods reach the machine.
func forPods(a netip.Addr) bool {
	return a.Zone() == "" && !a.IsUnspecified() && !a.IsMulticast() && !a.IsLoopback()
}

func hostPort(s string) error {
	host, port, err := net.SplitHostPort(s)
	if n, portErr := strconv.ParseUint(port, 10, 16); err != nil || host == "" || portErr != nil || n == 0 {
		return errors.New("want host:port")
	}
	return nil
}
