package edged

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
)

// file is a file that a program reads.
type file struct {
	path string
	text []byte
	mode fs.FileMode
}

// Access is how a program reaches the local API: its URL, its authority (PEM),
// and a file with a certificate and its key.
type Access struct {
	Server      string
	CA          []byte
	Credentials string
}

// kubeconfig says to a program how it reaches the local API.
func (a Access) kubeconfig(user string) ([]byte, error) {
	type named map[string]any
	text, err := json.MarshalIndent(map[string]any{
		"apiVersion": "v1", "kind": "Config", "current-context": "edgecore",
		"clusters": []named{{"name": "edgecore", "cluster": map[string]any{"server": a.Server,
			"certificate-authority-data": a.CA}}},
		"users": []named{{"name": user, "user": map[string]any{"client-certificate": a.Credentials,
			"client-key": a.Credentials}}},
		"contexts": []named{{"name": "edgecore", "context": map[string]any{"cluster": "edgecore", "user": user}}},
	}, "", "  ")
	return append(text, '\n'), err
}

// tailor puts the fields of tailored, which is called so, in place of those of
// base; some are fixed.
func tailor(base, tailored map[string]any, called string, fixed ...string) ([]byte, error) {
	for _, name := range fixed {
		if _, ok := tailored[name]; ok {
			return nil, fmt.Errorf("%s: %s cannot be set", called, name)
		}
	}
	merge(base, tailored)
	text, err := json.MarshalIndent(base, "", "  ")
	return append(text, '\n'), err
}

// merge puts the fields of from into to; objects are merged in turn.
func merge(to, from map[string]any) {
	for name, v := range from {
		old, isMap := to[name].(map[string]any)
		next, bothMaps := v.(map[string]any)
		if isMap && bothMaps {
			merged := maps.Clone(old)
			merge(merged, next)
			v = merged
		}
		to[name] = v
	}
}
