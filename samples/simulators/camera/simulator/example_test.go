package simulator_test

import (
	"fmt"
	"net/netip"

	"github.com/akri-go/akri/samples/simulators/camera/simulator"
)

// Two cameras on addresses of the loopback, of which one is broken.
func Example() {
	s, err := simulator.New(simulator.Options{
		Addresses:     []netip.Addr{netip.MustParseAddr("127.0.0.8"), netip.MustParseAddr("127.0.0.9")},
		Auth:          simulator.AuthBoth,
		DiscoveryPort: 37020, // not the usual one: this is not for the machine's network
	})
	if err == nil {
		err = s.Start()
	}
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close()
	s.Cameras()[1].SetFaults(simulator.Faults{Garbage: true})
	for _, c := range s.Cameras() {
		fmt.Println(c.Name, c.UUID, c.Address().Addr(), c.Faults())
	}
	// Output:
	// Camera 01 e7728452-cc74-5357-ab3e-2f1c7d577398 127.0.0.8 well
	// Camera 02 8bc41c48-2df4-5164-8376-efc82815b068 127.0.0.9 garbage
}
