// Package requests turns the Configurations of the cluster into what this
// node's handlers are asked.
//
// Each Configuration becomes a [registry.Request] unless it is refused:
// resources of a node have no namespace, so of two Configurations with one name
// only one can have them ([Plan]). Its discoveryProperties are resolved first
// ([Resolve]), and again when a Secret or ConfigMap that they refer to changes:
// another value makes another request. While they cannot be resolved, the
// earlier request stays.
//
// Requests are saved on disk ([State]), so that an agent that starts without an
// API server can make them again. Requests with values from Secrets are not
// saved.
package requests

import (
	"cmp"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/types"

	v0 "github.com/akri-go/akri/api/v0"
)

// Refusal says why no request is made for a Configuration.
type Refusal struct {
	Configuration *v0.Configuration
	Reason        error
}

// Plan decides for which Configurations requests are made. Of several with one
// name it is the oldest, and of those that are equally old the one with the
// lowest UID. Configurations that are being deleted are neither wanted nor
// refused.
func Plan(all []*v0.Configuration) (wanted []*v0.Configuration, refused []Refusal) {
	all = slices.Clone(all)
	slices.SortFunc(all, func(a, b *v0.Configuration) int {
		return cmp.Or(
			cmp.Compare(a.Name, b.Name),
			a.CreationTimestamp.Compare(b.CreationTimestamp.Time),
			cmp.Compare(a.UID, b.UID),
		)
	})
	owner := map[string]*v0.Configuration{}
	for _, c := range all {
		if c.DeletionTimestamp != nil {
			continue
		}
		first, taken := owner[c.Name]
		switch {
		case len(c.Name) > v0.MaxConfigurationName:
			refused = append(refused, Refusal{c, fmt.Errorf(
				"the name has %d characters, and at most %d leave room for the names of its Instances: choose a shorter one",
				len(c.Name), v0.MaxConfigurationName)})
		case c.Spec.DiscoveryHandler.Name == "":
			refused = append(refused, Refusal{c, fmt.Errorf("spec.discoveryHandler.name is empty: name a handler, such as udev")})
		case taken:
			refused = append(refused, Refusal{c, fmt.Errorf(
				"the resource %s belongs to the older Configuration %s/%s: rename one of the two",
				v0.ResourceName(c.Name), first.Namespace, first.Name)})
		default:
			owner[c.Name] = c
			wanted = append(wanted, c)
		}
	}
	return wanted, refused
}

func nameOf(c *v0.Configuration) types.NamespacedName {
	return types.NamespacedName{Namespace: c.Namespace, Name: c.Name}
}
