package trial_test

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/discovery/trial"
)

// lamps is a handler of this process; a [trial.Program] would be one in another
// language.
type lamps struct{}

func (lamps) Name() string { return "lamps" }
func (lamps) Shared() bool { return false }
func (lamps) Discover(ctx context.Context, req discovery.Request, report func([]discovery.Device) error) error {
	if _, err := filepath.Match(req.Details, ""); err != nil {
		return discovery.Invalid("details: want a pattern, such as lamp-*")
	}
	var found []discovery.Device
	for _, name := range []string{"lamp-1", "lamp-2", "fan-1"} {
		if ok, _ := filepath.Match(req.Details, name); ok {
			found = append(found, discovery.Device{ID: name})
		}
	}
	if err := report(found); err != nil {
		return err
	}
	<-ctx.Done()
	return ctx.Err()
}

func ExampleRun() {
	report, err := trial.Run(context.Background(), trial.Subject{
		Handler: lamps{},
		Request: discovery.Request{Details: "lamp-*"},
		Bad:     []discovery.Request{{Details: "["}},
		Nothing: &discovery.Request{Details: "oven-*"},
	})
	fmt.Println(report.Name, err, report.Count(trial.Failure), report.Count(trial.Warning))
	for _, f := range report.Findings {
		if f.Check == "first list" || f.Check == "bad details" {
			fmt.Println(f.Check+":", f.Level, f.Wants)
		}
	}
	// Output:
	// lamps <nil> 0 0
	// first list: pass Discover sends the complete list at once, even if it is empty.
	// bad details: pass Details that can never be answered end the call with INVALID_ARGUMENT, and a text that tells the author of the Configuration what to write.
}
