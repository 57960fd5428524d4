//go:build vm

package vm

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/akri-go/akri/internal/eventually"
	"github.com/akri-go/akri/test/vm/guest"
)

const serialPorts = `udevRules: ['SUBSYSTEM=="tty", KERNEL=="ttyUSB[0-9]*"']`

// A serial adapter is there when it is plugged in, says who made it, and goes when
// it is unplugged; in another port it is the same one.
func testSerialAdapter(t *testing.T, g *guest.Guest, h *handler) {
	r := h.discover(t, serialPorts, "identifyBy: serial", "describe: hardware", "permissions: rw")
	r.want()
	ids := map[string]bool{}
	for _, port := range []string{"1", "2"} {
		g.Plug(t, "stick", guest.SerialAdapter, port, map[string]string{"serial": "FT0AKRI"})
		d := r.want("/dev/ttyUSB0")["/dev/ttyUSB0"]
		ids[d.GetId()] = true
		for name, want := range map[string]string{"UDEV_SERIAL": "FT0AKRI", "UDEV_VENDOR_ID": "0403", "UDEV_PRODUCT_ID": "6001", "UDEV_VENDOR": "QEMU", "UDEV_PRODUCT": "QEMU USB SERIAL"} {
			if got := d.GetProperties()[name]; got != want {
				t.Errorf("%s is %q, want %q", name, got, want)
			}
		}
		if s := d.GetDeviceSpecs(); len(s) != 1 || s[0].GetHostPath() != "/dev/ttyUSB0" || s[0].GetPermissions() != "rw" {
			t.Errorf("device nodes %v", s)
		}
		g.Unplug(t, "stick")
		r.want()
	}
	if len(ids) != 1 || !ids["serial:0403:6001:FT0AKRI/1.0/port0/tty/ttyUSB"] {
		t.Errorf("in two ports its ids are %v", ids)
	}
}

// Sticks that nothing but their ports tells apart: the same ids after both were
// away, whatever order they come back in.
func testAlike(t *testing.T, g *guest.Guest, h *handler) {
	r := h.discover(t, serialPorts, "identifyBy: serial", "describe: hardware")
	r.want()
	none := map[string]string{"serial": ""}
	// idsByPort are those of the sticks in ports 3 and 4.
	idsByPort := func() map[string]string {
		t.Helper()
		found := map[string]string{}
		for node, d := range r.want("/dev/ttyUSB0", "/dev/ttyUSB1") {
			p := d.GetProperties()
			if _, has := p["UDEV_SERIAL"]; has || p["UDEV_VENDOR_ID"] != "0403" {
				t.Errorf("%s: %v", node, p)
			}
			for _, port := range []string{"3", "4"} {
				if strings.Contains(p["UDEV_DEVPATH"], "-"+port+":1.0/") {
					found[port] = d.GetId()
				}
			}
		}
		if !strings.HasPrefix(found["3"], "path:") || !strings.HasPrefix(found["4"], "path:") || found["3"] == found["4"] {
			t.Errorf("ids %v", found)
		}
		return found
	}
	g.Plug(t, "left", guest.SerialAdapter, "3", none)
	r.want("/dev/ttyUSB0")
	g.Plug(t, "right", guest.SerialAdapter, "4", none)
	before := idsByPort()
	eventually.Succeeds(t, patience, func(context.Context) error {
		list, err := r.last()
		if want := "identified by place, since there is no serial number: /dev/ttyUSB0, /dev/ttyUSB1"; err == nil && list.GetNote() != want {
			return fmt.Errorf("the note is %q, want %q", list.GetNote(), want)
		}
		return err
	})
	g.Unplug(t, "left")
	r.want("/dev/ttyUSB1")
	g.Unplug(t, "right")
	r.want()
	g.Plug(t, "right", guest.SerialAdapter, "4", none) // now it is ttyUSB0
	r.want("/dev/ttyUSB0")
	g.Plug(t, "left", guest.SerialAdapter, "3", none)
	if after := idsByPort(); after["3"] != before["3"] || after["4"] != before["4"] {
		t.Errorf("ids were %v, and are %v", before, after)
	}
	g.Unplug(t, "left")
	g.Unplug(t, "right")
	r.want()
}

// A hub takes what is in it along, all at once.
func testHub(t *testing.T, g *guest.Guest, h *handler) {
	r := h.discover(t, serialPorts, "identifyBy: serial")
	all := h.discover(t, `udevRules: ['SUBSYSTEM=="usb", ENV{DEVTYPE}=="usb_device", KERNEL!="usb*"']`)
	r.want()
	all.want()
	g.Plug(t, "hub", guest.Hub, "5", nil)
	var nodes []string
	for i := range 3 {
		name := fmt.Sprintf("behind%d", i)
		g.Plug(t, name, guest.SerialAdapter, fmt.Sprintf("5.%d", i+1), map[string]string{"serial": name})
		nodes = append(nodes, fmt.Sprintf("/dev/ttyUSB%d", i))
	}
	for node, d := range r.want(nodes...) {
		if !strings.HasPrefix(d.GetId(), "serial:0403:6001:behind") {
			t.Errorf("%s: %s", node, d.GetId())
		}
	}
	g.Unplug(t, "hub")
	r.want()
	all.want()
}
