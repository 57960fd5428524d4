package simulator

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/jpeg"
	"strings"
	"time"

	"golang.org/x/image/font"
	"golang.org/x/image/font/basicfont"
	"golang.org/x/image/math/fixed"
)

// jpegQuality is that of all pictures, from 1 to 100.
const jpegQuality = 75

// Colours of the pictures.
var (
	sky    = color.RGBA{0x9f, 0xb4, 0xc4, 0xff}
	wall   = color.RGBA{0x6d, 0x75, 0x78, 0xff}
	door   = color.RGBA{0x45, 0x4d, 0x52, 0xff}
	ground = color.RGBA{0x4c, 0x4a, 0x46, 0xff}
	line   = color.RGBA{0xd8, 0xd2, 0xb8, 0xff}
	cart   = color.RGBA{0xd9, 0x7b, 0x29, 0xff}
	wheel  = color.RGBA{0x1b, 0x1b, 0x1b, 0xff}
	dark   = color.RGBA{0x10, 0x12, 0x14, 0xff}
	light  = color.RGBA{0xf4, 0xf4, 0xf0, 0xff}
	red    = color.RGBA{0xe0, 0x20, 0x20, 0xff}
)

// frame returns the number of the current picture, counted from the start of the
// simulator.
func (c *Camera) frame() uint32 {
	return uint32(time.Since(c.sim.began) / (time.Second / framesPerSecond))
}

// shown is the number that a picture shows for a frame.
func (c *Camera) shown(frame uint32) uint32 {
	if loop := uint32(c.sim.options.Loop); loop > 0 {
		return frame % loop
	}
	return frame
}

// drawn is one picture of a loop.
type drawn struct {
	profile string // its token
	frame   uint32
}

// picture returns the JPEG of a frame, from the loop if there is one.
func (c *Camera) picture(p profile, frame uint32) ([]byte, error) {
	frame = c.shown(frame)
	if c.sim.options.Loop == 0 {
		return c.draw(p, frame)
	}
	c.drawing.Lock()
	defer c.drawing.Unlock()
	if known := c.loop[drawn{p.token, frame}]; known != nil {
		return known, nil
	}
	picture, err := c.draw(p, frame)
	if err == nil {
		c.loop[drawn{p.token, frame}] = picture
	}
	return picture, err
}

// draw returns a JPEG: a yard with a cart that moves with each frame, the
// camera's name and clock, and the frame number. The last rows repeat the numbers
// of camera and frame for [ReadMarks].
func (c *Camera) draw(p profile, frame uint32) ([]byte, error) {
	img := image.NewRGBA(image.Rect(0, 0, p.width, p.height))
	scale := max(1, p.width/320)
	scene(img, frame)
	bar := 16 * scale
	fill(img, image.Rect(0, 0, p.width, bar), dark)
	title(img, 4*scale, scale, c.Name+" - "+c.Location, light)
	clock := c.now().Format("2006-01-02 15:04:05")
	title(img, p.width-(len(clock)*7+4)*scale, scale, clock, light)
	bottom := image.Rect(0, p.height-bar-markHeight(p.width), p.width, p.height)
	fill(img, bottom, dark)
	write(img, 4*scale, bottom.Min.Y+2*scale, scale, fmt.Sprintf("frame %06d", frame), light)
	write(img, p.width-(12*7)*scale, bottom.Min.Y+2*scale, scale, c.Model, light)
	if frame%framesPerSecond < framesPerSecond/2 {
		fill(img, image.Rect(4*scale, bar+4*scale, 12*scale, bar+12*scale), red) // recording
	}
	writeMarks(img, c.Number, frame)
	var out bytes.Buffer
	err := jpeg.Encode(&out, img, &jpeg.Options{Quality: jpegQuality})
	return out.Bytes(), err
}

