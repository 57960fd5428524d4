package publish

import (
	"strconv"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/jsonpatch"
)

// Verb is how a [Write] writes.
type Verb string

const (
	// Apply is a server-side apply.
	Apply Verb = "apply"
	// Patch is a JSON patch (RFC 6902). It removes fields whoever owns them. Its
	// tests make it fail if the object has changed.
	Patch Verb = "patch"
	// Delete deletes.
	Delete Verb = "delete"
)

// Write is one request that changes an Instance.
type Write struct {
	Verb Verb
	// Slots tells that the write is in the name of [SlotsManager], not
	// [FactsManager].
	Slots bool
	// Status tells that it goes to the status subresource.
	Status bool
	// Force is for Apply.
	Force bool
	// Owner, if set, is the UID that the Configuration must have; it is read live
	// before the write.
	Owner types.UID
	// UID is a precondition of all but the first Apply; ResourceVersion one
	// of Delete.
	UID             types.UID
	ResourceVersion string

	Object *Object        // what to apply
	Ops    []jsonpatch.Op // the patch
}

// leaves tells whether the write gives up all that the node owns of an Instance.
func (w Write) leaves() bool {
	return w.Verb == Apply && !w.Slots && !w.Status && w.Object.Spec == nil
}

// Object is the part of an Instance that is applied. Fields that are left out are
// given up if the manager owned them.
type Object struct {
	metav1.TypeMeta `json:",inline"`
	Metadata        ObjectMeta    `json:"metadata"`
	Spec            *ObjectSpec   `json:"spec,omitempty"`
	Status          *ObjectStatus `json:"status,omitempty"`
}

// ObjectMeta is the metadata of an [Object].
type ObjectMeta struct {
	Name            string                  `json:"name"`
	Namespace       string                  `json:"namespace"`
	UID             types.UID               `json:"uid,omitempty"`
	Labels          map[string]string       `json:"labels,omitempty"`
	Annotations     map[string]string       `json:"annotations,omitempty"`
	OwnerReferences []metav1.OwnerReference `json:"ownerReferences,omitempty"`
}

// ObjectSpec is the spec of an [Object].
type ObjectSpec struct {
	ConfigurationName string            `json:"configurationName,omitempty"`
	CdiName           string            `json:"cdiName,omitempty"`
	Capacity          *int64            `json:"capacity,omitempty"`
	BrokerProperties  map[string]string `json:"brokerProperties,omitempty"`
	Shared            *bool             `json:"shared,omitempty"`
	Nodes             []string          `json:"nodes,omitempty"`
	DeviceUsage       map[string]string `json:"deviceUsage,omitempty"`
}

// ObjectStatus is the status of an [Object].
type ObjectStatus struct {
	Nodes []v0.InstanceNode `json:"nodes,omitempty"`
}

// removeNode returns the steps that remove spec.nodes[i].
func removeNode(i int, node string) []jsonpatch.Op {
	return jsonpatch.RemoveIf(jsonpatch.Pointer("spec", "nodes", strconv.Itoa(i)), node)
}

// newObject returns an Object with only the names filled in.
func newObject(name types.NamespacedName, uid types.UID) *Object {
	return &Object{
		TypeMeta: metav1.TypeMeta{APIVersion: v0.GroupVersion.String(), Kind: "Instance"},
		Metadata: ObjectMeta{Name: name.Name, Namespace: name.Namespace, UID: uid},
	}
}
