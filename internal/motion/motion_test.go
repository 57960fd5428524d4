package motion

import (
	"bytes"
	"image"
	"image/color"
	"image/jpeg"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"slices"
	"strings"
	"testing"
)

func TestDiffer(t *testing.T) {
	picture := func(shade uint8) []byte {
		img := image.NewGray(image.Rect(0, 0, 8, 8))
		img.SetGray(1, 1, color.Gray{Y: shade})
		var b bytes.Buffer
		if err := jpeg.Encode(&b, img, nil); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	still := slices.Repeat([][]byte{picture(0)}, maxPictures)
	for name, c := range map[string]struct {
		pictures [][]byte
		want     string
	}{
		"moves":      {[][]byte{picture(0), picture(0), picture(200)}, ""},
		"still":      {still, "does not change"},
		"ends":       {[][]byte{picture(0)}, "EOF"},
		"no picture": {[][]byte{[]byte("<html>")}, "a picture"},
	} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			w := multipart.NewWriter(&b)
			for _, p := range c.pictures {
				part, err := w.CreatePart(textproto.MIMEHeader{"Content-Type": {"image/jpeg"}})
				if err != nil {
					t.Fatal(err)
				}
				part.Write(p)
			}
			w.Close()
			err := differ("multipart/x-mixed-replace; boundary="+w.Boundary(), &b)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
	if err := differ("text/html", nil); err == nil {
		t.Error("a page is a feed")
	}
}

// What is no feed is an error, and not an endless wait.
func TestSeen(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/" {
			http.NotFound(w, r)
		}
	}))
	defer server.Close()
	for _, path := range []string{"/", "/camera_frame_feed/9"} {
		if err := Seen(t.Context(), server.URL+path); err == nil {
			t.Errorf("%s moves", path)
		}
	}
}
