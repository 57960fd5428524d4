package requests

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	v0 "github.com/akri-go/akri/api/v0"
)

func fromSecret(namespace, name, key string, optional bool) *v0.DiscoveryPropertySource {
	return &v0.DiscoveryPropertySource{SecretKeyRef: &v0.DiscoveryPropertyKeySelector{
		Namespace: namespace, Name: name, Key: key, Optional: optional}}
}

func fromConfigMap(namespace, name, key string, optional bool) *v0.DiscoveryPropertySource {
	return &v0.DiscoveryPropertySource{ConfigMapKeyRef: fromSecret(namespace, name, key, optional).SecretKeyRef}
}

func forbidden(resource, name string) error {
	return apierrors.NewForbidden(schema.GroupResource{Resource: resource}, name, errors.New("user akri-agent-sa cannot"))
}

func TestResolve(t *testing.T) {
	value := "v"
	is := func(data string) Object {
		return Object{Known: true, Found: true, Data: map[string][]byte{"k": []byte(data)}}
	}
	cluster := map[string]Object{
		"Secret ns/s":            is("hidden"),
		"Secret ns/gone":         {Known: true},
		"Secret ns/new":          {},
		"Secret ns/forbidden":    {Err: forbidden("secrets", "forbidden")},
		"Secret ns/revoked":      {Known: true, Found: true, Data: is("hidden").Data, Err: forbidden("secrets", "revoked")},
		"Secret ns/unreachable":  {Err: errors.New("connection refused")},
		"Secret other/s":         is("foreign"),
		"Secret shared/s":        is("allowed"),
		"ConfigMap ns/cm":        is("open"),
		"ConfigMap ns/forbidden": {Err: forbidden("configmaps", "forbidden")},
	}
	for _, c := range []struct {
		name    string
		allowed Namespaces
		from    *v0.DiscoveryPropertySource
		value   *string
		want    string // fmt of the map
		err     string // parts of the error, separated by "|"
	}{
		{name: "value", value: &value, want: "map[P:v]"},
		{name: "neither", want: "map[P:]"},
		{name: "secret", from: fromSecret("", "s", "k", false), want: "map[P:hidden]"},
		{name: "own namespace by name", from: fromSecret("ns", "s", "k", false), want: "map[P:hidden]"},
		{name: "config map", from: fromConfigMap("", "cm", "k", false), want: "map[P:open]"},
		{name: "not read yet", from: fromSecret("", "new", "k", false), err: "not known yet"},
		{name: "not read yet, optional", from: fromSecret("", "new", "k", true), err: "not known yet"},
		{name: "missing object", from: fromSecret("", "gone", "k", false), err: `Secret ns/gone with key "k" is not there`},
		{name: "missing object, optional", from: fromSecret("", "gone", "k", true), want: "map[]"},
		{name: "missing key", from: fromSecret("", "s", "x", false), err: `key "x" is not there`},
		{name: "missing key, optional", from: fromSecret("", "s", "x", true), want: "map[]"},
		{name: "another namespace", from: fromSecret("other", "s", "k", false),
			err: "Secret other/s is in another namespace|agent.discoveryProperties.namespaces|--property-namespaces"},
		{name: "another namespace, optional", from: fromSecret("other", "s", "k", true), err: "another namespace"},
		{name: "not the allowed one", allowed: Namespaces{"shared"}, from: fromSecret("other", "s", "k", false), err: "another namespace"},
		{name: "an allowed one", allowed: Namespaces{"shared"}, from: fromSecret("shared", "s", "k", false), want: "map[P:allowed]"},
		{name: "all allowed", allowed: Namespaces{"*"}, from: fromSecret("other", "s", "k", false), want: "map[P:foreign]"},
		{name: "forbidden", from: fromSecret("", "forbidden", "k", false),
			err: "read Secret ns/forbidden|agent.discoveryProperties.rbac|[secrets]|[get, watch]|akri-agent-sa cannot"},
		{name: "forbidden, optional", from: fromSecret("", "forbidden", "k", true), err: "agent.discoveryProperties.rbac"},
		{name: "config map forbidden", from: fromConfigMap("", "forbidden", "k", false), err: "[configmaps]"},
		{name: "the right was taken", from: fromSecret("", "revoked", "k", false), err: "agent.discoveryProperties.rbac"},
		{name: "unreachable", from: fromSecret("", "unreachable", "k", false), err: "read Secret ns/unreachable: connection refused"},
		{name: "empty source", from: &v0.DiscoveryPropertySource{}, err: "neither"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := configuration("ns", "c", "1", 0)
			cfg.Spec.DiscoveryHandler.DiscoveryProperties = []v0.DiscoveryProperty{{Name: "P", Value: c.value, ValueFrom: c.from}}
			asked := map[Ref]bool{}
			got, err := Resolve(cfg, c.allowed, func(r Ref) Object {
				asked[r] = true
				return cluster[r.String()]
			})
			for r := range asked {
				refs := References(cfg, c.allowed)
				if len(refs) != 1 || refs[0] != r {
					t.Errorf("%s was looked up; the references are %v", r, refs)
				}
			}
			if c.err != "" {
				if err == nil {
					t.Fatalf("no error, want one with %q", c.err)
				}
				for _, part := range strings.Split(c.err, "|") {
					if !strings.Contains(err.Error(), part) {
						t.Errorf("error %q has no %q", err, part)
					}
				}
				if strings.Contains(err.Error(), "hidden") {
					t.Errorf("error %q tells the value", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if s := fmt.Sprintf("%s", got); s != c.want {
				t.Errorf("got %s, want %s", s, c.want)
			}
		})
	}
}

// A source that is not known yet does not hide another that is known to fail.
func TestResolveTellsTheWorst(t *testing.T) {
	cfg := configuration("ns", "c", "1", 0)
	cfg.Spec.DiscoveryHandler.DiscoveryProperties = []v0.DiscoveryProperty{
		{Name: "A", ValueFrom: fromSecret("", "new", "k", false)},
		{Name: "B", ValueFrom: fromSecret("", "gone", "k", false)},
	}
	_, err := Resolve(cfg, nil, func(r Ref) Object { return Object{Known: r.Name == "gone"} })
	if err == nil || !strings.Contains(err.Error(), "property B") {
		t.Errorf("error %v, want that of B", err)
	}
}
