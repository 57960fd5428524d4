package main

import (
	"bytes"
	"image/color"
	"image/jpeg"
	"slices"
	"strings"
	"testing"
)

// raw is a picture of 32 by 16 pixels, of which the upper half has one colour and
// the lower half another, in a format, with lines that are padded.
func raw(f fourCC, full bool, stride int, halves ...color.RGBA) []byte {
	const width, height = 32, 16
	yuv := func(c color.RGBA) (y, cb, cr byte) {
		y, cb, cr = color.RGBToYCbCr(c.R, c.G, c.B)
		if !full {
			y = byte(16 + int(y)*219/255)
			cb, cr = byte(128+(int(cb)-128)*224/255), byte(128+(int(cr)-128)*224/255)
		}
		return y, cb, cr
	}
	var b []byte
	lines := func(count, bytesPerLine int, pixels func(c color.RGBA) []byte) {
		for i := range count {
			line := bytes.Repeat(pixels(halves[i*2/count]), width)[:bytesPerLine]
			b = append(b, append(line, make([]byte, max(stride*bytesPerLine/line1(f), bytesPerLine)-bytesPerLine)...)...)
		}
	}
	switch f {
	case formatYUYV:
		lines(height, 2*width, func(c color.RGBA) []byte { y, cb, cr := yuv(c); return []byte{y, cb, y, cr} })
	case formatUYVY:
		lines(height, 2*width, func(c color.RGBA) []byte { y, cb, cr := yuv(c); return []byte{cb, y, cr, y} })
	case formatNV12:
		lines(height, width, func(c color.RGBA) []byte { y, _, _ := yuv(c); return []byte{y} })
		lines(height/2, width, func(c color.RGBA) []byte { _, cb, cr := yuv(c); return []byte{cb, cr} })
	case formatYU12:
		lines(height, width, func(c color.RGBA) []byte { y, _, _ := yuv(c); return []byte{y} })
		lines(height/2, width/2, func(c color.RGBA) []byte { _, cb, _ := yuv(c); return []byte{cb} })
		lines(height/2, width/2, func(c color.RGBA) []byte { _, _, cr := yuv(c); return []byte{cr} })
	case formatRGB3:
		lines(height, 3*width, func(c color.RGBA) []byte { return []byte{c.R, c.G, c.B} })
	case formatBGR3:
		lines(height, 3*width, func(c color.RGBA) []byte { return []byte{c.B, c.G, c.R} })
	case formatGREY:
		lines(height, width, func(c color.RGBA) []byte { y, _, _ := color.RGBToYCbCr(c.R, c.G, c.B); return []byte{y} })
	}
	return b
}

// line1 is how many bytes a line of the first plane has.
func line1(f fourCC) int {
	switch f {
	case formatYUYV, formatUYVY:
		return 64
	case formatRGB3, formatBGR3:
		return 96
	}
	return 32
}

// Each format has the colours that the camera saw, whether lines are padded or not,
// and with both ranges of YUV.
func TestConvert(t *testing.T) {
	orange, blue := color.RGBA{220, 120, 40, 255}, color.RGBA{30, 60, 200, 255}
	for _, f := range formats()[2:] {
		for _, padding := range []int{0, 32} {
			for _, full := range []bool{false, true} {
				m := mode{format: f, width: 32, height: 16, stride: uint32(line1(f) + padding), full: full}
				c, err := newConverter(m)
				if err != nil {
					t.Fatal(err)
				}
				for range 2 { // the second one in the same memory
					picture, err := c.jpeg(raw(f, full, line1(f)+padding, orange, blue))
					if err != nil {
						t.Fatalf("%+v: %v", m, err)
					}
					img, err := jpeg.Decode(bytes.NewReader(picture))
					if err != nil {
						t.Fatalf("%+v: %v", m, err)
					}
					for y, want := range map[int]color.RGBA{3: orange, 12: blue} {
						if f == formatGREY {
							l, _, _ := color.RGBToYCbCr(want.R, want.G, want.B)
							want = color.RGBA{l, l, l, 255}
						}
						for _, x := range []int{2, 29} {
							got := color.RGBAModel.Convert(img.At(x, y)).(color.RGBA)
							if far(got.R, want.R) || far(got.G, want.G) || far(got.B, want.B) {
								t.Errorf("%+v at %d, %d: %v, want %v", m, x, y, got, want)
							}
						}
					}
				}
			}
		}
	}
}

func far(a, b byte) bool { return max(a, b)-min(a, b) > 8 }

// A JPEG of the camera's is passed on, as a copy.
func TestPassed(t *testing.T) {
	c, err := newConverter(mode{format: formatMJPG, width: 640, height: 480})
	if err != nil {
		t.Fatal(err)
	}
	picture := []byte{0xff, 0xd8, 1, 2, 3}
	got, err := c.jpeg(picture)
	picture[0] = 0 // the driver has it again
	if err != nil || !bytes.Equal(got, []byte{0xff, 0xd8, 1, 2, 3}) {
		t.Errorf("% x, %v", got, err)
	}
}

func TestNotConverted(t *testing.T) {
	for _, m := range []mode{
		{format: formatYUYV}, {format: formatYUYV, width: 31, height: 16}, {format: formatNV12, width: 32, height: 15},
		{format: formatRGB3, width: 1 << 20, height: 16}, {format: code("H264"), width: 32, height: 16},
	} {
		if _, err := newConverter(m); err == nil {
			t.Errorf("%+v is taken", m)
		}
	}
	for _, f := range formats()[2:] {
		c, err := newConverter(mode{format: f, width: 32, height: 16})
		if err != nil {
			t.Fatal(err)
		}
		whole := raw(f, false, line1(f), color.RGBA{}, color.RGBA{})
		if _, err := c.jpeg(whole); err != nil {
			t.Errorf("%s: %v", f, err)
		}
		if _, err := c.jpeg(whole[:len(whole)-1]); err == nil || !strings.Contains(err.Error(), "a picture of") {
			t.Errorf("%s, not all of it: %v", f, err)
		}
	}
}

func TestRanges(t *testing.T) {
	y, c := ranges(false)
	for _, v := range []struct{ got, want byte }{
		{y[0], 0}, {y[16], 0}, {y[235], 255}, {y[255], 255}, {y[126], 128}, {c[0], 0}, {c[16], 1}, {c[128], 128}, {c[240], 255}, {c[255], 255},
	} {
		if v.got != v.want {
			t.Errorf("%d, want %d", v.got, v.want)
		}
	}
	if !slices.IsSorted(y[:]) || !slices.IsSorted(c[:]) {
		t.Error("what is lighter becomes darker")
	}
	y, c = ranges(true)
	if y[7] != 7 || c[250] != 250 {
		t.Error("a full range is changed")
	}
}
