package requests

import (
	"errors"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	v0 "github.com/akri-go/akri/api/v0"
)

// Kinds of objects that discoveryProperties refer to.
const (
	secret    = "Secret"
	configMap = "ConfigMap"
)

// Ref names an object that a discoveryProperty refers to.
type Ref struct {
	Kind, Namespace, Name string // Kind is Secret or ConfigMap
}

func (r Ref) String() string { return r.Kind + " " + r.Namespace + "/" + r.Name }

// Object is what is known of a Secret or ConfigMap.
type Object struct {
	// Known means that it was read: Found tells whether it is there, and Data
	// what it holds.
	Known, Found bool
	Data         map[string][]byte
	// Err says why the last read failed.
	Err error
}

// Namespaces are those that every Configuration may refer to, besides its own;
// "*" stands for all.
type Namespaces []string

func (n Namespaces) allow(namespace string) bool {
	return slices.Contains(n, namespace) || slices.Contains(n, "*")
}

// errWaiting says that an object has not been read yet.
var errWaiting = errors.New("what a property refers to is not known yet")

// References returns the objects that a Configuration's discoveryProperties
// refer to and may refer to.
func References(c *v0.Configuration, allowed Namespaces) []Ref {
	var refs []Ref
	for _, p := range c.Spec.DiscoveryHandler.DiscoveryProperties {
		if p.ValueFrom == nil || p.Value != nil {
			continue
		}
		if ref, _, err := refOf(c.Namespace, p.ValueFrom, allowed); err == nil {
			refs = append(refs, ref)
		}
	}
	return refs
}

// Confidential tells whether a Configuration's properties come from a Secret.
func Confidential(c *v0.Configuration) bool {
	return slices.ContainsFunc(c.Spec.DiscoveryHandler.DiscoveryProperties, func(p v0.DiscoveryProperty) bool {
		return p.ValueFrom != nil && p.ValueFrom.SecretKeyRef != nil
	})
}

// Resolve returns the values of a Configuration's discoveryProperties. A property
// with neither value nor valueFrom is nil. One whose object or key is missing is
// left out if it is optional. Errors name what is missing and what helps, never a
// value; errWaiting means that an object has not been read yet.
func Resolve(c *v0.Configuration, allowed Namespaces, known func(Ref) Object) (map[string][]byte, error) {
	properties := c.Spec.DiscoveryHandler.DiscoveryProperties
	if len(properties) == 0 {
		return nil, nil
	}
	values := make(map[string][]byte, len(properties))
	var failed error
	for _, p := range properties {
		switch {
		case p.Value != nil:
			values[p.Name] = []byte(*p.Value)
		case p.ValueFrom == nil:
			values[p.Name] = nil
		default:
			value, found, err := lookUp(c.Namespace, p.ValueFrom, allowed, known)
			switch {
			case err == errWaiting && failed == nil:
				failed = errWaiting
			case err != nil && err != errWaiting:
				return nil, fmt.Errorf("discovery property %s: %w", p.Name, err)
			case found:
				values[p.Name] = value
			}
		}
	}
	if failed != nil {
		return nil, failed
	}
	return values, nil
}

// refOf returns what a property refers to. Without a namespace it is the
// Configuration's own.
func refOf(own string, from *v0.DiscoveryPropertySource, allowed Namespaces) (Ref, *v0.DiscoveryPropertyKeySelector, error) {
	kind, selector := secret, from.SecretKeyRef
	if selector == nil {
		kind, selector = configMap, from.ConfigMapKeyRef
	}
	if selector == nil {
		return Ref{}, nil, errors.New("valueFrom names neither secretKeyRef nor configMapKeyRef")
	}
	ref := Ref{Kind: kind, Namespace: selector.Namespace, Name: selector.Name}
	if ref.Namespace == "" {
		ref.Namespace = own
	}
	if ref.Namespace != own && !allowed.allow(ref.Namespace) {
		return Ref{}, nil, fmt.Errorf("%s is in another namespace than the Configuration (%s): copy it there, or let all Configurations "+
			"refer to that namespace by the chart value agent.discoveryProperties.namespaces (--property-namespaces of the agent)", ref, own)
	}
	return ref, selector, nil
}

func lookUp(own string, from *v0.DiscoveryPropertySource, allowed Namespaces, known func(Ref) Object) (value []byte, found bool, err error) {
	ref, selector, err := refOf(own, from, allowed)
	if err != nil {
		return nil, false, err
	}
	object := known(ref)
	switch {
	case object.Err != nil:
		return nil, false, unreadable(ref, object.Err)
	case !object.Known:
		return nil, false, errWaiting
	}
	if value, found = object.Data[selector.Key]; found && object.Found {
		return value, true, nil
	}
	if selector.Optional {
		return nil, false, nil
	}
	return nil, false, fmt.Errorf("%s with key %q is not there, and not optional", ref, selector.Key)
}

// unreadable returns an error that says what helps.
func unreadable(ref Ref, err error) error {
	if !apierrors.IsForbidden(err) {
		return fmt.Errorf("read %s: %w", ref, err)
	}
	resource := "secrets"
	if ref.Kind == configMap {
		resource = "configmaps"
	}
	return fmt.Errorf("read %s: the agent may not: list the namespace in the chart value agent.discoveryProperties.rbac, or bind a Role "+
		"of namespace %s with resources [%s] and verbs [get, watch] to the agent's service account: %w", ref, ref.Namespace, resource, err)
}
