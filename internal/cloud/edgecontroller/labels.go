package edgecontroller

import (
	"encoding/json"
	"maps"
)

// edgeLabels are those of an edge node's Node. The node may not set them itself
// (NodeRestriction), so cloudcore does.
func edgeLabels() map[string]string {
	return map[string]string{"node-role.kubernetes.io/edge": "", "node-role.kubernetes.io/agent": ""}
}

// edgeLabel is the one that says that a node is an edge node.
const edgeLabel = "node-role.kubernetes.io/edge"

// labelPatch returns the JSON merge patch that gives a Node the labels that it
// does not have yet, nil if it has all. A value that somebody has changed stays.
func labelPatch(has map[string]string) ([]byte, error) {
	missing := maps.Clone(edgeLabels())
	maps.DeleteFunc(missing, func(k, _ string) bool {
		_, there := has[k]
		return there
	})
	if len(missing) == 0 {
		return nil, nil
	}
	return json.Marshal(map[string]any{"metadata": map[string]any{"labels": missing}})
}
