package devcluster

import (
	"encoding/json"
	"slices"
	"testing"
)

func TestAudit(t *testing.T) {
	raw, err := auditPolicyFor([]string{"a", "b"})
	if err != nil {
		t.Fatal(err)
	}
	var policy struct {
		APIVersion, Kind string
		Rules            []struct {
			Level string
			Users []string
		}
	}
	if err := json.Unmarshal(raw, &policy); err != nil {
		t.Fatal(err)
	}
	if policy.APIVersion != "audit.k8s.io/v1" || policy.Kind != "Policy" || len(policy.Rules) != 2 ||
		policy.Rules[0].Level != "Metadata" || !slices.Equal(policy.Rules[0].Users, []string{"a", "b"}) || policy.Rules[1].Level != "None" {
		t.Errorf("policy %s", raw)
	}

	c := &Cluster{network: network(0)}
	const flag = "--audit-log-path=/run/akri-dev/cluster/logs/audit.log"
	if slices.Contains(c.arguments(controlCell, APIServer), flag) {
		t.Error("there is an audit log that nobody has asked for")
	}
	c.auditUsers = []string{"a"}
	if args := c.arguments(controlCell, APIServer); !slices.Contains(args, flag) {
		t.Errorf("no audit log: %q", args)
	}
}
