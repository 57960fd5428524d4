package service

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/controller/view"
)

// AnnotationHash tells what a Service was last written from.
const AnnotationHash = "akri.sh/service-spec-hash"

// Name returns the name of the Service of an Instance or a Configuration:
// "<name>-svc" with dots as dashes, shortened to 63 characters.
func Name(subject string) string {
	return view.SafeName(strings.ReplaceAll(subject, ".", "-") + "-svc")
}

// build returns the Service that a spec asks for, with its hash as an
// annotation. All fields of the spec are kept as the user wrote them; the
// labels that make it select the brokers of its subject are added to the
// selector.
func build(raw []byte, subject client.Object, label string) (*unstructured.Unstructured, error) {
	var spec map[string]any
	if err := utiljson.Unmarshal(raw, &spec); err != nil {
		return nil, fmt.Errorf("not a JSON object: %w", err)
	}
	if spec == nil {
		return nil, errors.New("empty")
	}
	var typed corev1.ServiceSpec
	if err := json.Unmarshal(raw, &typed); err != nil {
		return nil, fmt.Errorf("not a ServiceSpec: %w", err)
	}
	selector, ok := spec["selector"].(map[string]any)
	if !ok {
		selector = map[string]any{} // absent or null: the typed form was read
	}
	selector[v0.LabelController] = v0.ControllerName
	selector[label] = subject.GetName()
	spec["selector"] = selector

	name := Name(subject.GetName())
	svc := &unstructured.Unstructured{Object: map[string]any{"spec": spec}}
	svc.SetAPIVersion("v1")
	svc.SetKind("Service")
	svc.SetNamespace(subject.GetNamespace())
	svc.SetName(name)
	svc.SetLabels(map[string]string{
		v0.LabelApp:        name,
		v0.LabelController: v0.ControllerName,
		label:              subject.GetName(),
	})
	svc.SetOwnerReferences([]metav1.OwnerReference{view.OwnerRef(subject)})
	canonical, err := json.Marshal(svc.Object)
	if err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	sum := sha256.Sum256(canonical)
	svc.SetAnnotations(map[string]string{AnnotationHash: hex.EncodeToString(sum[:8])})
	return svc, nil
}
