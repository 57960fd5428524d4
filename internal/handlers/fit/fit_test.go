package fit

import (
	"fmt"
	"strings"
	"testing"

	"github.com/akri-go/akri/discovery"
)

// An agent ignores a list that is too large. Those that say most are left out of it.
func TestDevices(t *testing.T) {
	const devices, most = 4096, 3 << 20
	var all []discovery.Device
	for i := range devices {
		d := discovery.Device{ID: fmt.Sprintf("%04d", i), Properties: map[string]string{"NAME": strings.Repeat("x", 2500)}}
		if i >= devices-100 {
			d.Properties["NAME"] = "real"
		}
		all = append(all, d)
	}
	kept, over := Devices(all, most)
	size := 0
	for _, d := range kept {
		size += Bytes(d)
	}
	if size > most || over+len(kept) != len(all) || over == 0 || kept[len(kept)-100].Properties["NAME"] != "real" {
		t.Errorf("%d bytes of %d devices, %d left out", size, len(kept), over)
	}
	if kept, over := Devices(all[devices-100:], most); len(kept) != 100 || over != 0 {
		t.Errorf("%d kept, %d left out", len(kept), over)
	}
}
