package explain

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/handlers"
)

// settleTime is how long something new may take before its absence means
// something.
const settleTime = time.Minute

// wantsController reports whether a Configuration needs a controller for more
// than its status.
func wantsController(c v0.Configuration) bool {
	return c.Spec.BrokerSpec != nil || c.Spec.InstanceServiceSpec != nil || c.Spec.ConfigurationServiceSpec != nil
}

// configuration finds why a Configuration cannot be used, or finds no devices.
func (v *view) configuration(c *v0.Configuration) {
	subject := subjectOf(Configuration, c)
	if c.DeletionTimestamp != nil {
		v.deleting(subject, "configurations.akri.sh", c)
		return
	}
	if v.refused(c) {
		return
	}
	v.entries(c)
	v.conditions(c)
}

// deleting reports an object that waits for somebody's finalizer.
func (v *view) deleting(s Subject, resource string, o metav1.Object) {
	if at := o.GetDeletionTimestamp(); at == nil || v.Now.Sub(at.Time) < settleTime || len(o.GetFinalizers()) == 0 {
		return
	}
	f := Finding{
		Level: Problem, Step: StepConfiguration, Cause: DeletionWaits, Subject: s,
		Summary: "it is being deleted, and waits for the finalizers " + names(o.GetFinalizers()),
		Remedy: Remedy{
			Text: "Akri has no finalizers, upstream's agents have: bare names of nodes. The controller removes " +
				"those of nodes where no agent of upstream's runs. Others are removed by who set them",
			Commands: []string{fmt.Sprintf("kubectl -n %s get %s %s -o jsonpath='{.metadata.finalizers}'",
				s.Namespace, resource, s.Name)},
			See: "docs/uninstall.md",
		},
	}
	f.says(s.String(), "deleted %s ago", v.ago(o.GetDeletionTimestamp().Time))
	v.add(f)
}

// refused reports a Configuration that no agent makes a request of.
func (v *view) refused(c *v0.Configuration) bool {
	f := Finding{Level: Problem, Step: StepConfiguration, Subject: subjectOf(Configuration, c)}
	if len(c.Name) > v0.MaxConfigurationName {
		f.Cause, f.Summary = NameTooLong, fmt.Sprintf("its name has %d characters, and at most %d leave room for "+
			"the names of its Instances",
			len(c.Name), v0.MaxConfigurationName)
		f.Remedy.Text = "make it again under a shorter name"
		f.says(f.Subject.String(), "metadata.name is %s", c.Name)
		v.add(f)
		return true
	}
	if first := v.firstOfName(c); first != nil {
		f.Cause, f.Summary = NameTaken, fmt.Sprintf("the older Configuration %s has its name, and with it the "+
			"resource %s of the nodes",
			keyOf(first), v0.ResourceName(c.Name))
		f.says(subjectOf(Configuration, first).String(), "created %s",
			first.CreationTimestamp.UTC().Format(time.RFC3339))
		f.says(f.Subject.String(), "created %s", c.CreationTimestamp.UTC().Format(time.RFC3339))
		f.Remedy = Remedy{Text: "make one of the two again under another name", See: "docs/configuration.md"}
		v.add(f)
		return true
	}
	if err := checkDetails(c); err != nil {
		f.Cause, f.Summary = DetailsRefused, "its discoveryDetails are wrong: "+oneLine(err.Error())
		f.says(f.Subject.String(), "discoveryHandler.name is %s", c.Spec.DiscoveryHandler.Name)
		for _, n := range c.Status.Nodes {
			if n.State == v0.DiscoveryFailed {
				f.says("status of node "+n.Name, "%s", n.Message)
				f.Nodes = append(f.Nodes, n.Name)
			}
		}
		f.Remedy = Remedy{Text: "mend them; a file can be checked before it is applied",
			Commands: []string{"akri check -f <configuration.yaml>"}, See: handlerPage(c)}
		v.add(f)
		return true
	}
	return false
}

// firstOfName returns the Configuration that has the name of a younger one; nil if c
// is the oldest. It decides as agents do (requests.Plan).
func (v *view) firstOfName(c *v0.Configuration) *v0.Configuration {
	first := c
	for i := range v.Configurations {
		o := &v.Configurations[i]
		if o.Name == c.Name && o.DeletionTimestamp == nil && o.Spec.DiscoveryHandler.Name != "" && cmp.Or(
			o.CreationTimestamp.Compare(first.CreationTimestamp.Time), cmp.Compare(o.UID, first.UID)) < 0 {
			first = o
		}
	}
	if first == c {
		return nil
	}
	return first
}

