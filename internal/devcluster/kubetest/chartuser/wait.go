package chartuser

import (
	"context"
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// policyTimeout is how long the API server may take to enforce new policies.
const policyTimeout = 5 * time.Minute

// probe is a request that a policy refuses. It is made in a dry run, by the
// agent of a node that has nothing to do with the objects.
type probe struct {
	verb, path string
	body       string
	kind       types.PatchType
}

const (
	instances      = "/apis/akri.sh/v0/namespaces/" + Namespace + "/instances"
	configurations = "/apis/akri.sh/v0/namespaces/" + Namespace + "/configurations"
	leases         = "/apis/coordination.k8s.io/v1/namespaces/" + Namespace + "/leases"
	events         = "/apis/events.k8s.io/v1/namespaces/" + Namespace + "/events"

	probeConfiguration = `{"apiVersion":"akri.sh/v0","kind":"Configuration","metadata":{"name":"probe"},
		"spec":{"discoveryHandler":{"name":"none"}}}`
	probeInstance = `{"apiVersion":"akri.sh/v0","kind":"Instance","metadata":{"name":"%s"},
		"spec":{"configurationName":"probe","cdiName":"akri.sh/probe=000000","capacity":1,"nodes":["elsewhere"]}}`
	probeStatus = `{"status":{"nodes":[{"name":"elsewhere","state":"Failed"}]}}`
)

// probes returns a probe for each policy.
func probes() map[string]probe {
	return map[string]probe{
		"akri-agent-instance-create": {verb: "POST", path: instances, body: fmt.Sprintf(probeInstance, "probe-000001")},
		"akri-agent-instance-update": {verb: "PATCH", path: instances + "/probe-000000", kind: types.MergePatchType, body: `{"spec":{"capacity":2}}`},
		"akri-agent-instance-delete": {verb: "DELETE", path: instances + "/probe-000000"},
		"akri-agent-instance-status": {verb: "PATCH", path: instances + "/probe-000000/status", kind: types.MergePatchType, body: probeStatus},
		"akri-agent-configuration":   {verb: "PATCH", path: configurations + "/probe/status", kind: types.MergePatchType, body: probeStatus},
		"akri-agent-lease": {verb: "POST", path: leases, body: `{"apiVersion":"coordination.k8s.io/v1","kind":"Lease","metadata":{"name":"probe"},
			"spec":{"holderIdentity":"probe"}}`},
		"akri-agent-events": {verb: "POST", path: events, body: `{"apiVersion":"events.k8s.io/v1","kind":"Event","metadata":{"name":"probe"},
			"eventTime":"2026-01-01T00:00:00.000000Z","type":"Normal","reason":"Probe","action":"Probe",
			"reportingController":"example.org/probe","reportingInstance":"probe",
			"regarding":{"kind":"Configuration","namespace":"` + Namespace + `","name":"probe","apiVersion":"akri.sh/v0"}}`},
	}
}

// waitForPolicies waits until each of the policies has refused something: the
// API server enforces them a moment after they are created.
func waitForPolicies(ctx context.Context, cfg *rest.Config, policies []string) error {
	if len(policies) == 0 {
		return nil
	}
	admin, err := client(cfg)
	if err != nil {
		return err
	}
	agent, err := client(Agent(cfg, "probe"))
	if err != nil {
		return err
	}
	for _, o := range [][2]string{{configurations, probeConfiguration}, {instances, fmt.Sprintf(probeInstance, "probe-000000")}} {
		if err := admin.Post().AbsPath(o[0]).SetHeader("Content-Type", "application/json").Body([]byte(o[1])).Do(ctx).Error(); err != nil {
			return fmt.Errorf("create in %s: %w", o[0], err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, policyTimeout)
	defer cancel()
	all := probes()
	for _, name := range policies {
		p, ok := all[name]
		if !ok {
			return fmt.Errorf("there is no probe for policy %s", name)
		}
		var last error
		err := wait.PollUntilContextCancel(ctx, 25*time.Millisecond, true, func(ctx context.Context) (bool, error) {
			r := agent.Verb(p.verb).AbsPath(p.path).Param("dryRun", "All")
			switch {
			case p.kind != "":
				r.SetHeader("Content-Type", string(p.kind)).Body([]byte(p.body))
			case p.body != "":
				r.SetHeader("Content-Type", "application/json").Body([]byte(p.body))
			}
			last = r.Do(ctx).Error()
			return last != nil && strings.Contains(last.Error(), "'"+name+"'"), nil
		})
		if err != nil {
			return fmt.Errorf("wait for policy %s: %w (last answer: %v)", name, err, last)
		}
	}
	for _, path := range []string{instances + "/probe-000000", configurations + "/probe"} {
		if err := admin.Delete().AbsPath(path).Do(ctx).Error(); err != nil {
			return fmt.Errorf("delete %s: %w", path, err)
		}
	}
	return nil
}

func client(cfg *rest.Config) (rest.Interface, error) {
	cs, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return nil, err
	}
	return cs.Discovery().RESTClient(), nil
}
