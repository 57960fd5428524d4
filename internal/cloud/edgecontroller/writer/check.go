package writer

import (
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
)

const (
	// MaxBodyBytes bounds a call's body: the API server takes 3 MiB.
	MaxBodyBytes = 3 << 20
	maxPathBytes = 2 << 10
	maxTypeBytes = 512
	// maxQueryBytes bounds the query: selectors are the longest that is in it.
	maxQueryBytes = 8 << 10
)

// The methods of the API, and whether they may have a body.
var methods = map[string]bool{
	http.MethodGet: false, http.MethodPost: true, http.MethodPut: true, http.MethodPatch: true, http.MethodDelete: true,
}

// parameters are those of the API's requests. All others are refused, as are
// watch and follow, which have no end.
var parameters = []string{
	"continue", "dryRun", "fieldManager", "fieldSelector", "fieldValidation", "force",
	"gracePeriodSeconds", "hash", "ignoreStoreReadErrorWithClusterBreakingPotential", "labelSelector", "limit",
	"orphanDependents", "pretty", "propagationPolicy", "resourceVersion", "resourceVersionMatch", "timeout",
	"timeoutSeconds",
}

// streams are subresources whose answer is a connection, or has no end.
var streams = []string{"attach", "exec", "log", "portforward", "proxy"}

// known are the paths beside resources that edge nodes may read: discovery and
// the schema, what service account tokens are checked with, the version.
var known = []string{"/api", "/apis", "/version", "/openapi/v2", "/openapi/v3", "/openid/v1/jwks",
	"/.well-known/openid-configuration"}

// Refusal says why a call is not made.
type Refusal struct {
	Code   int // HTTP
	Reason string
}

func (r *Refusal) Error() string { return r.Reason }

func refuse(code int, format string, args ...any) error {
	return &Refusal{Code: code, Reason: fmt.Sprintf(format, args...)}
}

// Check decides whether a call may be made at all, whoever makes it; the error is
// a *[Refusal].
func Check(c *edgev1.Call) error {
	body, ok := methods[c.Method]
	switch {
	case !ok:
		return refuse(http.StatusMethodNotAllowed, "a call cannot have method %q", short(c.Method))
	case len(c.Body) > MaxBodyBytes:
		return refuse(http.StatusRequestEntityTooLarge, "the body has %d bytes; %d are allowed", len(c.Body), MaxBodyBytes)
	case len(c.Body) > 0 && !body:
		return refuse(http.StatusBadRequest, "a call with method %s has no body", c.Method)
	case c.Timeout < 0:
		return refuse(http.StatusBadRequest, "the timeout is negative")
	}
	if err := checkPath(c.Path, c.Method); err != nil {
		return err
	}
	if err := checkQuery(c.Query); err != nil {
		return err
	}
	for name, value := range map[string]string{"Content-Type": c.ContentType, "Accept": c.Accept} {
		if err := checkType(name, value); err != nil {
			return err
		}
	}
	return nil
}

// checkPath passes paths of the API in the one form that means the same to
// whoever reads them: nothing escaped, nothing relative, no empty segments.
func checkPath(p, method string) error {
	switch {
	case len(p) > maxPathBytes:
		return refuse(http.StatusRequestURITooLong, "the path has more than %d bytes", maxPathBytes)
	case p == "" || p[0] != '/' || path.Clean(p) != p:
		return refuse(http.StatusBadRequest, "path %q is not in its shortest form", short(p))
	}
	for _, r := range p {
		if !strings.ContainsRune("/-._~:!$&'()*+,;=@", r) && !isAlphanumeric(r) {
			return refuse(http.StatusBadRequest, "path %q: %q is not allowed in it", short(p), r)
		}
	}
	if slices.Contains(known, p) || strings.HasPrefix(p, "/openapi/v3/") {
		if method != http.MethodGet {
			return refuse(http.StatusMethodNotAllowed, "%s can only be read", short(p))
		}
		return nil
	}
	segments := strings.Split(p[1:], "/")
	var rest []string // after group and version
	switch {
	case segments[0] == "api" && len(segments) >= 2:
		rest = segments[2:]
	case segments[0] == "apis" && len(segments) >= 2:
		rest = segments[min(3, len(segments)):]
	default:
		return refuse(http.StatusForbidden, "path %q is not one of the API's resources, nor of its discovery", short(p))
	}
	if len(rest) > 0 && (rest[0] == "watch" || rest[0] == "proxy") {
		return refuse(http.StatusForbidden, "path %q: watches are interests, not calls, and proxies are not served",
			short(p))
	}
	// namespaces/<namespace>/<resource>/<name>/<subresource>..., or without the
	// first two; a subresource of namespaces looks like the former.
	if len(rest) >= 3 && rest[0] == "namespaces" {
		rest = rest[2:]
	}
	if len(rest) >= 3 && slices.Contains(streams, rest[2]) {
		return refuse(http.StatusForbidden, "path %q: %s needs a connection of its own, which a call has not",
			short(p), rest[2])
	}
	return nil
}

func isAlphanumeric(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
}

func checkQuery(query string) error {
	if len(query) > maxQueryBytes {
		return refuse(http.StatusRequestURITooLong, "the query has more than %d bytes", maxQueryBytes)
	}
	for _, r := range query {
		if r <= ' ' || r > '~' || r == '#' {
			return refuse(http.StatusBadRequest, "the query has %q, which must be escaped", r)
		}
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return refuse(http.StatusBadRequest, "query: %v", err)
	}
	for key, all := range values {
		switch {
		case key == "watch" || key == "follow":
			if len(all) == 1 && (all[0] == "false" || all[0] == "0") {
				continue
			}
			return refuse(http.StatusForbidden, "a call cannot watch or follow: what is watched is an interest")
		case !slices.Contains(parameters, key):
			return refuse(http.StatusForbidden, "parameter %q is not one of the API's", short(key))
		}
	}
	return nil
}

// checkType passes lists of media types: a header's value and nothing more.
func checkType(name, value string) error {
	if len(value) > maxTypeBytes {
		return refuse(http.StatusBadRequest, "%s has more than %d bytes", name, maxTypeBytes)
	}
	if value == "" {
		return nil
	}
	for _, r := range value {
		if r < ' ' || r > '~' {
			return refuse(http.StatusBadRequest, "%s has %q", name, r)
		}
	}
	for part := range strings.SplitSeq(value, ",") {
		if _, _, err := mime.ParseMediaType(part); err != nil {
			return refuse(http.StatusBadRequest, "%s %q: %v", name, short(value), err)
		}
	}
	return nil
}

// maxTextBytes is how much of a text from outside an error has.
const maxTextBytes = 100

func short(s string) string {
	if len(s) > maxTextBytes {
		return s[:maxTextBytes] + "..."
	}
	return s
}