// scene draws what the camera sees.
func scene(img *image.RGBA, frame uint32) {
	w, h := img.Rect.Dx(), img.Rect.Dy()
	part := func(n int) int { return n * h / 48 }
	fill(img, img.Rect, sky)
	fill(img, image.Rect(0, part(12), w, part(30)), wall)
	for i := range 3 {
		x := w/12 + i*w/3
		fill(img, image.Rect(x, part(16), x+w/6, part(30)), door)
		for y := part(18); y < part(30); y += part(2) {
			fill(img, image.Rect(x, y, x+w/6, y+1), wall)
		}
	}
	fill(img, image.Rect(0, part(30), w, h), ground)
	for i := range 8 {
		fill(img, image.Rect(i*w/8, part(39), i*w/8+w/16, part(40)), line)
	}
	width := w / 6
	x := int(frame)*w/64%(w+width) - width
	fill(img, image.Rect(x, part(27), x+width, part(35)), cart)
	fill(img, image.Rect(x+width*3/4, part(23), x+width, part(27)), cart)
	for _, at := range []int{width / 8, width * 5 / 8} {
		fill(img, image.Rect(x+at, part(34), x+at+width/5, part(37)), wheel)
	}
}

func fill(img *image.RGBA, r image.Rectangle, c color.Color) {
	draw.Draw(img, r, image.NewUniform(c), image.Point{}, draw.Src)
}

func title(img *image.RGBA, x, scale int, text string, c color.Color) {
	write(img, x, scale, scale, text, c)
}

// ascii replaces letters that the font lacks.
var ascii = strings.NewReplacer("ä", "ae", "ö", "oe", "ü", "ue", "ß", "ss", "Ä", "Ae", "Ö", "Oe", "Ü", "Ue")

// write draws a text whose upper left corner is at x, y, so many times as large
// as the font, of 7 by 13 pixels.
func write(img *image.RGBA, x, y, scale int, text string, c color.Color) {
	text = ascii.Replace(text)
	face := basicfont.Face7x13
	mask := image.NewAlpha(image.Rect(0, 0, len(text)*face.Advance, face.Height))
	(&font.Drawer{Dst: mask, Src: image.Opaque, Face: face, Dot: fixed.P(0, face.Ascent)}).DrawString(text)
	for my := range mask.Rect.Dy() {
		for mx := range mask.Rect.Dx() {
			if mask.AlphaAt(mx, my).A > 0 {
				at := image.Pt(x+mx*scale, y+my*scale)
				fill(img, image.Rectangle{at, at.Add(image.Pt(scale, scale))}, c)
			}
		}
	}
}

// The marks are one row of blocks, black for 0 and white for 1: first 1 and 0,
// then 14 bits of the camera's number and 24 of the frame's.
const (
	cameraBits = 14
	frameBits  = 24
	markBits   = 2 + cameraBits + frameBits
)

func markHeight(width int) int { return width / markBits }

func writeMarks(img *image.RGBA, camera int, frame uint32) {
	bits := uint64(0b10)<<(cameraBits+frameBits) | uint64(camera)<<frameBits | uint64(frame)&(1<<frameBits-1)
	side, y := markHeight(img.Rect.Dx()), img.Rect.Dy()
	for i := range markBits {
		c := color.Color(color.Black)
		if bits>>(markBits-1-i)&1 == 1 {
			c = color.White
		}
		fill(img, image.Rect(i*side, y-side, (i+1)*side, y), c)
	}
}

// ReadMarks returns the number of the camera and of the frame from the last rows
// of a picture. Most other pictures give an error.
func ReadMarks(img image.Image) (camera int, frame uint32, err error) {
	r := img.Bounds()
	side := markHeight(r.Dx())
	var bits uint64
	for i := range markBits {
		grey := color.GrayModel.Convert(img.At(r.Min.X+i*side+side/2, r.Max.Y-side/2-1)).(color.Gray).Y
		bits <<= 1
		switch {
		case grey > 0xb0:
			bits |= 1
		case grey > 0x50:
			return 0, 0, errors.New("a block of the picture's last rows is neither black nor white")
		}
	}
	if bits>>(cameraBits+frameBits) != 0b10 {
		return 0, 0, errors.New("the picture's last rows do not begin with the mark")
	}
	return int(bits >> frameBits & (1<<cameraBits - 1)), uint32(bits & (1<<frameBits - 1)), nil
}
