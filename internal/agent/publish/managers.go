package publish

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v0 "github.com/akri-go/akri/api/v0"
)

// maxManagerBytes is the API server's limit for the name of a field manager.
const maxManagerBytes = 128

// FactsManager returns the field manager for what a node sees.
func FactsManager(node string) string { return manager("akri-agent/", node) }

// SlotsManager returns the field manager for what a node holds.
func SlotsManager(node string) string { return manager("akri-slots/", node) }

// manager shortens names that are too long, keeping their start readable.
func manager(prefix, node string) string {
	if len(prefix)+len(node) <= maxManagerBytes {
		return prefix + node
	}
	sum := sha256.Sum256([]byte(node))
	hash := hex.EncodeToString(sum[:8])
	return prefix + node[:maxManagerBytes-len(prefix)-1-len(hash)] + "-" + hash
}

// trimmer returns the function that removes from an Instance what a node does not
// need. Of managedFields it keeps only the node's own entry, and only on shared
// Instances: that entry says what would be lost if another node left.
func trimmer(node string) func(*v0.Instance) {
	own := FactsManager(node)
	return func(o *v0.Instance) {
		var kept []metav1.ManagedFieldsEntry // a copy: the old array would keep the rest alive
		for _, m := range o.ManagedFields {
			if o.Spec.Shared && m.Manager == own && m.Subresource == "" && m.Operation == metav1.ManagedFieldsOperationApply {
				kept = append(kept, m)
			}
		}
		o.ManagedFields = kept
		o.Status.Conditions = nil
		for i := range o.Status.Nodes {
			if n := &o.Status.Nodes[i]; n.Name != node {
				n.Outdated = nil
			}
		}
	}
}

// owned says which fields of an Instance a node's facts own.
type owned struct {
	any        bool
	capacity   bool
	properties map[string]bool
}

// ownedBy reads the entry that trimmer has kept.
func ownedBy(node string, o *v0.Instance) owned {
	own := FactsManager(node)
	for _, m := range o.ManagedFields {
		if m.Manager != own || m.FieldsV1 == nil {
			continue
		}
		var fields struct {
			Spec struct {
				Capacity   *struct{}                  `json:"f:capacity"`
				Properties map[string]json.RawMessage `json:"f:brokerProperties"`
			} `json:"f:spec"`
		}
		if json.Unmarshal(m.FieldsV1.GetRawBytes(), &fields) != nil {
			return owned{any: true}
		}
		properties := make(map[string]bool, len(fields.Spec.Properties))
		for k := range fields.Spec.Properties {
			if len(k) > 2 && k[:2] == "f:" {
				properties[k[2:]] = true
			}
		}
		return owned{any: true, capacity: fields.Spec.Capacity != nil, properties: properties}
	}
	return owned{}
}
