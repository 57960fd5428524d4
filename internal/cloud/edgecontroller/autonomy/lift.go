package autonomy

import (
	"encoding/json"
	"fmt"
)

// Annotation opts out of autonomy with the value false.
const Annotation = "edge.akri.sh/autonomy"

// mirror is the annotation of a Pod that shows a static Pod of its node. Only the
// kubelet may change it, and nobody evicts it.
const mirror = "kubernetes.io/config.mirror"

// The taints of a node that is not heard of. Their effect is NoExecute.
const (
	notReady    = "node.kubernetes.io/not-ready"
	unreachable = "node.kubernetes.io/unreachable"
)

// Pod is what is read of a Pod.
type Pod struct {
	Metadata struct {
		UID               string            `json:"uid"`
		ResourceVersion   string            `json:"resourceVersion"`
		Annotations       map[string]string `json:"annotations"`
		DeletionTimestamp *string           `json:"deletionTimestamp"`
	} `json:"metadata"`
	Spec struct {
		NodeName           string            `json:"nodeName"`
		ServiceAccountName string            `json:"serviceAccountName"`
		Tolerations        []json.RawMessage `json:"tolerations"`
	} `json:"spec"`
	Status struct {
		Phase string `json:"phase"`
	} `json:"status"`
}

// Ended tells whether the Pod's containers have run for good.
func (p *Pod) Ended() bool { return p.Status.Phase == "Succeeded" || p.Status.Phase == "Failed" }

// toleration is a Pod's toleration (core/v1).
type toleration struct {
	Key               string `json:"key,omitempty"`
	Operator          string `json:"operator,omitempty"`
	Value             string `json:"value,omitempty"`
	Effect            string `json:"effect,omitempty"`
	TolerationSeconds *int64 `json:"tolerationSeconds,omitempty"`
}

// of tells whether it is meant for just this taint. One without a key, which is
// for every taint, is left as its author wrote it.
func (t *toleration) of(taint string) bool {
	return t.Key == taint && (t.Effect == "" || t.Effect == "NoExecute") && (t.Operator == "Exists" || t.Value == "")
}

// Says returns what annotations say of autonomy, and whether they say anything.
func Says(annotations map[string]string) (wanted, said bool) {
	v, said := annotations[Annotation]
	return v != "false", said
}

// Wanted decides by what a Pod, its Namespace and its Node say, in this order.
func Wanted(pod, namespace, node map[string]string) bool {
	for _, a := range []map[string]string{pod, namespace, node} {
		if wanted, said := Says(a); said {
			return wanted
		}
	}
	return true
}

// Lift returns the tolerations that let a Pod stay on a node that is not heard
// of, and whether they differ from those it has. What there is keeps its order
// and its fields, for the API server lets nothing else of it change.
func Lift(p *Pod) (tolerations []json.RawMessage, differ bool, err error) {
	if p.Metadata.DeletionTimestamp != nil || p.Ended() || p.Metadata.Annotations[mirror] != "" {
		return nil, false, nil
	}
	tolerated := map[string]bool{}
	for _, raw := range p.Spec.Tolerations {
		var t toleration
		if err := json.Unmarshal(raw, &t); err != nil {
			return nil, false, fmt.Errorf("toleration: %w", err)
		}
		ours := false
		for _, taint := range []string{notReady, unreachable} {
			if t.of(taint) {
				tolerated[taint], ours = true, true
			}
		}
		if t.Key == "" && t.Operator == "Exists" && (t.Effect == "" || t.Effect == "NoExecute") {
			tolerated[notReady], tolerated[unreachable] = true, true
		}
		if ours && t.TolerationSeconds != nil {
			differ = true
			if raw, err = without(raw, "tolerationSeconds"); err != nil {
				return nil, false, err
			}
		}
		tolerations = append(tolerations, raw)
	}
	for _, taint := range []string{notReady, unreachable} {
		if tolerated[taint] {
			continue
		}
		differ = true
		raw, err := json.Marshal(toleration{Key: taint, Operator: "Exists", Effect: "NoExecute"})
		if err != nil {
			return nil, false, err
		}
		tolerations = append(tolerations, raw)
	}
	return tolerations, differ, nil
}

// without takes a field off an object, whatever else it has.
func without(object json.RawMessage, field string) (json.RawMessage, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(object, &fields); err != nil {
		return nil, err
	}
	delete(fields, field)
	return json.Marshal(fields)
}

// Patch returns the JSON merge patch that lifts a Pod's limits, nil if there is
// nothing to lift. It applies to just the Pod that was read.
func Patch(p *Pod) ([]byte, error) {
	tolerations, differ, err := Lift(p)
	if err != nil || !differ {
		return nil, err
	}
	return json.Marshal(map[string]any{
		"metadata": map[string]string{"uid": p.Metadata.UID, "resourceVersion": p.Metadata.ResourceVersion},
		"spec":     map[string]any{"tolerations": tolerations},
	})
}
