package devcluster

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"text/template"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/dynamic"

	"github.com/akri-go/akri/internal/devcluster/kubebin"
	"github.com/akri-go/akri/internal/poll"
)

//go:embed config/coredns.yaml
var coreDNSManifest string

// addonResources maps the kinds in the manifest to their resources.
func addonResources() map[string]schema.GroupVersionResource {
	return map[string]schema.GroupVersionResource{
		"ServiceAccount":     {Version: "v1", Resource: "serviceaccounts"},
		"ConfigMap":          {Version: "v1", Resource: "configmaps"},
		"Service":            {Version: "v1", Resource: "services"},
		"ClusterRole":        {Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "clusterroles"},
		"ClusterRoleBinding": {Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "clusterrolebindings"},
		"Deployment":         {Group: "apps", Version: "v1", Resource: "deployments"},
	}
}

// applyAddons applies the manifest of the DNS server.
func (c *Cluster) applyAddons(ctx context.Context) error {
	objects, err := renderManifest(coreDNSManifest, map[string]string{"IP": c.network.DNS().String(), "Image": c.ownImage(kubebin.CoreDNS)})
	if err != nil {
		return err
	}
	cfg, err := c.RESTConfig()
	if err != nil {
		return err
	}
	client, err := dynamic.NewForConfig(cfg)
	if err != nil {
		return err
	}
	resources := addonResources()
	for _, obj := range objects {
		gvr, ok := resources[obj.GetKind()]
		if !ok {
			return fmt.Errorf("apply %s %s: unknown kind", obj.GetKind(), obj.GetName())
		}
		var target dynamic.ResourceInterface = client.Resource(gvr)
		if ns := obj.GetNamespace(); ns != "" {
			target = client.Resource(gvr).Namespace(ns)
		}
		// The namespace and the default roles exist a moment after the server.
		err := poll.Until(ctx, "the DNS server's objects are written", 50*time.Millisecond, func(ctx context.Context) error {
			_, err := target.Apply(ctx, obj.GetName(), obj, metav1.ApplyOptions{FieldManager: clusterName, Force: true})
			return err
		})
		if err != nil {
			return fmt.Errorf("apply %s %s: %w", obj.GetKind(), obj.GetName(), err)
		}
	}
	return nil
}

// renderManifest fills a template of YAML documents.
func renderManifest(text string, values map[string]string) ([]*unstructured.Unstructured, error) {
	tmpl, err := template.New("").Option("missingkey=error").Parse(text)
	if err != nil {
		return nil, err
	}
	var buf bytes.Buffer
	if err := tmpl.Execute(&buf, values); err != nil {
		return nil, err
	}
	return parseObjects(buf.Bytes())
}

// parseObjects reads YAML documents.
func parseObjects(data []byte) ([]*unstructured.Unstructured, error) {
	var objects []*unstructured.Unstructured
	dec := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(data), 4096)
	for {
		obj := &unstructured.Unstructured{}
		err := dec.Decode(obj)
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, fmt.Errorf("parse manifest: %w", err)
		}
		if len(obj.Object) > 0 {
			objects = append(objects, obj)
		}
	}
}

// WaitNodesReady waits until every node is ready.
func (c *Cluster) WaitNodesReady(ctx context.Context) error {
	client, err := c.Clientset()
	if err != nil {
		return err
	}
	return poll.Until(ctx, "the nodes are ready", 100*time.Millisecond, func(ctx context.Context) error {
		for i := 1; i <= c.state.Nodes; i++ {
			if err := c.running(nodeCell(i)); err != nil {
				return poll.Fatal(err)
			}
			node, err := client.CoreV1().Nodes().Get(ctx, NodeName(i), metav1.GetOptions{})
			if err != nil {
				return err
			}
			if ok, why := nodeReady(node); !ok {
				return fmt.Errorf("%s is not ready: %s", node.Name, why)
			}
			if err := c.fresh(node, i); err != nil {
				return err
			}
		}
		return nil
	})
}

// fresh returns an error while a node's status is older than its kubelet: then
// it is from before a restart.
func (c *Cluster) fresh(node *corev1.Node, number int) error {
	p, err := c.cell(nodeCell(number)).Process(Kubelet)
	if err != nil {
		return poll.Fatal(err)
	}
	for _, cond := range node.Status.Conditions {
		// The API has a resolution of one second.
		if cond.Type == corev1.NodeReady && !cond.LastHeartbeatTime.Time.Before(p.Started.Truncate(time.Second)) {
			return nil
		}
	}
	return fmt.Errorf("%s has not reported since its kubelet started", node.Name)
}

// running returns an error that names the first component of a cell that does
// not run.
func (c *Cluster) running(cellName string) error {
	for _, component := range c.componentsOf(cellName) {
		p, err := c.cell(cellName).Process(component)
		if err != nil {
			return err
		}
		if !p.Alive() {
			return fmt.Errorf("%s of %s ended, see %s", component, cellName, c.cell(cellName).LogFile(component))
		}
	}
	return nil
}

func nodeReady(node *corev1.Node) (bool, string) {
	for _, t := range node.Spec.Taints {
		if t.Key == corev1.TaintNodeNotReady {
			return false, "it still has the taint " + t.Key
		}
	}
	for _, cond := range node.Status.Conditions {
		if cond.Type == corev1.NodeReady {
			return cond.Status == corev1.ConditionTrue, cond.Message
		}
	}
	return false, "it has not reported yet"
}

// waitDNS waits until the DNS server answers at its address.
func (c *Cluster) waitDNS(ctx context.Context) error {
	server := net.JoinHostPort(c.network.DNS().String(), "53")
	resolver := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, server)
	}}
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	return poll.Until(ctx, "cluster DNS answers (`akri dev kubectl -- describe pods -n kube-system` may say more)", 100*time.Millisecond, func(ctx context.Context) error {
		// A query that comes before the Service's rules is lost: retry soon.
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		addrs, err := resolver.LookupHost(ctx, "kubernetes.default.svc.cluster.local.")
		if err == nil && !slices.Contains(addrs, c.network.APIService().String()) {
			err = fmt.Errorf("it says that the API server is at %v", addrs)
		}
		return err
	})
}
