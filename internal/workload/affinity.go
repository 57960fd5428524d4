package workload

import (
	"fmt"

	"k8s.io/apimachinery/pkg/runtime"
)

// pin restricts the Pod's required node affinity to the given nodes. Terms are
// alternatives and one can name only one node, so each of the user's terms
// becomes one per node. An empty term selects nothing and stays.
func pin(spec map[string]any, nodes []string) error {
	affinity, err := ensure(spec, "affinity")
	if err != nil {
		return err
	}
	nodeAffinity, err := ensure(affinity, "nodeAffinity")
	if err != nil {
		return fmt.Errorf("affinity.%w", err)
	}
	const required = "requiredDuringSchedulingIgnoredDuringExecution"
	selector, err := ensure(nodeAffinity, required)
	if err != nil {
		return fmt.Errorf("affinity.nodeAffinity.%w", err)
	}
	terms, err := child[[]any](selector, "nodeSelectorTerms")
	if err != nil {
		return fmt.Errorf("affinity.nodeAffinity.%s.%w", required, err)
	}
	here := func(node string) map[string]any {
		return map[string]any{"key": "metadata.name", "operator": "In", "values": []any{node}}
	}
	var pinned []any
	if len(terms) == 0 {
		for _, node := range nodes {
			pinned = append(pinned, map[string]any{"matchFields": []any{here(node)}})
		}
	}
	for i := range terms {
		at := fmt.Sprintf("affinity.nodeAffinity.%s.nodeSelectorTerms[%d]", required, i)
		term, ok := terms[i].(map[string]any)
		if !ok {
			return fmt.Errorf("%s: want an object, have %T", at, terms[i])
		}
		fields, err := child[[]any](term, "matchFields")
		if err != nil {
			return fmt.Errorf("%s.%w", at, err)
		}
		expressions, err := child[[]any](term, "matchExpressions")
		if err != nil {
			return fmt.Errorf("%s.%w", at, err)
		}
		if len(fields)+len(expressions) == 0 {
			pinned = append(pinned, term)
			continue
		}
		for _, node := range nodes {
			one := runtime.DeepCopyJSON(term)
			own, _ := one["matchFields"].([]any) // checked above
			one["matchFields"] = append(own, here(node))
			pinned = append(pinned, one)
		}
	}
	selector["nodeSelectorTerms"] = pinned
	return nil
}
