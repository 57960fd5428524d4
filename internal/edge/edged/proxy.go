package edged

import (
	"io"
	"log/slog"
	"path/filepath"
)

// ProxyOptions are the settings of kube-proxy.
type ProxyOptions struct {
	// Program is kube-proxy.
	Program string
	// Dir is where its configuration is written.
	Dir string
	// Node is the node's name.
	Node   string
	Access Access
	// Tailored are fields of KubeProxyConfiguration, in place of those of here.
	Tailored map[string]any
	// Args are more arguments.
	Args []string
}

func (o ProxyOptions) kubeconfigFile() string { return filepath.Join(o.Dir, "kube-proxy.kubeconfig") }

// configuration is the KubeProxyConfiguration, as JSON.
func (o ProxyOptions) configuration() ([]byte, error) {
	return tailor(map[string]any{
		"apiVersion":       "kubeproxy.config.k8s.io/v1alpha1",
		"kind":             "KubeProxyConfiguration",
		"clientConnection": map[string]any{"kubeconfig": o.kubeconfigFile(), "contentType": jsonType},
		"hostnameOverride": o.Node,
	}, o.Tailored, "tailoredKubeProxyConfig", "apiVersion", "kind", "clientConnection", "hostnameOverride")
}

// NewProxy returns kube-proxy. What it prints goes to output.
func NewProxy(o ProxyOptions, log *slog.Logger, output io.Writer) *Program {
	config := filepath.Join(o.Dir, "kube-proxy.yaml")
	return newProgram(program{
		name: "kube-proxy", path: o.Program, args: append([]string{"--config=" + config}, o.Args...),
		meanwhile: "the rules of Services stay as they are",
		remedy: "until it is there, Services do not work on this node; " +
			"install it in the version of the cluster, or set modules.edged.kubeProxy.enable to false",
		files: func() ([]file, error) {
			c, err := o.configuration()
			if err != nil {
				return nil, err
			}
			a, err := o.Access.kubeconfig("kube-proxy")
			return []file{{config, c, 0o644}, {o.kubeconfigFile(), a, 0o600}}, err
		},
	}, log, output)
}
