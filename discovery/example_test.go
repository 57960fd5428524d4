package discovery_test

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/akri-go/akri/discovery"
)

// fleet finds the boats that a Configuration names.
type fleet struct{}

func (fleet) Name() string { return "fleet" }
func (fleet) Shared() bool { return true } // every node sees the same boats

func (fleet) Discover(ctx context.Context, req discovery.Request, report func([]discovery.Device) error) error {
	names := strings.Fields(req.Details)
	for _, name := range names {
		if name != strings.ToLower(name) {
			return discovery.Invalid("boat %s: write names in small letters", name)
		}
	}
	var boats []discovery.Device
	for _, name := range names {
		boats = append(boats, discovery.Device{
			ID:         name,
			Properties: map[string]string{"BOAT_NAME": name, "BOAT_URL": "tcp://" + name + ".example:4000"},
		})
	}
	if err := report(boats); err != nil {
		return err
	}
	<-ctx.Done() // a real handler reports again when boats come and go
	return ctx.Err()
}

// A handler is asked, without an agent.
func Example() {
	ctx, enough := context.WithCancel(context.Background())
	_ = discovery.Ask(ctx, fleet{}, discovery.Request{Details: "argo beagle"}, func(r discovery.Report) error {
		for _, d := range r.Devices {
			fmt.Println(d.ID, d.Properties["BOAT_URL"])
		}
		enough()
		return nil
	})
	// Output:
	// argo tcp://argo.example:4000
	// beagle tcp://beagle.example:4000
}

// The main function of a handler: it runs until ctx is done, in a real program by
// signal.NotifyContext.
func ExampleServe() {
	directory, err := os.MkdirTemp("/tmp", "akri-") // DISCOVERY_HANDLERS_DIRECTORY in a Pod
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(directory)
	getenv := func(name string) string { return map[string]string{"DISCOVERY_HANDLERS_DIRECTORY": directory}[name] }
	ctx, stop := context.WithCancel(context.Background())
	stop()
	if err := discovery.Serve(ctx, fleet{}, discovery.OptionsFromEnv(getenv)...); err != nil {
		fmt.Println("fleet ends:", err)
		return
	}
	fmt.Println("told to end")
	// Output: told to end
}

// The author of the Configuration sees the text of the error.
func ExampleInvalid() {
	err := discovery.Ask(context.Background(), fleet{}, discovery.Request{Details: "Argo"}, func(discovery.Report) error { return nil })
	fmt.Println(discovery.IsInvalid(err), err)
	// Output: true boat Argo: write names in small letters
}

// The order of a list means nothing.
func ExampleSame() {
	a := []discovery.Device{{ID: "argo"}, {ID: "beagle"}}
	b := []discovery.Device{{ID: "beagle"}, {ID: "argo"}}
	fmt.Println(discovery.Same(a, b), discovery.Same(a, b[:1]))
	// Output: true false
}
