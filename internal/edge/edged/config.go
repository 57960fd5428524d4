// Package edged runs the stock kubelet of an edge node: it writes its
// configuration and its credentials, starts it, and starts it again when it ends.
//
// The kubelet knows one API server, the node's local API (package api), and has
// a certificate that only that API takes and that has no end. So nothing of the
// kubelet expires while the link is cut. It speaks JSON, so that edgecore need
// know no type of the API.
//
// A kubelet that ends is started again after a delay that grows. It ends with
// edgecore, and its containers run on. containerd is the node's own affair.
package edged

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"

	"github.com/akri-go/akri/internal/atomicfile"
)

// Options are the settings of a kubelet.
type Options struct {
	// Kubelet is the program.
	Kubelet string
	// Dir is where its configuration is written.
	Dir string
	// Node is the node's name, and NodeIP its address; "" lets the kubelet choose.
	Node, NodeIP string
	// Server is the URL of the local API, CA its authority (PEM), and Credentials
	// a file with a certificate and its key.
	Server      string
	CA          []byte
	Credentials string
	// Tailored are fields of KubeletConfiguration, in place of those of here.
	Tailored map[string]any
	// Args are more arguments.
	Args []string
}

// ContainerRuntime is where containerd listens by default.
const ContainerRuntime = "unix:///run/containerd/containerd.sock"

// jsonType is the one contentType that the local API reads in full.
const jsonType = "application/json"

// configuration is the KubeletConfiguration, as JSON.
func (o Options) configuration() ([]byte, error) {
	c := map[string]any{
		"apiVersion":               "kubelet.config.k8s.io/v1beta1",
		"kind":                     "KubeletConfiguration",
		"contentType":              jsonType,
		"containerRuntimeEndpoint": ContainerRuntime,
		"clusterDomain":            "cluster.local",
		"authentication": map[string]any{
			"anonymous": map[string]any{"enabled": false},
			"webhook":   map[string]any{"enabled": true},
		},
		"authorization": map[string]any{"mode": "Webhook"},
	}
	merge(c, o.Tailored)
	if c["contentType"] != jsonType {
		return nil, fmt.Errorf("tailoredKubeletConfig: contentType %q: the local API reads %s alone", c["contentType"],
			jsonType)
	}
	for _, name := range []string{"apiVersion", "kind"} {
		if _, ok := o.Tailored[name]; ok {
			return nil, fmt.Errorf("tailoredKubeletConfig: %s cannot be set", name)
		}
	}
	return json.MarshalIndent(c, "", "  ")
}

// merge puts the fields of from into to; objects are merged in turn.
func merge(to, from map[string]any) {
	for name, v := range from {
		old, isMap := to[name].(map[string]any)
		next, bothMaps := v.(map[string]any)
		if isMap && bothMaps {
			merged := maps.Clone(old)
			merge(merged, next)
			v = merged
		}
		to[name] = v
	}
}

// kubeconfig says how the kubelet reaches the local API.
func (o Options) kubeconfig() ([]byte, error) {
	type named map[string]any
	return json.MarshalIndent(map[string]any{
		"apiVersion": "v1", "kind": "Config", "current-context": "edgecore",
		"clusters": []named{{"name": "edgecore", "cluster": map[string]any{"server": o.Server,
			"certificate-authority-data": o.CA}}},
		"users": []named{{"name": "kubelet", "user": map[string]any{"client-certificate": o.Credentials,
			"client-key": o.Credentials}}},
		"contexts": []named{{"name": "edgecore", "context": map[string]any{"cluster": "edgecore", "user": "kubelet"}}},
	}, "", "  ")
}

func (o Options) configFile() string     { return filepath.Join(o.Dir, "kubelet.yaml") }
func (o Options) kubeconfigFile() string { return filepath.Join(o.Dir, "kubelet.kubeconfig") }

// Write writes the kubelet's files.
func (o Options) Write() error {
	config, err := o.configuration()
	if err != nil {
		return err
	}
	access, err := o.kubeconfig()
	if err != nil {
		return err
	}
	err = errors.Join(atomicfile.Write(o.configFile(), append(config, '\n'), 0o644),
		atomicfile.Write(o.kubeconfigFile(), append(access, '\n'), 0o600))
	if err != nil {
		return fmt.Errorf("write the kubelet's configuration: %w", err)
	}
	return nil
}

// arguments are the kubelet's command line.
func (o Options) arguments() []string {
	args := []string{"--config=" + o.configFile(), "--kubeconfig=" + o.kubeconfigFile(), "--hostname-override=" + o.Node}
	if o.NodeIP != "" {
		args = append(args, "--node-ip="+o.NodeIP)
	}
	return append(args, o.Args...)
}
