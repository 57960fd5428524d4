package workload

import (
	"encoding/json"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	v0 "github.com/akri-go/akri/api/v0"
)

// PodTemplate is a parsed brokerPodSpec.
type PodTemplate struct {
	spec map[string]any
	// Hash identifies the spec: 16 hexadecimal digits.
	Hash string
	// Quantity is how many slots one Pod takes.
	Quantity int64
}

// ParsePod parses a brokerPodSpec. Its errors name the field at fault.
func ParsePod(raw []byte) (*PodTemplate, error) {
	spec, hash, err := parseObject(raw)
	if err != nil {
		return nil, err
	}
	// The typed form is only for checks; the Pod is made from the other.
	var typed corev1.PodSpec
	if err := json.Unmarshal(raw, &typed); err != nil {
		return nil, fmt.Errorf("not a PodSpec: %w", err)
	}
	if len(typed.Containers) == 0 {
		return nil, errors.New("containers: at least one is needed")
	}
	t := &PodTemplate{spec: spec, Hash: hash, Quantity: Quantity(&typed, v0.Placeholder)}
	// This finds all errors that Pod could return.
	if _, err := t.podSpec("trial", "trial"); err != nil {
		return nil, err
	}
	return t, nil
}

// Pod returns the broker Pod of an Instance for a node.
func (t *PodTemplate) Pod(inst *v0.Instance, node string) (*unstructured.Unstructured, error) {
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
	pod.SetAnnotations(map[string]string{v0.AnnotationSpecHash: t.Hash})
	pod.SetOwnerReferences([]metav1.OwnerReference{OwnerRef(inst)})
	return pod, nil
}

// podSpec returns a copy of the spec for one Instance and one node.
func (t *PodTemplate) podSpec(instance, node string) (map[string]any, error) {
	spec := runtime.DeepCopyJSON(t.spec)
	if err := substitute(spec, v0.ResourceName(instance)); err != nil {
		return nil, err
	}
	if err := pin(spec, []string{node}); err != nil {
		return nil, err
	}
	return spec, nil
}