// kindOf returns the kind of a Configuration's handler if it is one of this
// project's.
func kindOf(c *v0.Configuration) (handlers.Kind, bool) {
	for _, k := range handlers.Kinds() {
		if k.Name == c.Spec.DiscoveryHandler.Name {
			return k, true
		}
	}
	return handlers.Kind{}, false
}

func checkDetails(c *v0.Configuration) error {
	k, ok := kindOf(c)
	if !ok {
		return nil // its own handler checks them
	}
	_, err := k.Check(c.Spec.DiscoveryHandler.DiscoveryDetails)
	return err
}

// handlerPage is the page about a Configuration's handler.
func handlerPage(c *v0.Configuration) string {
	switch k, ok := kindOf(c); {
	case !ok:
		return "docs/write-a-handler.md"
	case k.Name == "debugEcho":
		return "docs/configuration.md"
	default:
		return "docs/handlers/" + k.Name + ".md"
	}
}

// conditions reports what the controller says is wrong with a Configuration.
func (v *view) conditions(c *v0.Configuration) {
	subject := subjectOf(Configuration, c)
	if cond := failing(c.Status.Conditions, v0.ConditionBrokerSpecAccepted); cond != nil {
		f := Finding{Level: Problem, Step: StepBroker, Cause: BrokerSpecRefused, Subject: subject,
			Summary: "its broker cannot be made: " + oneLine(cond.Message),
			Remedy:  Remedy{Text: "change brokerSpec, or what refuses it", See: "docs/configuration.md"}}
		switch text := cond.Message; {
		case strings.Contains(text, "exceeded quota"):
			f.Cause, f.Summary = QuotaExceeded, "its broker exceeds a quota of the namespace"
			f.Remedy = Remedy{Text: "raise the quota, or lower what the broker asks for",
				Commands: []string{"kubectl -n " + c.Namespace + " describe resourcequota"}}
		case strings.Contains(text, "violates PodSecurity"):
			f.Cause, f.Summary = PodSecurityForbids, "Pod Security of the namespace forbids its broker"
			f.Remedy = Remedy{Text: "give the broker a securityContext that the namespace allows, or use another " +
				"namespace",
				Commands: []string{"kubectl get namespace " + c.Namespace + " --show-labels"}, See: "docs/security.md"}
		}
		f.says("condition "+cond.Type, "%s", cond.Message)
		v.add(f)
	}
	if cond := failing(c.Status.Conditions, v0.ConditionServicesAccepted); cond != nil {
		f := Finding{Level: Problem, Step: StepService, Cause: ServiceRefused, Subject: subject,
			Summary: "a Service cannot be made: " + oneLine(cond.Message),
			Remedy: Remedy{Text: "devices and brokers do not depend on it; change the Service spec, or what has " +
				"its name"}}
		f.says("condition "+cond.Type, "%s: %s", cond.Reason, cond.Message)
		v.add(f)
	}
	if cond := failing(c.Status.Conditions, v0.ConditionDevicesExclusive); cond != nil {
		f := Finding{Level: Warning, Step: StepDevice, Cause: DeviceFoundTwice, Subject: subject,
			Summary: "another Configuration has one of its devices too, so two users can have it at the same time",
			Remedy:  Remedy{Text: "narrow the discoveryDetails of one of the two", See: "docs/configuration.md"}}
		f.says("condition "+cond.Type, "%s", cond.Message)
		v.add(f)
	}
}

// failing returns a condition if it is False.
func failing(all []metav1.Condition, kind string) *metav1.Condition {
	if c := meta.FindStatusCondition(all, kind); c != nil && c.Status == metav1.ConditionFalse {
		return c
	}
	return nil
}

// oneLine makes a text fit for a Summary.
func oneLine(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	return strings.TrimSuffix(text, ".")
}

// said is what an agent says in its entry of a Configuration's status, taken
// apart.
type said struct {
	// Without is why devices have no Instance: "1 without Instance: …".
	Without string
	// Rest is what the agent and the handlers add.
	Rest string
}

// parse takes the message of an entry apart: see inventory's summary, and
// publish's withRefused.
func parse(message string) said {
	var s said
	var without, rest []string
	in := &rest
	for i, part := range strings.Split(message, "; ") {
		switch n, _, ok := strings.Cut(part, " without Instance: "); {
		case i == 0 && ok && strings.Trim(n, "0123456789") == "":
			in = &without
			*in = append(*in, part)
		case strings.HasPrefix(part, "asked "):
			in = &rest
		default:
			*in = append(*in, part)
		}
	}
	s.Without, s.Rest = strings.Join(without, "; "), strings.Join(rest, "; ")
	return s
}

// agentNodes returns the nodes from which an entry can be expected.
func (v *view) agentNodes() []string {
	return slices.DeleteFunc(sortedKeys(v.agents), func(n string) bool { return v.lost(n) || v.away(n) != nil })
}
