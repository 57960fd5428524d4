package broker

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	utiljson "k8s.io/apimachinery/pkg/util/json"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/controller/view"
)

// Template is a brokerPodSpec that was read and found usable. It keeps every
// field as the user wrote it, those that this program does not know included.
type Template struct {
	spec map[string]any
	// Hash identifies the spec: 16 hexadecimal digits.
	Hash string
	// Quantity is how many slots one Pod takes.
	Quantity int64
}

// ParseTemplate reads a brokerPodSpec. Its errors name the field at fault.
func ParseTemplate(raw []byte) (*Template, error) {
	spec, hash, err := parseObject(raw)
	if err != nil {
		return nil, err
	}
	// The typed form is only looked at; the Pod is made from the other.
	var typed corev1.PodSpec
	if err := json.Unmarshal(raw, &typed); err != nil {
		return nil, fmt.Errorf("not a PodSpec: %w", err)
	}
	if len(typed.Containers) == 0 {
		return nil, errors.New("containers: at least one is needed")
	}
	t := &Template{spec: spec, Hash: hash, Quantity: Quantity(&typed, v0.Placeholder)}
	// A trial finds what Build could fail on.
	if _, err := t.podSpec("trial", "trial"); err != nil {
		return nil, err
	}
	return t, nil
}

// parseObject reads a JSON object, and hashes it without regard to the order
// of its keys.
func parseObject(raw []byte) (map[string]any, string, error) {
	var spec map[string]any
	if err := utiljson.Unmarshal(raw, &spec); err != nil {
		return nil, "", fmt.Errorf("not a JSON object: %w", err)
	}
	if spec == nil {
		return nil, "", errors.New("empty")
	}
	canonical, err := json.Marshal(spec)
	if err != nil {
		return nil, "", fmt.Errorf("encode: %w", err)
	}
	sum := sha256.Sum256(canonical)
	return spec, hex.EncodeToString(sum[:8]), nil
}

// Pod returns the broker Pod of an Instance for a node.
func (t *Template) Pod(inst *v0.Instance, node string, failures History) (*unstructured.Unstructured, error) {
	spec, err := t.podSpec(inst.Name, node)
	if err != nil {
		return nil, err
	}
	name := PodName(inst.Name, node, inst.Spec.Shared)
	pod := &unstructured.Unstructured{Object: map[string]any{"spec": spec}}
	pod.SetAPIVersion("v1")
	pod.SetKind("Pod")
	pod.SetNamespace(inst.Namespace)
	pod.SetName(name)
	pod.SetLabels(map[string]string{
		v0.LabelApp:           name,
		v0.LabelController:    v0.ControllerName,
		v0.LabelConfiguration: inst.Spec.ConfigurationName,
		v0.LabelInstance:      inst.Name,
		v0.LabelTargetNode:    v0.NodeLabel(node),
	})
	notes := map[string]string{v0.AnnotationSpecHash: t.Hash}
	if s := failures.encode(); s != "" {
		notes[AnnotationFailures] = s
	}
	pod.SetAnnotations(notes)
	pod.SetOwnerReferences([]metav1.OwnerReference{view.OwnerRef(inst)})
	return pod, nil
}

// podSpec returns a copy of the spec for one Instance and one node.
func (t *Template) podSpec(instance, node string) (map[string]any, error) {
	spec := runtime.DeepCopyJSON(t.spec)
	if err := substitute(spec, v0.ResourceName(instance)); err != nil {
		return nil, err
	}
	if err := pin(spec, []string{node}); err != nil {
		return nil, err
	}
	return spec, nil
}

// substitute puts the resource's name in the place of the placeholder in the
// requests and limits of all containers. Quantities, and all else under
// resources, stay as they are.
func substitute(spec map[string]any, resource string) error {
	for _, field := range []string{"containers", "initContainers"} {
		list, err := child[[]any](spec, field)
		if err != nil {
			return err
		}
		for i := range list {
			at := fmt.Sprintf("%s[%d]", field, i)
			container, ok := list[i].(map[string]any)
			if !ok {
				return fmt.Errorf("%s: want an object, have %T", at, list[i])
			}
			resources, err := child[map[string]any](container, "resources")
			if err != nil {
				return fmt.Errorf("%s.%w", at, err)
			}
			for _, kind := range []string{"requests", "limits"} {
				amounts, err := child[map[string]any](resources, kind)
				if err != nil {
					return fmt.Errorf("%s.resources.%w", at, err)
				}
				if q, ok := amounts[v0.Placeholder]; ok {
					delete(amounts, v0.Placeholder)
					amounts[resource] = q
				}
			}
		}
	}
	return nil
}

// pin adds to the Pod's required node affinity that it runs on one of the
// nodes. Terms are alternatives, and one can name one node: each of the user's
// terms becomes as many as there are nodes. An empty term selects nothing and is
// left so.
func pin(spec map[string]any, nodes []string) error {
	affinity, err := ensure(spec, "affinity")
	if err != nil {
		return err
	}
	nodeAffinity, err := ensure(affinity, "nodeAffinity")
	if err != nil {
		return fmt.Errorf("affinity.%w", err)
	}
	const required = "requiredDuringSchedulingIgnoredDuringExecution"
	selector, err := ensure(nodeAffinity, required)
	if err != nil {
		return fmt.Errorf("affinity.nodeAffinity.%w", err)
	}
	terms, err := child[[]any](selector, "nodeSelectorTerms")
	if err != nil {
		return fmt.Errorf("affinity.nodeAffinity.%s.%w", required, err)
	}
	here := func(node string) map[string]any {
		return map[string]any{"key": "metadata.name", "operator": "In", "values": []any{node}}
	}
	var pinned []any
	if len(terms) == 0 {
		for _, node := range nodes {
			pinned = append(pinned, map[string]any{"matchFields": []any{here(node)}})
		}
	}
	for i := range terms {
		at := fmt.Sprintf("affinity.nodeAffinity.%s.nodeSelectorTerms[%d]", required, i)
		term, ok := terms[i].(map[string]any)
		if !ok {
			return fmt.Errorf("%s: want an object, have %T", at, terms[i])
		}
		fields, err := child[[]any](term, "matchFields")
		if err != nil {
			return fmt.Errorf("%s.%w", at, err)
		}
		expressions, err := child[[]any](term, "matchExpressions")
		if err != nil {
			return fmt.Errorf("%s.%w", at, err)
		}
		if len(fields)+len(expressions) == 0 {
			pinned = append(pinned, term)
			continue
		}
		for _, node := range nodes {
			one := runtime.DeepCopyJSON(term)
			own, _ := one["matchFields"].([]any) // it was read above
			one["matchFields"] = append(own, here(node))
			pinned = append(pinned, one)
		}
	}
	selector["nodeSelectorTerms"] = pinned
	return nil
}

// child returns a field of a JSON object as a type; the zero value if it is
// absent or null.
func child[T any](m map[string]any, field string) (T, error) {
	var zero T
	v, ok := m[field]
	if !ok || v == nil {
		return zero, nil
	}
	t, ok := v.(T)
	if !ok {
		return zero, fmt.Errorf("%s: want %s, have %T", field, jsonKind(zero), v)
	}
	return t, nil
}

func jsonKind(v any) string {
	if _, ok := v.([]any); ok {
		return "a list"
	}
	return "an object"
}

// ensure returns an object field, which it makes if it is absent.
func ensure(m map[string]any, field string) (map[string]any, error) {
	v, err := child[map[string]any](m, field)
	if err != nil {
		return nil, err
	}
	if v == nil {
		v = map[string]any{}
		m[field] = v
	}
	return v, nil
}
