package workload

import (
	"encoding/json"
	"reflect"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	v0 "github.com/akri-go/akri/api/v0"
)

// Kind is the kind of object that is made from a spec.
type Kind int

// The kinds that a Configuration can have specs for.
const (
	Pod Kind = iota
	Job
	Service
)

// Spec is a Kubernetes spec in a Configuration, as it was written.
type Spec struct {
	Kind Kind
	Path *field.Path
	Raw  []byte // JSON
}

// SpecsOf returns the specs of a Configuration: first those of brokers, then
// those of Services.
func SpecsOf(c *v0.Configuration) []Spec {
	if c == nil {
		return nil
	}
	path := field.NewPath("spec")
	var out []Spec
	add := func(kind Kind, path *field.Path, raw *runtime.RawExtension) {
		if b := Raw(raw); b != nil {
			out = append(out, Spec{kind, path, b})
		}
	}
	if b := c.Spec.BrokerSpec; b != nil {
		add(Pod, path.Child("brokerSpec", "brokerPodSpec"), b.BrokerPodSpec)
		add(Job, path.Child("brokerSpec", "brokerJobSpec"), b.BrokerJobSpec)
	}
	add(Service, path.Child("instanceServiceSpec"), c.Spec.InstanceServiceSpec)
	add(Service, path.Child("configurationServiceSpec"), c.Spec.ConfigurationServiceSpec)
	return out
}

// Raw returns a spec as JSON; nil if it is absent or null.
func Raw(spec *runtime.RawExtension) []byte {
	if spec == nil || len(spec.Raw) == 0 || string(spec.Raw) == "null" {
		return nil
	}
	return spec.Raw
}

// Same reports whether two specs are equal as JSON; an absent one equals
// nothing.
func (s Spec) Same(o Spec) bool {
	var a, b any
	return s.Raw != nil && o.Raw != nil &&
		json.Unmarshal(s.Raw, &a) == nil && json.Unmarshal(o.Raw, &b) == nil && reflect.DeepEqual(a, b)
}
