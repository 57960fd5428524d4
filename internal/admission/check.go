package admission

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/shorten"
)

// Facts is what the cluster knows and a Configuration does not say. The zero
// value is for a check without a cluster.
type Facts struct {
	// Namesakes are other Configurations of the same name.
	Namesakes []types.NamespacedName
	// Instance is the one that has the Configuration's name, if there is one.
	Instance *v0.Instance
	// Parent is another Configuration, of which an Instance can get the name.
	Parent *types.NamespacedName
	// Heirs are other Configurations that have names which Instances of this one
	// can get.
	Heirs []types.NamespacedName
	// Same are other Configurations that the user may see and that ask the same
	// handler the same.
	Same []types.NamespacedName
	// Trials are what the API server said to the specs, by their path, such as
	// "spec.brokerSpec.brokerPodSpec". A spec without an entry is judged by the
	// types that this program was built with.
	Trials map[string]Verdict
	// Denials say, by the same paths, why the user may not have made what is made
	// from a spec.
	Denials map[string]string
	// Gaps say what could not be found out.
	Gaps []string
}

// Verdict is what the API server said to a trial of a spec.
type Verdict struct {
	// Answered is false if it did not get so far as to judge the spec.
	Answered bool
	// Faults are what no cluster like this one will ever accept.
	Faults []Fault
	// Objection is why it would be refused at this moment (a quota, a policy,
	// a service account that is not there), or why there was no answer.
	Objection string
}

// Fault is one thing that is wrong with a spec.
type Fault struct {
	Field  string // within the spec; empty for all of it
	Type   field.ErrorType
	Reason string
}

// Limits of warnings: the API asks for at most 120 characters each, and
// shortens what is more than 4 KiB in all.
const (
	maxWarning  = 120
	maxWarnings = 20
)

// maxSaid is how many errors, and how many warnings, are kept at most: who has
// that many has read enough, and strangers can ask the webhook.
const maxSaid = 200

// Check returns why a Configuration cannot be accepted, and what its author
// should know if it can. Old is what it was before, nil for a new one: what
// does not change is not held against it where nobody could help it.
func Check(c, old *v0.Configuration, facts Facts) (field.ErrorList, []string) {
	k := checker{c: c, old: old, facts: facts}
	k.name()
	k.handler()
	k.same()
	k.capacity()
	k.properties()
	k.specs()
	for _, g := range facts.Gaps {
		k.warn("%s", g)
	}
	return k.errs, k.warnings()
}

type checker struct {
	c, old *v0.Configuration
	facts  Facts
	errs   field.ErrorList
	told   []string
}

// invalid refuses a field without repeating its value, which may be long or
// secret.
func (k *checker) invalid(path *field.Path, format string, args ...any) {
	k.add(field.Invalid(path, field.OmitValueType{}, fmt.Sprintf(format, args...)))
}

func (k *checker) add(err *field.Error) {
	if len(k.errs) < maxSaid {
		k.errs = append(k.errs, err)
	}
}

func (k *checker) warn(format string, args ...any) {
	if len(k.told) < maxSaid {
		k.told = append(k.told, fmt.Sprintf(format, args...))
	}
}

// warnings returns them in one line each, as long and as many as the API likes.
func (k *checker) warnings() []string {
	var out []string
	for _, w := range k.told {
		if w = Short(w, maxWarning); !slices.Contains(out, w) {
			out = append(out, w)
		}
	}
	if more := len(out) - maxWarnings; more > 0 {
		out = append(out[:maxWarnings], fmt.Sprintf("and %d more: akri check -f shows all", more))
	}
	return out
}

// Short returns s in one line of at most n bytes.
func Short(s string, n int) string {
	return shorten.Text(strings.Join(strings.Fields(s), " "), n)
}

func (k *checker) name() {
	path := field.NewPath("metadata", "name")
	if n := len(k.c.Name); n > v0.MaxConfigurationName {
		k.invalid(path, "has %d characters: at most %d leave room for the names of Instances", n, v0.MaxConfigurationName)
	}
	for _, o := range k.facts.Namesakes {
		if k.old != nil {
			// It cannot be renamed, and one of the two may well be edited.
			k.warn("Configuration %s has this name too: of the two, the older one gets the devices", o)
			continue
		}
		k.invalid(path, "belongs to the Configuration %s: resources of a node (%s) have no namespace. Choose another name",
			o, v0.ResourceName(k.c.Name))
	}
	if i := k.facts.Instance; i != nil && k.old == nil {
		k.invalid(path, "belongs to an Instance of the Configuration %s/%s, and so does the resource %s. Choose another name",
			i.Namespace, i.Spec.ConfigurationName, v0.ResourceName(k.c.Name))
	}
	if k.old != nil {
		return
	}
	// Who comes later is told. An Instance that comes later cannot choose.
	if p := k.facts.Parent; p != nil {
		k.invalid(path, "can become the name of an Instance of the Configuration %s, and that Instance could not be made then. Choose another name, "+
			"such as one that does not end in a dash and hexadecimal digits", p)
	}
	for _, o := range k.facts.Heirs {
		k.warn("Configuration %s has a name that an Instance of this one can get: that Instance could not be made", o)
	}
}

// same warns of devices that will be handed out twice. That two rules meet in one
// device is only known when there is one: the condition DevicesExclusive says so.
func (k *checker) same() {
	for _, o := range k.facts.Same {
		name := o.String()
		if o.Namespace == k.c.Namespace {
			name = o.Name
		}
		k.warn("discoveryHandler: Configuration %s asks for the same devices: two users can have each of them at the same time", name)
	}
}

func (k *checker) capacity() {
	if c := k.c.Spec.Capacity; c < 1 {
		k.invalid(field.NewPath("spec", "capacity"), "is %d: a device needs at least one slot, or nobody can use it", c)
	}
}

func (k *checker) properties() {
	path := field.NewPath("spec", "discoveryHandler", "discoveryProperties")
	seen := map[string]bool{}
	for i, p := range k.c.Spec.DiscoveryHandler.DiscoveryProperties {
		at := path.Index(i)
		if seen[p.Name] {
			k.warn("discoveryProperties[%d]: %s is there twice, the last one counts", i, p.Name)
		}
		seen[p.Name] = true
		if (p.Value != nil) == (p.ValueFrom != nil) {
			k.invalid(at, "give exactly one of value and valueFrom")
		}
		if p.ValueFrom == nil {
			continue
		}
		at = at.Child("valueFrom")
		ref, kind := p.ValueFrom.SecretKeyRef, "secretKeyRef"
		if ref == nil {
			ref, kind = p.ValueFrom.ConfigMapKeyRef, "configMapKeyRef"
		}
		switch {
		case (p.ValueFrom.SecretKeyRef != nil) == (p.ValueFrom.ConfigMapKeyRef != nil):
			k.invalid(at, "give exactly one of secretKeyRef and configMapKeyRef")
		case ref.Name == "" || ref.Key == "":
			k.add(field.Required(at.Child(kind), "name and key are both needed"))
		case ref.Namespace != "" && k.c.Namespace != "" && ref.Namespace != k.c.Namespace:
			k.warn("discoveryProperties[%d]: is read only if the operator allows the namespace %s", i, ref.Namespace)
		}
	}
	path = field.NewPath("spec", "brokerProperties")
	for key := range k.c.Spec.BrokerProperties {
		if key == "" || strings.ContainsAny(key, "=\x00") {
			k.invalid(path, "%q cannot be the name of an environment variable", Short(key, 60))
		}
	}
}
