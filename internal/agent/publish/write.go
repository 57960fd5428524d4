package publish

import (
	"encoding/json"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	v0 "github.com/akri-go/akri/api/v0"
)

// Verb is how a [Write] writes.
type Verb string

const (
	// Apply is a server-side apply.
	Apply Verb = "apply"
	// Patch is a JSON patch (RFC 6902): what takes fields away, whoever owns
	// them. Its tests make it fail if the object is not as it was thought.
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
	// Owner, if it is set, is the UID that the Configuration must have, live,
	// for the write to happen.
	Owner types.UID
	// UID is a precondition of all but the first Apply; ResourceVersion one
	// of Delete.
	UID             types.UID
	ResourceVersion string

	Object *Object // what to apply
	Ops    []Op    // the patch
}

// leaves tells whether the write gives up all that the node owns of an Instance.
func (w Write) leaves() bool {
	return w.Verb == Apply && !w.Slots && !w.Status && w.Object.Spec == nil
}

// Object is the part of an Instance that is applied. What is left out is given
// up if the manager owned it.
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

// Op is one step of a JSON patch.
type Op struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value string `json:"value,omitempty"`
}

// MarshalJSON keeps the empty value of a test.
func (o Op) MarshalJSON() ([]byte, error) {
	m := map[string]string{"op": o.Op, "path": o.Path}
	if o.Op != "remove" {
		m["value"] = o.Value
	}
	return json.Marshal(m)
}

func opTest(path, value string) Op    { return Op{Op: "test", Path: path, Value: value} }
func opReplace(path, value string) Op { return Op{Op: "replace", Path: path, Value: value} }
func opRemove(path string) Op         { return Op{Op: "remove", Path: path} }

// pointer joins the parts of a JSON pointer (RFC 6901).
func pointer(parts ...string) string {
	escape := strings.NewReplacer("~", "~0", "/", "~1")
	var b strings.Builder
	for _, p := range parts {
		b.WriteByte('/')
		b.WriteString(escape.Replace(p))
	}
	return b.String()
}

// sameUID is the precondition of every patch.
func sameUID(uid types.UID) Op { return opTest("/metadata/uid", string(uid)) }

// removeNode returns what takes spec.nodes[i] away.
func removeNode(i int, node string) []Op {
	path := pointer("spec", "nodes", strconv.Itoa(i))
	return []Op{opTest(path, node), opRemove(path)}
}

// newObject returns an Object with the names filled in and nothing else.
func newObject(name types.NamespacedName, uid types.UID) *Object {
	return &Object{
		TypeMeta: metav1.TypeMeta{APIVersion: v0.GroupVersion.String(), Kind: "Instance"},
		Metadata: ObjectMeta{Name: name.Name, Namespace: name.Namespace, UID: uid},
	}
}
