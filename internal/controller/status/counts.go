package status

import (
	"fmt"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/workload/health"
)

// Used returns the value for status.used.
func Used(inst *v0.Instance) string {
	held := 0
	for _, value := range inst.Spec.DeviceUsage {
		if value != "" {
			held++
		}
	}
	return fmt.Sprintf("%d/%d", held, inst.Spec.Capacity)
}

// Brokers returns the value for status.brokers: ready brokers of all brokers,
// where an Instance without one counts as one that is missing. It is empty if
// no brokers are wanted. The Pod of a Job that has succeeded may be deleted
// already.
func Brokers(c *v0.Configuration, instances []string, brokers []health.Broker, done map[string]bool) string {
	if c.Spec.BrokerSpec == nil || c.Spec.BrokerSpec.BrokerPodSpec == nil && c.Spec.BrokerSpec.BrokerJobSpec == nil {
		return ""
	}
	ready, all := 0, 0
	has := map[string]bool{}
	for _, b := range brokers {
		if done[b.Instance] && b.Health != health.Ready {
			continue // an earlier try of a Job
		}
		has[b.Instance] = true
		all++
		if b.Health <= health.Recovering {
			ready++
		}
	}
	for _, name := range instances {
		if !has[name] {
			all++
			if done[name] {
				ready++
			}
		}
	}
	return fmt.Sprintf("%d/%d", ready, all)
}
