package workload

import (
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	v0 "github.com/akri-go/akri/api/v0"
)

// AnnotationServiceHash is the hash of the spec that a Service was last written
// from.
const AnnotationServiceHash = "akri.sh/service-spec-hash"

// ServiceLabel returns the label by which the Service of an Instance or a
// Configuration selects its brokers: its value is the owner's name.
func ServiceLabel(owner metav1.Object) string {
	if _, ok := owner.(*v0.Configuration); ok {
		return v0.LabelConfiguration
	}
	return v0.LabelInstance
}

// NewService returns the Service of an Instance or a Configuration. Labels are
// added to the spec's selector, so that it selects the owner's brokers. Its
// errors name the field at fault.
func NewService(raw []byte, owner metav1.Object) (*unstructured.Unstructured, error) {
	spec, _, err := parseObject(raw)
	if err != nil {
		return nil, err
	}
	var typed corev1.ServiceSpec
	if err := json.Unmarshal(raw, &typed); err != nil {
		return nil, fmt.Errorf("not a ServiceSpec: %w", err)
	}
	label := ServiceLabel(owner)
	selector, err := ensure(spec, "selector")
	if err != nil {
		return nil, err
	}
	selector[v0.LabelController] = v0.ControllerName
	selector[label] = owner.GetName()

	name := ServiceName(owner.GetName())
	svc := &unstructured.Unstructured{Object: map[string]any{"spec": spec}}
	svc.SetAPIVersion("v1")
	svc.SetKind("Service")
	svc.SetNamespace(owner.GetNamespace())
	svc.SetName(name)
	svc.SetLabels(map[string]string{
		v0.LabelApp:        name,
		v0.LabelController: v0.ControllerName,
		label:              owner.GetName(),
	})
	svc.SetOwnerReferences([]metav1.OwnerReference{OwnerRef(owner)})
	hash, err := hashOf(svc.Object)
	if err != nil {
		return nil, err
	}
	svc.SetAnnotations(map[string]string{AnnotationServiceHash: hash})
	return svc, nil
}
