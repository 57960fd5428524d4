package guest

import (
	"context"
	"testing"
)

// What can be plugged in, by QEMU's names.
const (
	SerialAdapter = "usb-serial" // an FT232 of FTDI
	Hub           = "usb-hub"
)

// Plug plugs a device into a port of the guest's USB: "1" to "8", or "1.2" behind a
// hub in port 1. Properties are QEMU's, such as serial.
func (g *Guest) Plug(t testing.TB, id, driver, port string, properties map[string]string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), monitorTimeout)
	defer cancel()
	arguments := map[string]any{"id": id, "driver": driver, "bus": "usb.0", "port": port}
	for name, value := range properties {
		arguments[name] = value
	}
	if driver == SerialAdapter { // its other end
		end := map[string]any{"id": line(id), "backend": map[string]any{"type": "null", "data": struct{}{}}}
		if err := g.qmp.Execute(ctx, "chardev-add", end, nil); err != nil {
			t.Fatal(err)
		}
		arguments["chardev"], arguments["always-plugged"] = line(id), true
		g.lines[id] = true
	}
	if err := g.qmp.Execute(ctx, "device_add", arguments, nil); err != nil {
		t.Fatal(err)
	}
}

func line(id string) string { return id + "-line" }

// Unplug unplugs a device, with what is behind it if it is a hub, all at once.
func (g *Guest) Unplug(t testing.TB, id string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), monitorTimeout)
	defer cancel()
	if err := g.qmp.Remove(ctx, id); err != nil {
		t.Fatal(err)
	}
	if !g.lines[id] {
		return
	}
	delete(g.lines, id)
	if err := g.qmp.Execute(ctx, "chardev-remove", map[string]string{"id": line(id)}, nil); err != nil {
		t.Fatal(err)
	}
}
