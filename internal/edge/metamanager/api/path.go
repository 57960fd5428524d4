package api

import (
	"net/url"
	"strings"

	"k8s.io/apimachinery/pkg/fields"

	"github.com/akri-go/akri/internal/edge/metamanager/store"
)

// target is what the path of a request names.
type target struct {
	resource    store.Resource
	namespace   string
	name        string
	subresource string // may have more than one part: proxy/healthz
}

func (t target) key() store.Key {
	return store.Key{Resource: t.resource, Namespace: t.namespace, Name: t.name}
}

// selector is the field selector for the one object.
func (t target) selector() string {
	return fields.OneTermEqualSelector("metadata.name", t.name).String()
}

// maxSegment is more than names have (253).
const maxSegment = 300

// parsePath reads a path of the API:
//
//	/api/v1[/namespaces/NAMESPACE]/RESOURCE[/NAME[/SUBRESOURCE...]]
//	/apis/GROUP/VERSION/...
//
// ok is false if it is none: discovery, for example.
func parsePath(path string) (t target, ok bool) {
	parts := strings.Split(strings.TrimPrefix(path, "/"), "/")
	for _, p := range parts {
		if p == "" || p == "." || p == ".." || len(p) > maxSegment || strings.ContainsAny(p, "%\x00") {
			return target{}, false
		}
	}
	switch {
	case len(parts) >= 3 && parts[0] == "api":
		t.resource.Version, parts = parts[1], parts[2:]
	case len(parts) >= 4 && parts[0] == "apis":
		t.resource.Group, t.resource.Version, parts = parts[1], parts[2], parts[3:]
	default:
		return target{}, false
	}
	if parts[0] == "namespaces" && len(parts) >= 3 && !namespaceSubresource(t.resource, parts[2:]) {
		t.namespace, parts = parts[1], parts[2:]
	}
	t.resource.Name, parts = parts[0], parts[1:]
	if len(parts) > 0 {
		t.name, parts = parts[0], parts[1:]
	}
	t.subresource = strings.Join(parts, "/")
	return t, true
}

// namespaceSubresource tells /namespaces/x/status from a resource in x.
func namespaceSubresource(r store.Resource, rest []string) bool {
	return r.Group == "" && len(rest) == 1 && (rest[0] == "status" || rest[0] == "finalize")
}

// isDiscovery reports whether a path's answer is kept as a whole: it is small,
// the same for all users, and clients ask for it before anything else.
func isDiscovery(path string) bool {
	switch path {
	case "/api", "/apis", "/version", "/openapi/v2", "/openapi/v3", "/openid/v1/jwks", "/.well-known/openid-configuration":
		return true
	}
	if strings.HasPrefix(path, "/openapi/v3/") {
		return !strings.Contains(path, "..")
	}
	parts := strings.Split(strings.TrimPrefix(path, "/"), "/")
	for _, p := range parts {
		if p == "" || p == "." || p == ".." || len(p) > maxSegment {
			return false
		}
	}
	return parts[0] == "api" && len(parts) == 2 || parts[0] == "apis" && (len(parts) == 2 || len(parts) == 3)
}

// boolParam reads a boolean query parameter as the API server does.
func boolParam(q url.Values, name string) bool {
	switch q.Get(name) {
	case "true", "1", "t", "T", "TRUE", "True":
		return true
	}
	return false
}
