package edged

import (
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
)

// KubeletOptions are the settings of a kubelet.
type KubeletOptions struct {
	// Program is the kubelet.
	Program string
	// Dir is where its configuration is written.
	Dir string
	// Node is the node's name, and NodeIP its address; "" lets the kubelet choose.
	Node, NodeIP string
	Access       Access
	// ClusterDNS is whom Pods ask for names; "" leaves it to Tailored.
	ClusterDNS string
	// Tailored are fields of KubeletConfiguration, in place of those of here.
	Tailored map[string]any
	// Args are more arguments.
	Args []string
}

// ContainerRuntime is where containerd listens by default.
const ContainerRuntime = "unix:///run/containerd/containerd.sock"

// ClusterDomain is the domain of the cluster's names by default.
const ClusterDomain = "cluster.local"

// jsonType is the one contentType that the local API reads in full.
const jsonType = "application/json"

// configuration is the KubeletConfiguration, as JSON.
func (o KubeletOptions) configuration() ([]byte, error) {
	c := map[string]any{
		"apiVersion":               "kubelet.config.k8s.io/v1beta1",
		"kind":                     "KubeletConfiguration",
		"contentType":              jsonType,
		"containerRuntimeEndpoint": ContainerRuntime,
		"clusterDomain":            ClusterDomain,
		"authentication": map[string]any{
			"anonymous": map[string]any{"enabled": false},
			"webhook":   map[string]any{"enabled": true},
		},
		"authorization": map[string]any{"mode": "Webhook"},
	}
	if o.ClusterDNS != "" {
		c["clusterDNS"] = []string{o.ClusterDNS}
	}
	if v, ok := o.Tailored["contentType"]; ok && v != jsonType {
		return nil, fmt.Errorf("tailoredKubeletConfig: contentType %q: the local API reads %s alone", v, jsonType)
	}
	return tailor(c, o.Tailored, "tailoredKubeletConfig", "apiVersion", "kind")
}

// NewKubelet returns the kubelet. What it prints goes to output.
func NewKubelet(o KubeletOptions, log *slog.Logger, output io.Writer) *Program {
	config, access := filepath.Join(o.Dir, "kubelet.yaml"), filepath.Join(o.Dir, "kubelet.kubeconfig")
	args := []string{"--config=" + config, "--kubeconfig=" + access, "--hostname-override=" + o.Node}
	if o.NodeIP != "" {
		args = append(args, "--node-ip="+o.NodeIP)
	}
	return newProgram(program{
		name: "the kubelet", path: o.Program, args: append(args, o.Args...), meanwhile: "containers run on",
		remedy: "install it in the minor version of the cluster, or up to three older",
		files: func() ([]file, error) {
			c, err := o.configuration()
			if err != nil {
				return nil, err
			}
			a, err := o.Access.kubeconfig("kubelet")
			return []file{{config, c, 0o644}, {access, a, 0o600}}, err
		},
	}, log, output)
}
