package status

import (
	"fmt"
	"slices"
	"strings"

	"github.com/akri-go/akri/internal/shorten"
	"github.com/akri-go/akri/internal/workload/health"
)

// brokersReady summarizes brokers; known is false while they start.
func brokersReady(brokers []health.Broker) (status bool, reason, message string, known bool) {
	brokers = slices.Clone(brokers)
	slices.SortFunc(brokers, func(a, b health.Broker) int { return strings.Compare(a.Name, b.Name) })
	var broken []string
	well := 0
	for _, b := range brokers {
		switch b.Health {
		case health.Broken:
			if reason == "" {
				reason = b.Reason
			}
			broken = append(broken, fmt.Sprintf("Pod %s: %s, %s", b.Name, b.Reason, b.Why))
		case health.Ready:
			well++
		}
	}
	switch {
	case len(broken) > 0:
		return false, reason, shorten.Text(fmt.Sprintf("%d of %d brokers do not run: %s", len(broken), len(brokers), few(broken)), maxMessageBytes), true
	case well > 0 && well == len(brokers):
		return true, ReasonRunning, "all brokers run", true
	default:
		return false, "", "", false
	}
}
