package selector

import (
	"strconv"
	"strings"
)

// rule says how the API server fills a field that is not simply its path.
type rule struct {
	paths    []string // the first that has a value
	fallback string
}

// rules are from the ToSelectableFields and GetAttrs functions of
// k8s.io/kubernetes/pkg/registry (v1.37).
var rules = map[string]map[string]rule{
	"pods": {
		"spec.hostNetwork": {fallback: "false"},
		"status.podIP":     {paths: []string{"status.podIP", "status.podIPs.0.ip"}},
	},
	"nodes":                  {"spec.unschedulable": {fallback: "false"}},
	"replicationcontrollers": {"status.replicas": {fallback: "0"}},
	"replicasets.apps":       {"status.replicas": {fallback: "0"}},
	"jobs.batch":             {"status.successful": {paths: []string{"status.succeeded"}, fallback: "0"}},
	"events": {
		"source": {paths: []string{"source.component", "reportingComponent"}},
	},
	"events.events.k8s.io": {
		"source": {paths: []string{"deprecatedSource.component", "reportingController"}},
	},
}

// valueOf returns the value that a field selector compares.
func valueOf(doc map[string]any, resource, field string) string {
	r := rules[resource][field]
	if r.paths == nil {
		r.paths = []string{field}
	}
	for _, path := range r.paths {
		if s := text(at(doc, strings.Split(path, ".")...)); s != "" {
			return s
		}
	}
	return r.fallback
}

// at follows a path through objects and lists; nil if there is nothing.
func at(v any, path ...string) any {
	for _, name := range path {
		switch in := v.(type) {
		case map[string]any:
			v = in[name]
		case []any:
			i, err := strconv.Atoi(name)
			if err != nil || i < 0 || i >= len(in) {
				return nil
			}
			v = in[i]
		default:
			return nil
		}
	}
	return v
}

func text(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case bool:
		return strconv.FormatBool(v)
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return ""
}
