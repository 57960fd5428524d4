package requests

import (
	"context"
	"fmt"

	v0 "github.com/akri-go/akri/api/v0"
)

// Objects reads what discoveryProperties refer to. An object that is not
// there is reported by found, not by an error.
type Objects interface {
	Secret(ctx context.Context, namespace, name string) (data map[string][]byte, found bool, err error)
	// ConfigMap returns data and binaryData as one; data comes first.
	ConfigMap(ctx context.Context, namespace, name string) (data map[string][]byte, found bool, err error)
}

// Resolve returns the values of a Configuration's discoveryProperties. A
// property with neither value nor source is nil; one whose source is missing
// is left out if it is optional. Only the Configuration's own namespace is
// read. Errors name what is missing, never a value.
func Resolve(ctx context.Context, objects Objects, c *v0.Configuration) (map[string][]byte, error) {
	properties := c.Spec.DiscoveryHandler.DiscoveryProperties
	if len(properties) == 0 {
		return nil, nil
	}
	values := make(map[string][]byte, len(properties))
	for _, p := range properties {
		switch {
		case p.Value != nil:
			values[p.Name] = []byte(*p.Value)
		case p.ValueFrom == nil:
			values[p.Name] = nil
		default:
			value, found, err := lookUp(ctx, objects, c.Namespace, p.ValueFrom)
			if err != nil {
				return nil, fmt.Errorf("discovery property %s: %w", p.Name, err)
			}
			if found {
				values[p.Name] = value
			}
		}
	}
	return values, nil
}

func lookUp(ctx context.Context, objects Objects, namespace string, from *v0.DiscoveryPropertySource) (value []byte, found bool, err error) {
	kind, ref, read := "Secret", from.SecretKeyRef, objects.Secret
	if ref == nil {
		kind, ref, read = "ConfigMap", from.ConfigMapKeyRef, objects.ConfigMap
	}
	if ref == nil {
		return nil, false, fmt.Errorf("valueFrom names neither secretKeyRef nor configMapKeyRef")
	}
	if ref.Namespace != "" && ref.Namespace != namespace {
		return nil, false, fmt.Errorf("%s %s/%s is in another namespace than the Configuration (%s): copy it there",
			kind, ref.Namespace, ref.Name, namespace)
	}
	data, found, err := read(ctx, namespace, ref.Name)
	if err != nil {
		return nil, false, fmt.Errorf("read %s %s/%s: %w", kind, namespace, ref.Name, err)
	}
	if found {
		if value, found = data[ref.Key]; found {
			return value, true, nil
		}
	}
	if ref.Optional {
		return nil, false, nil
	}
	return nil, false, fmt.Errorf("%s %s/%s with key %q is not there, and not optional", kind, namespace, ref.Name, ref.Key)
}
