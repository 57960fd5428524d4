package camera

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/color"
	"image/jpeg"
	"slices"
	"strings"
	"testing"
)

// picture returns a JPEG in which each picture of a number is different.
func picture(t testing.TB, n int) []byte {
	t.Helper()
	img := image.NewRGBA(image.Rect(0, 0, 32, 24))
	for i := range img.Pix {
		img.Pix[i] = byte(i*7 + n)
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// withoutTables leaves out the Huffman tables, as cameras do.
func withoutTables(jpeg []byte) []byte {
	for at := 2; ; {
		end := at + 2 + int(binary.BigEndian.Uint16(jpeg[at+2:]))
		if jpeg[at+1] == markerDHT {
			return slices.Concat(jpeg[:at], jpeg[end:])
		}
		at = end
	}
}

func TestComplete(t *testing.T) {
	whole := picture(t, 1)
	want, err := jpeg.Decode(bytes.NewReader(whole))
	if err != nil {
		t.Fatal(err)
	}
	for name, p := range map[string][]byte{
		"as it is":            whole,
		"without tables":      withoutTables(whole),
		"with something more": append(bytes.Clone(whole), make([]byte, 4096)...),
		"with fill bytes":     slices.Concat(whole[:2], []byte{0xff, 0xff}, whole[2:]),
		"with a comment":      slices.Concat(whole[:2], []byte{0xff, 0xfe, 0, 4, 'h', 'i'}, whole[2:]),
		"both":                append(withoutTables(whole), 0, 0, 0),
	} {
		before := bytes.Clone(p)
		got, err := Complete(p)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		img, err := jpeg.Decode(bytes.NewReader(got))
		if err != nil || img.Bounds() != want.Bounds() {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for y := range want.Bounds().Dy() {
			for x := range want.Bounds().Dx() {
				if color.RGBAModel.Convert(img.At(x, y)) != color.RGBAModel.Convert(want.At(x, y)) {
					t.Fatalf("%s: another picture", name)
				}
			}
		}
		if !bytes.HasSuffix(got, []byte{0xff, markerEOI}) || !bytes.Equal(before, p) {
			t.Errorf("%s: it does not end with the picture, or what was given is changed", name)
		}
	}
}

func TestIncomplete(t *testing.T) {
	whole := picture(t, 1)
	for want, p := range map[string][]byte{
		"it does not begin like a JPEG": []byte("<html>It works!</html>"),
		"it ends in its header":         whole[:4],
		"its end is missing":            whole[:len(whole)-2],
		"it has no frame header":        {0xff, 0xd8, 0xff, 0xda, 0, 2, 0xff, 0xd9},
		"it is of no size":              {0xff, 0xd8, 0xff, 0xc0, 0, 8, 8, 0, 1, 0, 0, 0, 0xff, 0xda, 0, 2, 0xff, 0xd9},
		"is no marker":                  {0xff, 0xd8, 1, 2, 3, 4, 5, 6},
		"in its header":                 {0xff, 0xd8, 0xff, 0xd9, 3, 4, 5, 6},
		"ends beyond the picture":       {0xff, 0xd8, 0xff, 0xe0, 0xff, 0xff, 5, 6},
		"it has more than 256 segments": append([]byte{0xff, 0xd8}, bytes.Repeat([]byte{0xff, 0xfe, 0, 2}, 1000)...),
	} {
		if _, err := Complete(p); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func FuzzComplete(f *testing.F) {
	whole := picture(f, 1)
	for _, p := range [][]byte{nil, whole, withoutTables(whole), whole[:100], append(bytes.Clone(whole), 0)} {
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		got, err := Complete(p)
		if err != nil {
			return
		}
		if !bytes.HasPrefix(got, []byte{0xff, markerSOI}) || !bytes.HasSuffix(got, []byte{0xff, markerEOI}) || len(got) > len(p)+1024 {
			t.Errorf("%d bytes of %d: % x", len(got), len(p), got)
		}
		again, err := Complete(got)
		if err != nil || !bytes.Equal(again, got) {
			t.Errorf("a complete picture is not complete: %v", err)
		}
	})
}
