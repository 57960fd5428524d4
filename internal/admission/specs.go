package admission

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	kjson "sigs.k8s.io/json"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/workload"
)

// specs checks Pod, Job and Service specs.
func (k *checker) specs() {
	before := map[string]workload.Spec{}
	for _, s := range workload.SpecsOf(k.old) {
		before[s.Path.String()] = s
	}
	brokers, services := 0, false
	for _, s := range workload.SpecsOf(k.c) {
		if s.Kind == workload.Service {
			services = true
		} else {
			brokers++
		}
		if why := k.facts.Denials[s.Path.String()]; why != "" {
			k.add(field.Forbidden(s.Path, why))
			continue
		}
		known := k.readable(s)
		if known == nil {
			continue
		}
		k.judged(s, before[s.Path.String()])
		if s.Kind == workload.Service {
			k.fixed(s, before[s.Path.String()])
			continue
		}
		k.placeholder(s.Path, known)
		k.groups(s.Path, known)
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

// readable refuses a spec that the controller cannot parse. For a broker it
// returns the Pod's spec, for a Service an empty one, and nil if the spec was
// refused.
func (k *checker) readable(s workload.Spec) *corev1.PodSpec {
	var podSpec corev1.PodSpec
	var err error
	switch s.Kind {
	case workload.Pod:
		if _, err = workload.ParsePod(s.Raw); err == nil {
			err = json.Unmarshal(s.Raw, &podSpec)
		}
	case workload.Job:
		var spec batchv1.JobSpec
		if _, err = workload.ParseJob(s.Raw); err == nil {
			err = json.Unmarshal(s.Raw, &spec)
		}
		podSpec = spec.Template.Spec
	case workload.Service:
		var spec corev1.ServiceSpec
		if err = json.Unmarshal(s.Raw, &spec); err != nil {
			err = fmt.Errorf("not a ServiceSpec: %w", err)
		}
	}
	if err != nil && s.Kind == workload.Service {
		k.noService(s, Fault{Reason: err.Error()})
		return nil
	}
	if err != nil {
		k.invalid(s.Path, "%s", Plain(err))
		return nil
	}
	return &podSpec
}

// judged refuses what the API server, or else this program's types, find wrong
// with a broker's spec. For a Service's spec it only warns.
func (k *checker) judged(s, before workload.Spec) {
	if s.Same(before) {
		return // it was judged when it was written
	}
	verdict, tried := k.facts.Trials[s.Path.String()]
	if !tried {
		verdict = Verdict{Answered: true, Faults: faultsOf(s)}
	}
	if !verdict.Answered {
		k.warn("%s: could not be checked: %s", s.Path, verdict.Objection)
		return
	}
	for _, f := range verdict.Faults {
		if s.Kind == workload.Service {
			k.noService(s, f)
			continue
		}
		at := s.Path.String()
		if f.Field != "" {
			at += "." + f.Field
		}
		k.add(&field.Error{Type: f.Type, Field: at, BadValue: field.OmitValueType{}, Detail: f.Reason})
	}
	if verdict.Objection != "" {
		k.warn("%s: would be refused now: %s", last(s.Path), verdict.Objection)
	}
}

// noService warns of what is wrong with a Service spec. Devices and brokers do
// not depend on it, so nothing is refused, as in upstream. When the Service is
// to be created, the condition ServicesAccepted says the same.
func (k *checker) noService(s workload.Spec, f Fault) {
	at := last(s.Path)
	if f.Field != "" {
		at += "." + f.Field
	}
	k.warn("%s: %s: the Service will not be created", at, f.Reason)
}

// unknownFields finds fields that this program's types do not have.
func unknownFields(s workload.Spec) []Fault {
	into := map[workload.Kind]any{workload.Pod: &corev1.PodSpec{}, workload.Job: &batchv1.JobSpec{}, workload.Service: &corev1.ServiceSpec{}}[s.Kind]
	strict, err := kjson.UnmarshalStrict(s.Raw, into, kjson.DisallowUnknownFields)
	if err != nil {
		return nil // readable has reported it
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
	requested := workload.Quantity(spec, v0.Placeholder)
	switch capacity := int64(k.c.Spec.Capacity); {
	case requested == 0:
		k.warn("%s: no container asks for %q: brokers get no device", path, v0.Placeholder)
	case requested > capacity && capacity > 0:
		k.warn("%s: asks for %d of %q, and capacity is %d: none can run", last(path), requested, v0.Placeholder, capacity)
	}
}

// groups warns of what containerd refuses to start.
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

// fixed warns of changes that an existing Service cannot take.
func (k *checker) fixed(s, before workload.Spec) {
	var now, was corev1.ServiceSpec
	if before.Raw == nil || json.Unmarshal(s.Raw, &now) != nil || json.Unmarshal(before.Raw, &was) != nil {
		return
	}
	if now.ClusterIP != "" && now.ClusterIP != was.ClusterIP {
		k.warn("%s.clusterIP: cannot change while the Service exists: remove the spec, apply, and add it again", last(s.Path))
	}
}

func last(p *field.Path) string {
	s := p.String()
	return s[strings.LastIndexByte(s, '.')+1:]
}
