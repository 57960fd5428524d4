//go:build vm

package vm

import (
	"testing"

	"github.com/akri-go/akri/test/vm/guest"
)

const (
	handlersFolder = "/var/lib/akri"
	vividDriver    = "/sys/bus/platform/drivers/vivid/"
	vivid          = "vivid n_devs=1 node_types=0x101" // a camera, which has a node for output too
)

// TestGuest has one guest for all, since starting it is what takes longest.
func TestGuest(t *testing.T) {
	g := guest.Start(t, guest.Options{
		Programs: []string{"cmd/akri-discovery", "samples/brokers/usb-camera"},
		Modules:  []string{vivid, "ftdi_sio"},
		Folders:  []string{handlersFolder},
	})
	h := startHandler(t, g)
	for _, tt := range []struct {
		name string
		test func(*testing.T, *guest.Guest, *handler)
	}{
		{"camera is found", testCameraFound},
		{"frames", testFrames},
		{"formats", testFormats},
		{"a node that captures nothing", testOutputNode},
		{"faults of the driver", testDriverFaults},
		{"camera unplugged", testCameraUnplugged},
		{"another driver", testDriverReplaced},
		{"serial adapter", testSerialAdapter},
		{"alike without serial numbers", testAlike},
		{"hub with three", testHub},
	} {
		if !t.Run(tt.name, func(t *testing.T) { tt.test(t, g, h) }) && t.Failed() {
			t.Logf("the handler says:\n%s", h.process.Output())
		}
	}
}
