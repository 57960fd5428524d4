package devcluster

import (
	"encoding/json"
	"fmt"
)

// Files of the API server's audit log.
const (
	auditPolicy = "audit-policy.json" // in config
	auditLog    = "audit.log"         // in logs
)

// auditPolicyFor returns the policy by which the API server logs some users'
// requests when they end, without bodies
// (https://kubernetes.io/docs/reference/config-api/apiserver-audit.v1/).
func auditPolicyFor(users []string) ([]byte, error) {
	type rule struct {
		Level string   `json:"level"`
		Users []string `json:"users,omitempty"`
	}
	policy, err := json.Marshal(map[string]any{
		"apiVersion": "audit.k8s.io/v1", "kind": "Policy",
		"omitStages": []string{"RequestReceived", "ResponseStarted"},
		"rules":      []rule{{Level: "Metadata", Users: users}, {Level: "None"}},
	})
	if err != nil {
		return nil, fmt.Errorf("write the audit policy: %w", err)
	}
	return policy, nil
}
