package mqtt

import (
	"flag"
	"fmt"

	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/internal/handlers/handlermetrics"
	"github.com/akri-go/akri/internal/handlers/mqtt/announced"
	"github.com/akri-go/akri/internal/handlers/setup"
)

// Setup is the handler's [setup.Func]. All that can be chosen is in the
// discoveryDetails.
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
		return New(Options{Log: p.Log, Reported: reported, Dropped: dropped}), nil
	}
}

// reportSeconds is the histogram of what [Options].Reported is told.
func reportSeconds() handlermetrics.Definition {
	return handlermetrics.Definition{
		Name:    "akri_mqtt_report_seconds",
		Help:    "Seconds from the arrival of the first message that changed a list of devices to the list's report.",
		Buckets: []float64{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10},
	}
}

// droppedTotal is the counter of what [Options].Dropped is told.
func droppedTotal() handlermetrics.CounterDefinition {
	var values []string
	for _, why := range announced.Reasons() {
		values = append(values, string(why))
	}
	return handlermetrics.CounterDefinition{
		Name: "akri_mqtt_dropped_total", Label: "why", Values: values,
		Help: "Messages of brokers that were not taken.",
	}
}
