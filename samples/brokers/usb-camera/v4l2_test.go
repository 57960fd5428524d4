package main

import (
	"strings"
	"testing"
	"unsafe"
)

// The requests that the kernel knows on 64 bits; the sizes of the structures are in
// them. No camera is at hand in this test: test/vm has one.
func TestRequests(t *testing.T) {
	if unsafe.Sizeof(uintptr(0)) != 8 {
		t.Skip("the numbers are those of 64 bits")
	}
	for _, c := range []struct {
		name      string
		got, want uintptr
	}{
		{"VIDIOC_QUERYCAP", queryCap, 0x80685600},
		{"VIDIOC_ENUM_FMT", enumFmt, 0xc0405602},
		{"VIDIOC_S_FMT", setFmt, 0xc0d05605},
		{"VIDIOC_REQBUFS", reqBufs, 0xc0145608},
		{"VIDIOC_QUERYBUF", queryBuf, 0xc0585609},
		{"VIDIOC_QBUF", queueBuf, 0xc058560f},
		{"VIDIOC_DQBUF", dequeueBuf, 0xc0585611},
		{"VIDIOC_STREAMON", streamOn, 0x40045612},
		{"VIDIOC_STREAMOFF", streamOff, 0x40045613},
		{"VIDIOC_S_PARM", setParm, 0xc0cc5616},
		{"VIDIOC_ENUM_FRAMESIZES", enumSizes, 0xc02c564a},
	} {
		if c.got != c.want {
			t.Errorf("%s is %#x, want %#x", c.name, c.got, c.want)
		}
	}
	for name, c := range map[string][2]uintptr{
		"v4l2_format.fmt":        {unsafe.Offsetof(formatArg{}.pix), 8},
		"v4l2_buffer.timestamp":  {unsafe.Offsetof(buffer{}.timestamp), 24},
		"v4l2_buffer.m":          {unsafe.Offsetof(buffer{}.offset), 64},
		"v4l2_buffer.length":     {unsafe.Offsetof(buffer{}.length), 72},
		"v4l2_pix_format":        {unsafe.Sizeof(pixFormat{}), 48},
		"pix_format.colorspace":  {unsafe.Offsetof(pixFormat{}.colorSpace), 24},
		"pix_format.quantizati.": {unsafe.Offsetof(pixFormat{}.quantization), 40},
	} {
		if c[0] != c[1] {
			t.Errorf("%s: %d, want %d", name, c[0], c[1])
		}
	}
}

// What is no camera is said.
func TestOpenNode(t *testing.T) {
	for path, want := range map[string]string{
		"/dev/null":       "/dev/null is no device of V4L2: inappropriate ioctl for device",
		"/dev/no-such":    "open /dev/no-such: no such file or directory",
		"/proc/self/exe/": "open /proc/self/exe/: not a directory",
	} {
		if d, err := openNode(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, %v", path, d, err)
		}
	}
}

func TestUnusable(t *testing.T) {
	const output, metadata = 0x2, 0x800000
	for _, tt := range []struct {
		caps uint32
		want string
	}{
		{capCapture | capStreaming, ""},
		{capCapture | output | capStreaming, ""},
		{capCapture, "cannot stream"},
		{capPlanes | capStreaming, "in several planes"},
		{output | capStreaming, "another node"},
		{metadata | capStreaming, "another node"},
	} {
		if got := unusable(tt.caps); !strings.Contains(got, tt.want) || (got == "") != (tt.want == "") {
			t.Errorf("%#x: %q, want %q", tt.caps, got, tt.want)
		}
	}
}
