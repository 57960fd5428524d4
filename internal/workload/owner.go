package workload

import (
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v0 "github.com/akri-go/akri/api/v0"
)

const (
	instanceKind      = "Instance"
	configurationKind = "Configuration"
)

// OwnerRef returns the reference that makes an Instance or a Configuration
// the controlling owner of an object.
func OwnerRef(o metav1.Object) metav1.OwnerReference {
	kind := instanceKind
	if _, ok := o.(*v0.Configuration); ok {
		kind = configurationKind
	}
	yes := true
	return metav1.OwnerReference{
		APIVersion:         v0.GroupVersion.String(),
		Kind:               kind,
		Name:               o.GetName(),
		UID:                o.GetUID(),
		Controller:         &yes,
		BlockOwnerDeletion: &yes,
	}
}

// OwnerInstance returns the controlling owner of an object if it is an
// Instance, else nil.
func OwnerInstance(o metav1.Object) *metav1.OwnerReference { return owner(o, instanceKind) }

// OwnerConfiguration returns the controlling owner of an object if it is a
// Configuration, else nil.
func OwnerConfiguration(o metav1.Object) *metav1.OwnerReference { return owner(o, configurationKind) }

func owner(o metav1.Object, kind string) *metav1.OwnerReference {
	ref := metav1.GetControllerOfNoCopy(o)
	if ref == nil || ref.Kind != kind || !strings.HasPrefix(ref.APIVersion, v0.GroupVersion.Group+"/") {
		return nil
	}
	return ref
}
