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

// Facts is what the cluster knows beyond the Configuration itself. The zero
// value is for a check without a cluster.
type Facts struct {
	// Namesakes are other Configurations with the same name.
	Namesakes []types.NamespacedName
	// Instance is the Instance that has the Configuration's name, if any.
	Instance *v0.Instance
	// Parent is another Configuration, one of whose Instances could get this
	// name.
	Parent *types.NamespacedName
	// Heirs are other Configurations whose names Instances of this one could
	// get.
	Heirs []types.NamespacedName
	// Same are other Configurations with the same discovery request, as far as
	// the user may see them.
	Same []types.NamespacedName
	// Trials are the API server's verdicts on the specs, by path, such as
	// "spec.brokerSpec.brokerPodSpec". A spec without a verdict is judged by
	// the types that this program was built with.
	Trials map[string]Verdict
	// Denials say, by the same paths, why the user may not create what is made
	// from a spec.
	Denials map[string]string
	// Gaps say what could not be found out.
	Gaps []string
}

// Verdict is the API server's answer to a dry run of a spec.
type Verdict struct {
	// Answered is false if the API server did not get to judge the spec.
	Answered bool
	// Faults are what this kind of cluster will never accept.
	Faults []Fault
	// Objection is why the object would be refused right now (a quota, a
	// policy, a missing service account), or why there was no answer.
	Objection string
}

// Fault is one thing that is wrong with a spec.
type Fault struct {
	Field  string // within the spec; empty for the whole spec
	Type   field.ErrorType
	Reason string
}

// Limits of warnings: the API asks for at most 120 characters each, and
// shortens what is more than 4 KiB in all.
const (
	maxWarningBytes = 120
	maxWarnings     = 20
)

// maxFindings limits the errors, and the warnings, that are kept: nobody needs
// more, and strangers can call the webhook.
const maxFindings = 200

// Check returns why a Configuration cannot be accepted, and warnings for its
// author if it can. Old is what it was before, nil for a new one: some faults
// are forgiven if they were there before.
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
	if len(k.errs) < maxFindings {
		k.errs = append(k.errs, err)
	}
}

func (k *checker) warn(format string, args ...any) {
	if len(k.told) < maxFindings {
		k.told = append(k.told, fmt.Sprintf(format, args...))
	}
}

// warnings returns one line for each, within the API's limits.
func (k *checker) warnings() []string {
	var out []string
	for _, w := range k.told {
		if w = Short(w, maxWarningBytes); !slices.Contains(out, w) {
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
			k.warn("Configuration %s has the same name: the older one of the two gets the devices", o)
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
	// An Instance cannot choose its name, so a new Configuration gives way.
	if p := k.facts.Parent; p != nil {
		k.invalid(path, "can become the name of an Instance of the Configuration %s, which could then not be created. Choose another name, "+
			"such as one that does not end in a dash and hexadecimal digits", p)
	}
	for _, o := range k.facts.Heirs {
		k.warn("Configuration %s has a name that an Instance of this one can get: that Instance could not be created", o)
	}
}

// same warns of devices that will be handed out twice. Whether two different
// rules select one device is known only when there is one: see the condition
// DevicesExclusive.
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
			k.warn("discoveryProperties[%d]: %s is listed twice; the last one counts", i, p.Name)
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
