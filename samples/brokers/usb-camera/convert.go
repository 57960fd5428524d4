package main

import (
	"bytes"
	"fmt"
	"image"
	"image/jpeg"
	"slices"
)

// Formats that are known: include/uapi/linux/videodev2.h and the kernel's
// documentation of pixel formats. The order is that of preference.
var (
	formatMJPG = code("MJPG")
	formatJPEG = code("JPEG")
	formatYUYV = code("YUYV")
	formatUYVY = code("UYVY")
	formatNV12 = code("NV12")
	formatYU12 = code("YU12")
	formatRGB3 = code("RGB3")
	formatBGR3 = code("BGR3")
	formatGREY = code("GREY")
)

func formats() []fourCC {
	return []fourCC{formatMJPG, formatJPEG, formatYUYV, formatUYVY, formatNV12, formatYU12, formatRGB3, formatBGR3, formatGREY}
}

func known(f fourCC) bool { return slices.Contains(formats(), f) }

// maxSide is how wide or high a picture may be: JPEG has no larger ones.
const maxSide = 1 << 16

// quality is that of pictures that are encoded here, from 1 to 100.
const quality = 80

// converter makes JPEGs of what a camera gives in one mode.
type converter struct {
	mode    mode
	picture image.Image // used again for each picture
	fill    func(line []byte, y int)
	planes  bool // lines are in several planes, which fill takes as a whole
	y, c    *[256]byte
}

// newConverter returns a converter for a mode that a driver has chosen.
func newConverter(m mode) (*converter, error) {
	c := &converter{mode: m}
	if m.format == formatMJPG || m.format == formatJPEG {
		return c, nil
	}
	if m.width == 0 || m.height == 0 || m.width >= maxSide || m.height >= maxSide || m.width%2 != 0 {
		return nil, fmt.Errorf("pictures of %d×%d cannot be encoded", m.width, m.height)
	}
	c.y, c.c = ranges(m.full)
	bounds := image.Rect(0, 0, int(m.width), int(m.height))
	switch m.format {
	case formatYUYV, formatUYVY:
		p := image.NewYCbCr(bounds, image.YCbCrSubsampleRatio422)
		c.picture, c.fill = p, c.packed(p, m.format == formatUYVY)
	case formatNV12, formatYU12:
		if m.height%2 != 0 {
			return nil, fmt.Errorf("pictures of %d×%d cannot be encoded", m.width, m.height)
		}
		p := image.NewYCbCr(bounds, image.YCbCrSubsampleRatio420)
		c.picture, c.fill, c.planes = p, c.planar(p, m.format == formatNV12), true
	case formatRGB3, formatBGR3:
		p := image.NewRGBA(bounds)
		c.picture, c.fill = p, rgb(p, m.format == formatBGR3)
	case formatGREY:
		p := image.NewGray(bounds)
		c.picture, c.fill = p, func(line []byte, y int) { copy(p.Pix[y*p.Stride:(y+1)*p.Stride], line) }
	default:
		return nil, fmt.Errorf("the format %s is not known", m.format)
	}
	return c, nil
}

// line returns how many bytes of a line are pixels, and how many it has with what
// pads it. Of planes it is the first.
func (c *converter) line() (pixels, stride int) {
	per := map[fourCC]int{formatYUYV: 2, formatUYVY: 2, formatRGB3: 3, formatBGR3: 3}[c.mode.format]
	pixels = int(c.mode.width) * max(per, 1)
	return pixels, max(pixels, int(c.mode.stride))
}

// jpeg returns a picture as a JPEG of its own.
func (c *converter) jpeg(raw []byte) ([]byte, error) {
	if c.picture == nil {
		return bytes.Clone(raw), nil
	}
	pixels, stride := c.line()
	height := int(c.mode.height)
	need := stride*(height-1) + pixels
	if c.planes {
		need = stride * height * 3 / 2
	}
	if len(raw) < need {
		return nil, fmt.Errorf("a picture of %d bytes, and %s has %d", len(raw), c.mode, need)
	}
	if c.planes {
		c.fill(raw, stride)
	} else {
		for y := range height {
			c.fill(raw[y*stride:y*stride+pixels], y)
		}
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, c.picture, &jpeg.Options{Quality: quality}); err != nil {
		return nil, fmt.Errorf("encode a picture: %w", err)
	}
	return b.Bytes(), nil
}

// packed is for YUYV, and UYVY: luma and chroma take turns (4:2:2).
func (c *converter) packed(p *image.YCbCr, chromaFirst bool) func([]byte, int) {
	luma, chroma := 0, 1
	if chromaFirst {
		luma, chroma = 1, 0
	}
	return func(line []byte, y int) {
		ys, cb, cr := p.Y[y*p.YStride:], p.Cb[y*p.CStride:], p.Cr[y*p.CStride:]
		for i := 0; i+4 <= len(line); i += 4 {
			ys[i/2], ys[i/2+1] = c.y[line[i+luma]], c.y[line[i+luma+2]]
			cb[i/4], cr[i/4] = c.c[line[i+chroma]], c.c[line[i+chroma+2]]
		}
	}
}

// planar is for NV12, whose second plane has both chromas in turn, and YU12, which
// has a plane for each (4:2:0).
func (c *converter) planar(p *image.YCbCr, interleaved bool) func([]byte, int) {
	width, height := int(c.mode.width), int(c.mode.height)
	return func(raw []byte, stride int) {
		for y := range height {
			for x, v := range raw[y*stride : y*stride+width] {
				p.Y[y*p.YStride+x] = c.y[v]
			}
		}
		chroma := raw[stride*height:]
		for y := range height / 2 {
			for x := range width / 2 {
				var cb, cr byte
				if interleaved {
					cb, cr = chroma[y*stride+2*x], chroma[y*stride+2*x+1]
				} else {
					at := y*(stride/2) + x
					cb, cr = chroma[at], chroma[stride/2*(height/2)+at]
				}
				p.Cb[y*p.CStride+x], p.Cr[y*p.CStride+x] = c.c[cb], c.c[cr]
			}
		}
	}
}

// rgb is for RGB3 and BGR3: three bytes for a pixel.
func rgb(p *image.RGBA, blueFirst bool) func([]byte, int) {
	red, blue := 0, 2
	if blueFirst {
		red, blue = 2, 0
	}
	return func(line []byte, y int) {
		out := p.Pix[y*p.Stride:]
		for i := 0; i+3 <= len(line); i += 3 {
			o := out[i/3*4 : i/3*4+4]
			o[0], o[1], o[2], o[3] = line[i+red], line[i+1], line[i+blue], 255
		}
	}
}

// ranges returns what values of luma and chroma are in a JPEG, which has all 256.
// Cameras have those of television, 16 to 235 and 16 to 240 (ITU-R BT.601), unless
// they say otherwise.
func ranges(full bool) (y, c *[256]byte) {
	y, c = new([256]byte), new([256]byte)
	for i := range 256 {
		y[i], c[i] = byte(i), byte(i)
		if !full {
			y[i] = clamp((i-16)*255, 219)
			c[i] = clamp((i-128)*255+128*224, 224)
		}
	}
	return y, c
}

// clamp divides, rounds, and keeps within a byte.
func clamp(n, by int) byte { return byte(min(max((n+by/2)/by, 0), 255)) }
