package admission

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	kjson "sigs.k8s.io/json"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/controller/broker"
)

// kind is what is made from a spec.
type kind int

const (
	pod kind = iota
	job
	service
)

// brokers is how many brokers an Instance has by a spec.
func (k kind) brokers() int {
	if k == service {
		return 0
	}
	return 1
}

// coreSpec is a spec of Kubernetes that a Configuration holds as it was written.
type coreSpec struct {
	kind kind
	path *field.Path
	raw  []byte // JSON
}

// specsOf returns the specs that a Configuration has.
func specsOf(c *v0.Configuration) []coreSpec {
	if c == nil {
		return nil
	}
	spec := field.NewPath("spec")
	var out []coreSpec
	add := func(kind kind, path *field.Path, raw *runtime.RawExtension) {
		if raw != nil && len(raw.Raw) > 0 && string(raw.Raw) != "null" {
			out = append(out, coreSpec{kind, path, raw.Raw})
		}
	}
	if b := c.Spec.BrokerSpec; b != nil {
		add(pod, spec.Child("brokerSpec", "brokerPodSpec"), b.BrokerPodSpec)
		add(job, spec.Child("brokerSpec", "brokerJobSpec"), b.BrokerJobSpec)
	}
	add(service, spec.Child("instanceServiceSpec"), c.Spec.InstanceServiceSpec)
	add(service, spec.Child("configurationServiceSpec"), c.Spec.ConfigurationServiceSpec)
	return out
}

// specs checks Pod, Job and Service specs.
func (k *checker) specs() {
	before := map[string]coreSpec{}
	for _, s := range specsOf(k.old) {
		before[s.path.String()] = s
	}
	brokers, services := 0, false
	for _, s := range specsOf(k.c) {
		services = services || s.kind == service
		brokers += s.kind.brokers()
		if why := k.facts.Denials[s.path.String()]; why != "" {
			k.add(field.Forbidden(s.path, why))
			continue
		}
		known := k.readable(s)
		if known == nil {
			continue
		}
		k.judged(s, before[s.path.String()])
		if s.kind == service {
			k.fixed(s, before[s.path.String()])
			continue
		}
		k.placeholder(s.path, known)
		k.groups(s.path, known)
	}
	path := field.NewPath("spec", "brokerSpec")
	switch b := k.c.Spec.BrokerSpec; {
	case b != nil && b.BrokerPodSpec != nil && b.BrokerJobSpec != nil:
		k.invalid(path, "give brokerPodSpec or brokerJobSpec, not both: an Instance has one kind of broker")
	case b != nil && b.BrokerPodSpec == nil && b.BrokerJobSpec == nil:
		k.warn("%s: has neither brokerPodSpec nor brokerJobSpec: no broker will run", path)
	case services && brokers == 0 && b == nil:
		k.warn("spec: a Service is only made over brokers, and there is no brokerSpec")
	}
}

// readable refuses a spec that the controller could make nothing from. Of
// brokers it returns the Pod's spec, of Services an empty one, nil if the spec
// was refused.
func (k *checker) readable(s coreSpec) *corev1.PodSpec {
	var podSpec corev1.PodSpec
	var err error
	switch s.kind {
	case pod:
		if _, err = broker.ParseTemplate(s.raw); err == nil {
			err = json.Unmarshal(s.raw, &podSpec)
		}
	case job:
		var spec batchv1.JobSpec
		if _, err = broker.ParseJobTemplate(s.raw); err == nil {
			err = json.Unmarshal(s.raw, &spec)
		}
		podSpec = spec.Template.Spec
	case service:
		var spec corev1.ServiceSpec
		if err = json.Unmarshal(s.raw, &spec); err != nil {
			err = fmt.Errorf("not a ServiceSpec: %w", err)
		}
	}
	if err != nil && s.kind == service {
		k.noService(s, Fault{Reason: err.Error()})
		return nil
	}
	if err != nil {
		k.invalid(s.path, "%s", Plain(err))
		return nil
	}
	return &podSpec
}

