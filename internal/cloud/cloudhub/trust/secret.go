package trust

import (
	"context"
	"encoding/json"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
)

// SecretName is the Secret of the chart. It is created empty, so that cloudcore
// needs the right to read and change this one Secret, and no other.
const SecretName = "cloudcore"

// edgeLabel is on Nodes that are edge nodes. cloudcore sets it: NodeRestriction
// forbids it to the node itself.
const edgeLabel = "node-role.kubernetes.io/edge"

// Cluster is [Store] and [Nodes] in a cluster.
type Cluster struct {
	rest            rest.Interface
	namespace, name string
}

var (
	_ Store = (*Cluster)(nil)
	_ Nodes = (*Cluster)(nil)
)

// NewCluster returns the Secret of a namespace, [SecretName] if name is empty.
func NewCluster(cfg *rest.Config, namespace, name string) (*Cluster, error) {
	if name == "" {
		name = SecretName
	}
	cfg = rest.CopyConfig(cfg)
	cfg.NegotiatedSerializer = serializer.NewCodecFactory(runtime.NewScheme()).WithoutConversion()
	cfg.ContentType, cfg.AcceptContentTypes = runtime.ContentTypeJSON, runtime.ContentTypeJSON
	c, err := rest.UnversionedRESTClientFor(cfg)
	if err != nil {
		return nil, fmt.Errorf("client of %s: %w", cfg.Host, err)
	}
	return &Cluster{rest: c, namespace: namespace, name: name}, nil
}

// object is what is read of Secrets and Nodes, and written of Secrets. The types
// of k8s.io/api would link the whole core API.
type object struct {
	Metadata struct {
		ResourceVersion string            `json:"resourceVersion,omitempty"`
		Labels          map[string]string `json:"labels,omitempty"`
	} `json:"metadata"`
	Data map[string][]byte `json:"data,omitempty"`
}

// Read reads the Secret.
func (c *Cluster) Read(ctx context.Context) (map[string][]byte, string, error) {
	text, err := c.rest.Get().AbsPath(c.path()...).DoRaw(ctx)
	switch {
	case apierrors.IsNotFound(err):
		return nil, "", fmt.Errorf("the Secret %s/%s does not exist: the chart creates it, or create it empty",
			c.namespace, c.name)
	case err != nil:
		return nil, "", fmt.Errorf("read the Secret %s/%s: %w", c.namespace, c.name, told(err, text))
	}
	var s object
	if err := json.Unmarshal(text, &s); err != nil {
		return nil, "", fmt.Errorf("read the Secret %s/%s: %w", c.namespace, c.name, err)
	}
	return s.Data, s.Metadata.ResourceVersion, nil
}

// Write writes the Secret's data if it has that resourceVersion. Labels and the
// like stay as they are.
func (c *Cluster) Write(ctx context.Context, data map[string][]byte, version string) error {
	s := object{Data: data}
	s.Metadata.ResourceVersion = version
	patch, err := json.Marshal(s)
	if err != nil {
		return err
	}
	text, err := c.rest.Patch(types.MergePatchType).AbsPath(c.path()...).Body(patch).DoRaw(ctx)
	switch {
	case apierrors.IsConflict(err):
		return ErrConflict
	case err != nil:
		return fmt.Errorf("write the Secret %s/%s: %w", c.namespace, c.name, told(err, text))
	}
	return nil
}

// told returns what the API server says is wrong, which the error of a raw
// answer leaves out.
func told(err error, answer []byte) error {
	var s metav1.Status
	if json.Unmarshal(answer, &s) == nil && s.Kind == "Status" && s.Message != "" {
		return &apierrors.StatusError{ErrStatus: s}
	}
	return err
}

func (c *Cluster) path() []string {
	return []string{"/api/v1/namespaces", c.namespace, "secrets", c.name}
}

// Node reads a Node.
func (c *Cluster) Node(ctx context.Context, name string) (NodeState, error) {
	text, err := c.rest.Get().AbsPath("/api/v1/nodes", name).DoRaw(ctx)
	if apierrors.IsNotFound(err) {
		return NodeState{}, nil
	}
	if err != nil {
		return NodeState{}, told(err, text)
	}
	var n object
	if err := json.Unmarshal(text, &n); err != nil {
		return NodeState{}, err
	}
	_, edge := n.Metadata.Labels[edgeLabel]
	return NodeState{Exists: true, Edge: edge}, nil
}
