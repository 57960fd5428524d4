package admission

import (
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/akri-go/akri/internal/handlers"
)

// handler checks that the discovery handler is named, and the details of our
// own handlers. Details for other handlers are not ours to judge.
func (k *checker) handler() {
	info := k.c.Spec.DiscoveryHandler
	path := field.NewPath("spec", "discoveryHandler")
	if info.Name == "" {
		k.add(field.Required(path.Child("name"), "name a discovery handler, such as udev"))
	}
	if g := info.OfflineGracePeriod; g != nil && g.Duration < 0 {
		k.invalid(path.Child("offlineGracePeriod"), "is negative: 0s is the shortest")
	}
	for _, kind := range handlers.Kinds() {
		switch {
		case info.Name == kind.Name && kind.Check != nil:
			warnings, err := kind.Check(info.DiscoveryDetails)
			if err != nil {
				k.invalid(path.Child("discoveryDetails"), "%v", err)
			}
			for _, w := range warnings {
				k.warn("%s %s", kind.Name, w)
			}
		case info.Name != kind.Name && strings.EqualFold(info.Name, kind.Name):
			k.warn("%s: %q is not the built-in handler %q: names of handlers are case-sensitive", path.Child("name"), info.Name, kind.Name)
		}
	}
}
