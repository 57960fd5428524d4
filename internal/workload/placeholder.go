package workload

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"

	v0 "github.com/akri-go/akri/api/v0"
)

// substitute replaces the placeholder by the resource's name in the requests
// and limits of all containers. Quantities, and everything else under
// resources, stay.
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

// Quantity returns how much of a resource a Pod takes at a time: its containers
// and sidecars together, or one of its init containers with the sidecars
// started before it, whichever is more.
func Quantity(spec *corev1.PodSpec, resource corev1.ResourceName) int64 {
	of := func(c *corev1.Container) int64 {
		if q, ok := c.Resources.Requests[resource]; ok {
			return max(0, q.Value())
		}
		q := c.Resources.Limits[resource]
		return max(0, q.Value())
	}
	var sidecars, peak, sum int64
	for i := range spec.InitContainers {
		c := &spec.InitContainers[i]
		if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			sidecars += of(c)
			peak = max(peak, sidecars)
			continue
		}
		peak = max(peak, sidecars+of(c))
	}
	for i := range spec.Containers {
		sum += of(&spec.Containers[i])
	}
	return max(peak, sum+sidecars)
}
