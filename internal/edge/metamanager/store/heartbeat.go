package store

import (
	"bytes"
	"encoding/json"
	"reflect"
	"slices"
)

// maxUnwritten is how many RVs may be given that the file does not know of.
const maxUnwritten = 1000

// sameButHeartbeat reports whether two states of a Node differ only in what the
// kubelet writes every 5 minutes while nothing happens: when it last looked at its
// conditions (lastHeartbeatTime), and who wrote that. To lose it is no loss, and
// writing it would wear the flash of a node that does nothing.
func sameButHeartbeat(old, next *Object) bool {
	return old != nil && next != nil && next.Resource == Nodes && slices.Equal(old.holders, next.holders) &&
		bytes.Equal(old.cloud, next.cloud) && reflect.DeepEqual(withoutHeartbeat(old.JSON), withoutHeartbeat(next.JSON))
}

// withoutHeartbeat is a Node without its heartbeat and resourceVersion.
func withoutHeartbeat(node []byte) map[string]any {
	var o map[string]any
	if err := json.Unmarshal(node, &o); err != nil {
		return nil // it has been checked
	}
	if meta, ok := o["metadata"].(map[string]any); ok {
		delete(meta, "resourceVersion")
		delete(meta, "managedFields")
	}
	status, _ := o["status"].(map[string]any)
	conditions, _ := status["conditions"].([]any)
	for _, c := range conditions {
		if c, ok := c.(map[string]any); ok {
			delete(c, "lastHeartbeatTime")
		}
	}
	return o
}
