package admission

import (
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/akri-go/akri/internal/handlers/debugecho"
	"github.com/akri-go/akri/internal/handlers/udev"
)

// builtin are the handlers of this project. Of onvif and opcua only the names
// are known; handlers of other names are others', and so are their details.
var builtin = [...]string{"udev", debugecho.Name, "onvif", "opcua"}

// handler checks that the discovery handler is named, and what it is asked if
// it is one of ours.
func (k *checker) handler() {
	info := k.c.Spec.DiscoveryHandler
	path := field.NewPath("spec", "discoveryHandler")
	if info.Name == "" {
		k.add(field.Required(path.Child("name"), "name a discovery handler, such as udev"))
	}
	for _, name := range builtin {
		if info.Name != name && strings.EqualFold(info.Name, name) {
			k.warn("%s: %q is not the built-in handler %q: capitals count in names of handlers", path.Child("name"), info.Name, name)
		}
	}
	if g := info.OfflineGracePeriod; g != nil && g.Duration < 0 {
		k.invalid(path.Child("offlineGracePeriod"), "is negative: 0s is the shortest")
	}
	var err error
	switch info.Name {
	case "udev":
		err = k.udev(info.DiscoveryDetails)
	case debugecho.Name:
		err = debugecho.CheckDetails(info.DiscoveryDetails)
	}
	if err != nil {
		k.invalid(path.Child("discoveryDetails"), "%s", strings.TrimPrefix(err.Error(), "discoveryDetails: "))
	}
}

// udev parses the rules as the handler does, and warns where they will find
// nothing, or mean something else than in upstream Akri.
func (k *checker) udev(details string) error {
	d, err := udev.ParseDetails(details)
	if err != nil {
		return err
	}
	for i, r := range d.Rules {
		for _, w := range append(r.Hints(), r.Warnings()...) {
			k.warn("udev rule %d, column %d: %s", i+1, w.Column, w.Text)
		}
	}
	return nil
}
