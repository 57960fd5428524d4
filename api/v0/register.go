package v0

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion is akri.sh/v0.
var GroupVersion = schema.GroupVersion{Group: "akri.sh", Version: "v0"}

// Resource names of the two kinds, as in API paths and RBAC rules.
const (
	ConfigurationsResource = "configurations"
	InstancesResource      = "instances"
)

// AddToScheme registers the types of this package and the list options of
// their group version with a scheme.
func AddToScheme(s *runtime.Scheme) error {
	s.AddKnownTypes(GroupVersion,
		&Configuration{}, &ConfigurationList{},
		&Instance{}, &InstanceList{},
	)
	metav1.AddToGroupVersion(s, GroupVersion)
	return nil
}
