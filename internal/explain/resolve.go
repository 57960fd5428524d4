package explain

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"

	v0 "github.com/akri-go/akri/api/v0"
)

// resolve completes a subject's namespace, and finds a device by what a person
// calls it.
func (v *view) resolve(s Subject) (Subject, error) {
	var all []Subject
	switch s.Kind {
	case Configuration:
		for i := range v.Configurations {
			all = append(all, subjectOf(Configuration, &v.Configurations[i]))
		}
	case Device:
		return v.resolveDevice(s)
	case Node:
		for _, n := range sortedKeys(v.nodes) {
			all = append(all, nodeSubject(n))
		}
		if v.byNode[s.Name] != nil && v.nodes[s.Name] == nil {
			return s, nil // it is gone, and still named
		}
	case Pod:
		for i := range v.Pods {
			all = append(all, subjectOf(Pod, &v.Pods[i]))
		}
	default:
		return s, fmt.Errorf("%s cannot be explained", s.Kind)
	}
	return pick(s, all)
}

// pick returns the one of some subjects that is meant.
func pick(s Subject, all []Subject) (Subject, error) {
	var fits []Subject
	var near []string
	for _, o := range all {
		switch {
		case o.Name == s.Name && (s.Namespace == "" || o.Namespace == s.Namespace):
			fits = append(fits, o)
		case o.Name == s.Name || s.Kind != Pod:
			near = append(near, o.key())
		}
	}
	switch len(fits) {
	case 0:
		return s, &UnknownError{s, near}
	case 1:
		return fits[0], nil
	}
	var where []string
	for _, f := range fits {
		where = append(where, f.Namespace)
	}
	return s, fmt.Errorf("there is a %s %s in the namespaces %s: choose one with -n", s.Kind, s.Name, names(where))
}

// resolveDevice finds an Instance by its name, the device's short name, its id,
// or the device node.
func (v *view) resolveDevice(s Subject) (Subject, error) {
	var exact, alike []Subject
	for i := range v.Instances {
		inst := &v.Instances[i]
		if s.Namespace != "" && inst.Namespace != s.Namespace {
			continue
		}
		switch {
		case inst.Name == s.Name:
			exact = append(exact, Subject{Device, inst.Namespace, inst.Name})
		case means(inst, s.Name):
			alike = append(alike, Subject{Device, inst.Namespace, inst.Name})
		}
	}
	for _, fits := range [][]Subject{exact, alike} {
		switch {
		case len(fits) == 1:
			return fits[0], nil
		case len(fits) > 1:
			var all []string
			for _, f := range fits {
				all = append(all, f.key())
			}
			return s, fmt.Errorf("several devices are called %s: choose one of %s, with -n", s.Name, names(all))
		}
	}
	if !v.saw(ReadInstances) {
		return s, fmt.Errorf("cannot find device %s: not all Instances can be read", s.Name)
	}
	return s, nil
}

// means reports whether a person can mean an Instance by a name.
func means(inst *v0.Instance, name string) bool {
	if name == inst.Status.Device || name == inst.Annotations[v0.AnnotationDeviceID] {
		return true
	}
	for _, value := range inst.Spec.BrokerProperties {
		if value == name && strings.ContainsAny(name, "/:.") {
			return true
		}
	}
	return false
}

func (v *view) podNamed(s Subject) *corev1.Pod {
	for i := range v.Pods {
		if subjectOf(Pod, &v.Pods[i]) == s {
			return &v.Pods[i]
		}
	}
	return nil
}
