//go:build vm

package vm

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/eventually"
	"github.com/akri-go/akri/test/vm/guest"
)

const disconnects = "camera_disconnects"

// The sample's Configuration finds one node of the camera, and a rule by name all.
func testCameraFound(t *testing.T, _ *guest.Guest, h *handler) {
	text, err := os.ReadFile(filepath.Join("..", "..", "samples", "configurations", "usb-camera.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var c v0.Configuration
	if err := yaml.Unmarshal(text, &c); err != nil {
		t.Fatal(err)
	}
	sample := h.discover(t, c.Spec.DiscoveryHandler.DiscoveryDetails)
	all := h.discover(t, `udevRules: ['KERNEL=="video[0-9]*"']`)
	d := sample.want("/dev/video0")["/dev/video0"]
	if d.GetId() != "/devices/platform/vivid.0/video4linux/video0" || d.GetDeviceSpecs()[0].GetPermissions() != "rw" {
		t.Errorf("%v", d)
	}
	all.want("/dev/video0", "/dev/video1")
}

// What the driver does wrong once, or for a while, costs no more than the time until
// the camera is opened again.
func testDriverFaults(t *testing.T, g *guest.Guest, _ *handler) {
	b := startBroker(t, g, "/dev/video0", "RESOLUTION_WIDTH=320", "RESOLUTION_HEIGHT=180")
	last := b.frame(anything)
	lost := b.metric(disconnects)
	// One picture is damaged: it is left out, and the camera stays open.
	b.control("Inject V4L2_BUF_FLAG_ERROR", 1)
	last = b.frame(after(last))
	last = b.frame(after(last))
	if now := b.metric(disconnects); now != lost {
		t.Errorf("for one damaged picture the camera was opened again")
	}
	for _, tt := range []struct {
		name   string
		faults []string
		end    string // "" if it ends by itself
	}{
		{"the stream breaks", []string{"Inject Fatal Streaming Error"}, ""},
		{"and no buffers", []string{"Inject VIDIOC_REQBUFS Error", "Inject Fatal Streaming Error"}, ""},
		{"and no stream", []string{"Inject VIDIOC_STREAMON Error", "Inject Fatal Streaming Error"}, ""},
		{"a buffer is not taken", []string{"Inject VIDIOC_QBUF Error"}, ""},
		{"disconnected", []string{"Disconnect"}, ""},
		{"stalled", []string{"Percentage of Dropped Buffers"}, "Percentage of Dropped Buffers"},
	} {
		lost = b.metric(disconnects)
		for _, f := range tt.faults {
			b.control(f, 100)
		}
		eventually.Succeeds(t, patience, func(context.Context) error {
			if b.metric(disconnects) <= lost {
				return fmt.Errorf("%s: the broker has not noticed", tt.name)
			}
			return nil
		})
		if tt.end != "" {
			b.control(tt.end, 0)
		}
		last = b.frame(after(last))
	}
}

// A camera that is unplugged while it is looked at: the handler's list is empty, the
// broker lets it go, and finds it again.
func testCameraUnplugged(t *testing.T, g *guest.Guest, h *handler) {
	r := h.discover(t, `udevRules: ['SUBSYSTEM=="video4linux", ATTR{index}=="0"']`)
	b := startBroker(t, g, "/dev/video0", "RESOLUTION_WIDTH=320", "RESOLUTION_HEIGHT=180")
	last := b.frame(anything)
	r.want("/dev/video0")
	for range 2 {
		lost := b.metric(disconnects)
		g.Run(t, "/init", "write", vividDriver+"unbind", "vivid.0")
		r.want()
		eventually.Succeeds(t, patience, func(context.Context) error {
			if b.metric(disconnects) <= lost {
				return fmt.Errorf("the broker has not noticed")
			}
			return nil
		})
		g.Run(t, "/init", "write", vividDriver+"bind", "vivid.0")
		r.want("/dev/video0")
		last = b.frame(after(last))
	}
}

// Another driver, or the same with other cameras: the handler finds these. One has
// its pictures in several planes, and its broker says that it cannot read them.
func testDriverReplaced(t *testing.T, g *guest.Guest, h *handler) {
	r := h.discover(t, `udevRules: ['SUBSYSTEM=="video4linux", ATTR{index}=="0"']`)
	r.want("/dev/video0")
	replace := func(parameters string) {
		t.Helper()
		g.Run(t, "/init", "unload", "vivid")
		r.want()
		g.Run(t, append([]string{"/init", "load"}, strings.Fields(parameters)...)...)
	}
	replace("vivid n_devs=2 node_types=0x1,0x1 multiplanar=1,2")
	r.want("/dev/video0", "/dev/video1")
	t.Run("planes", func(t *testing.T) {
		startBroker(t, g, "/dev/video1").says("/dev/video1 (vivid) gives pictures in several planes of memory")
	})
	t.Run("pictures", func(t *testing.T) {
		startBroker(t, g, "/dev/video0", "RESOLUTION_WIDTH=320", "RESOLUTION_HEIGHT=180").frame(anything)
	})
	replace(vivid)
	r.want("/dev/video0")
}
