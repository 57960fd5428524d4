package main

import (
	"fmt"
	"strings"
	"testing"
)

func one(width, height uint32) sizes { return sizes{width, width, 1, height, height, 1} }

func TestNegotiate(t *testing.T) {
	vga := mode{format: formatMJPG, width: 640, height: 480}
	for _, c := range []struct {
		name   string
		offers []offer
		want   mode
		modes  string // or the error
	}{
		{"what is wanted", []offer{{formatYUYV, []sizes{one(640, 480)}}, {formatMJPG, []sizes{one(1920, 1080), one(640, 480)}}}, vga,
			"[MJPG with 640×480 YUYV with 640×480]"},
		{"the wanted format before the better one", []offer{{formatMJPG, nil}, {formatYUYV, nil}}, mode{format: formatYUYV, width: 640, height: 480},
			"[YUYV with 640×480 MJPG with 640×480]"},
		{"another format", []offer{{code("H264"), nil}, {formatGREY, nil}, {formatNV12, nil}}, vga, "[NV12 with 640×480 GREY with 640×480]"},
		{"a format that cannot be shown, though wanted", []offer{{code("H264"), nil}, {formatYUYV, nil}}, mode{format: code("H264"), width: 640, height: 480},
			"[YUYV with 640×480]"},
		{"the nearest size", []offer{{formatMJPG, []sizes{one(1920, 1080), one(800, 600), one(320, 240)}}}, vga, "[MJPG with 800×600]"},
		{"any size", []offer{{formatMJPG, []sizes{{2, 8192, 1, 1, 8192, 1}}}}, vga, "[MJPG with 640×480]"},
		{"sizes in steps", []offer{{formatMJPG, []sizes{{48, 1280, 16, 32, 720, 32}}}}, mode{format: formatMJPG, width: 650, height: 470},
			"[MJPG with 640×448]"},
		{"a larger size than there is", []offer{{formatMJPG, []sizes{{16, 320, 16, 16, 240, 16}}}}, vga, "[MJPG with 320×240]"},
		{"the same format twice", []offer{{formatMJPG, nil}, {formatMJPG, nil}}, vga, "[MJPG with 640×480]"},
		{"sizes of nothing", []offer{{formatMJPG, []sizes{{}}}}, vga, "[MJPG with 640×480]"},
		{"nothing that can be shown", []offer{{code("H264"), nil}, {code("BA81"), nil}}, vga, "the camera has the formats H264, BA81; this broker knows [MJPG"},
		{"nothing", nil, vga, "the camera has no formats"},
	} {
		list, err := negotiate(c.offers, c.want)
		got := fmt.Sprint(list)
		if err != nil {
			got = err.Error()
		}
		if !strings.HasPrefix(got, c.modes) {
			t.Errorf("%s: %s, want %s", c.name, got, c.modes)
		}
	}
}

func TestParse(t *testing.T) {
	for _, c := range []struct{ environ, want string }{
		{"UDEV_DEVNODE_0AB12F=/dev/video0", "/dev/video0: MJPG with 640×480, 10 a second, 8083 8080"},
		{"UDEV_DEVNODE=/dev/video1 FORMAT=YUYV RESOLUTION_WIDTH=320 RESOLUTION_HEIGHT=240 FRAMES_PER_SECOND=30 PORT=1 METRICS_PORT=2",
			"/dev/video1: YUYV with 320×240, 30 a second, 1 2"},
		{"UDEV_DEVNODE_1_0AB12F=/dev/video3 UDEV_DEVNODE_0_0AB12F=/dev/video2 UDEV_DEVNODE_0=/dev/x", "/dev/video2: MJPG with 640×480, 10 a second, 8083 8080"},
		{"UDEV_DEVPATH_0AB12F=/devices/x", "there is no camera: the broker needs UDEV_DEVNODE_<HASH>"},
		{"UDEV_DEVNODE=/dev/video0 FORMAT=MJPEG", "FORMAT=MJPEG: want four letters"},
		{"UDEV_DEVNODE=/dev/video0 FRAMES_PER_SECOND=0", "FRAMES_PER_SECOND: "},
		{"UDEV_DEVNODE=/dev/video0 RESOLUTION_WIDTH=65536", "RESOLUTION_WIDTH: "},
	} {
		s, err := parse(strings.Fields(c.environ))
		got := fmt.Sprintf("%s: %s, %d a second, %s %s", s.path, s.want, s.perSecond, s.port, s.probesPort)
		if err != nil {
			got = err.Error()
		}
		if !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: %s, want %s", c.environ, got, c.want)
		}
	}
	if got := fourCC(1).String(); got != "0x1" {
		t.Error(got)
	}
}