// judged refuses what the API server, or without one the types of this
// program, find wrong with a spec of a broker, and warns of it in a Service's.
func (k *checker) judged(s, before coreSpec) {
	if before.raw != nil && sameJSON(s.raw, before.raw) {
		return // it was judged when it was written
	}
	verdict, tried := k.facts.Trials[s.path.String()]
	if !tried {
		verdict = Verdict{Answered: true, Faults: faultsOf(s)}
	}
	if !verdict.Answered {
		k.warn("%s: could not be tried: %s", s.path, verdict.Objection)
		return
	}
	for _, f := range verdict.Faults {
		if s.kind == service {
			k.noService(s, f)
			continue
		}
		at := s.path.String()
		if f.Field != "" {
			at += "." + f.Field
		}
		k.add(&field.Error{Type: f.Type, Field: at, BadValue: field.OmitValueType{}, Detail: f.Reason})
	}
	if verdict.Objection != "" {
		k.warn("%s: would be refused now: %s", last(s.path), verdict.Objection)
	}
}

// noService warns of what is wrong with a Service spec. Devices and brokers do
// not depend on it, so nothing is refused for it, as in upstream; the condition
// ServicesAccepted says the same when a Service is to be made.
func (k *checker) noService(s coreSpec, f Fault) {
	at := last(s.path)
	if f.Field != "" {
		at += "." + f.Field
	}
	k.warn("%s: %s: there will be no Service", at, f.Reason)
}

// unknownFields finds what the types that this program was built with do not
// have.
func unknownFields(s coreSpec) []Fault {
	into := map[kind]any{pod: &corev1.PodSpec{}, job: &batchv1.JobSpec{}, service: &corev1.ServiceSpec{}}[s.kind]
	strict, err := kjson.UnmarshalStrict(s.raw, into, kjson.DisallowUnknownFields)
	if err != nil {
		return nil // readable has said so
	}
	var out []Fault
	for _, e := range strict {
		var f kjson.FieldError
		if errors.As(e, &f) {
			out = append(out, Fault{f.FieldPath(), field.ErrorTypeInvalid, "there is no such field in Kubernetes: check its spelling and place"})
		}
	}
	return out
}

// placeholder warns of brokers that get no device, or can never get enough.
func (k *checker) placeholder(path *field.Path, spec *corev1.PodSpec) {
	asked := broker.Quantity(spec, v0.Placeholder)
	switch capacity := int64(k.c.Spec.Capacity); {
	case asked == 0:
		k.warn("%s: no container asks for %q: brokers get no device", path, v0.Placeholder)
	case asked > capacity && capacity > 0:
		k.warn("%s: asks for %d of %q, and capacity is %d: none can run", last(path), asked, v0.Placeholder, capacity)
	}
}

// groups warns of what containerd does not start.
func (k *checker) groups(path *field.Path, spec *corev1.PodSpec) {
	user := spec.SecurityContext != nil && spec.SecurityContext.RunAsUser != nil
	alone := !user && spec.SecurityContext != nil && spec.SecurityContext.RunAsGroup != nil
	for _, c := range slices.Concat(spec.InitContainers, spec.Containers) {
		sc := c.SecurityContext
		alone = alone || !user && sc != nil && sc.RunAsGroup != nil && sc.RunAsUser == nil
	}
	if alone {
		k.warn("%s: runAsGroup without runAsUser: containerd starts no such container", last(path))
	}
}

// fixed warns of a change that cannot be made to a Service that is there.
func (k *checker) fixed(s, before coreSpec) {
	var now, was corev1.ServiceSpec
	if before.raw == nil || json.Unmarshal(s.raw, &now) != nil || json.Unmarshal(before.raw, &was) != nil {
		return
	}
	if now.ClusterIP != "" && now.ClusterIP != was.ClusterIP {
		k.warn("%s.clusterIP: stays while the Service is there: remove the spec, apply, and add it again", last(s.path))
	}
}

func last(p *field.Path) string {
	s := p.String()
	return s[strings.LastIndexByte(s, '.')+1:]
}

// sameJSON tells whether two texts say the same.
func sameJSON(a, b []byte) bool {
	var x, y any
	return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && reflect.DeepEqual(x, y)
}
