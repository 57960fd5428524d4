package mdns

import (
	"flag"
	"fmt"

	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/internal/handlers/handlermetrics"
	"github.com/akri-go/akri/internal/handlers/setup"
)

// reportSeconds is the histogram of what [Options].Reported is told.
func reportSeconds() handlermetrics.Definition {
	return handlermetrics.Definition{
		Name:    "akri_mdns_report_seconds",
		Help:    "Seconds from the arrival of the first answer that changed a list of devices to the list's report.",
		Buckets: []float64{0.0005, 0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1, 2.5},
	}
}

// droppedTotal is the counter of what [Options].Dropped is told.
func droppedTotal() handlermetrics.CounterDefinition {
	return handlermetrics.CounterDefinition{
		Name: "akri_mdns_dropped_total", Label: "why", Values: drops(),
		Help: "Answers of Multicast DNS, and services in them, that were not taken.",
	}
}

// messagesTotal is the counter of what [Options].Passed is told.
func messagesTotal() handlermetrics.CounterDefinition {
	return handlermetrics.CounterDefinition{
		Name: "akri_mdns_messages_total", Label: "direction", Values: []string{sent, heard},
		Help: "Questions of Multicast DNS that were sent, and answers that were read.",
	}
}

// Setup is the handler's [setup.Func]. It has no flags: what to look for is the
// Configuration's business.
func Setup(*flag.FlagSet, func(string) string) setup.New {
	return func(p setup.Program) (discovery.Handler, error) {
		reported, err := p.Histogram(reportSeconds())
		if err != nil {
			return nil, fmt.Errorf("add a histogram: %w", err)
		}
		dropped, err := p.Counter(droppedTotal())
		if err != nil {
			return nil, fmt.Errorf("add a counter: %w", err)
		}
		passed, err := p.Counter(messagesTotal())
		if err != nil {
			return nil, fmt.Errorf("add a counter: %w", err)
		}
		return New(Options{Log: p.Log, Reported: reported, Dropped: dropped, Passed: passed}), nil
	}
}
