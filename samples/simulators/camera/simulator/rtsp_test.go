package simulator

import (
	"bytes"
	"fmt"
	"image/jpeg"
	"testing"
	"time"

	"github.com/bluenviron/gortsplib/v5"
	"github.com/bluenviron/gortsplib/v5/pkg/base"
	"github.com/bluenviron/gortsplib/v5/pkg/format"
	"github.com/bluenviron/gortsplib/v5/pkg/format/rtpmjpeg"
	"github.com/pion/rtp"

	"github.com/akri-go/akri/internal/eventually"
	"github.com/akri-go/akri/internal/leaktest"
)

// seen is a picture that a viewer got.
type seen struct {
	first  uint16 // sequence number
	camera int
	frame  uint32
	err    error
}

// watch shows n pictures to a viewer. It is of the library that the cameras use;
// a foreign viewer is in the program's tests.
func watch(t *testing.T, url, user, password string, n int) (pictures []seen, err error) {
	t.Helper()
	u, err := base.ParseURL(url)
	if err != nil {
		return nil, err
	}
	if user != "" {
		if u, err = base.ParseURL(fmt.Sprintf("rtsp://%s:%s@%s%s", user, password, u.Host, u.Path)); err != nil {
			return nil, err
		}
	}
	protocol := gortsplib.ProtocolTCP
	c := &gortsplib.Client{Scheme: u.Scheme, Host: u.Host, Protocol: &protocol, ReadTimeout: eventually.Patience}
	if err := c.Start(); err != nil {
		return nil, err
	}
	defer c.Close()
	desc, _, err := c.Describe(u)
	if err != nil {
		return nil, err
	}
	var mjpeg *format.MJPEG
	media := desc.FindFormat(&mjpeg)
	if media == nil {
		return nil, fmt.Errorf("no JPEG in %+v", desc)
	}
	if err := c.SetupAll(desc.BaseURL, desc.Medias); err != nil {
		return nil, err
	}
	decoder := &rtpmjpeg.Decoder{}
	if err := decoder.Init(); err != nil {
		return nil, err
	}
	got := make(chan seen, 100)
	first, begun := uint16(0), false
	c.OnPacketRTP(media, mjpeg, func(p *rtp.Packet) {
		if !begun {
			first, begun = p.SequenceNumber, true
		}
		data, err := decoder.Decode(p)
		if err != nil {
			return // more packets belong to it
		}
		s := seen{first: first}
		img, err := jpeg.Decode(bytes.NewReader(data))
		if err == nil {
			s.camera, s.frame, err = ReadMarks(img)
		}
		s.err, begun = err, false
		got <- s
	})
	if _, err := c.Play(nil); err != nil {
		return nil, err
	}
	for len(pictures) < n {
		select {
		case s := <-got:
			pictures = append(pictures, s)
		case <-time.After(eventually.Patience):
			return pictures, fmt.Errorf("%d pictures in 20 s", len(pictures))
		}
	}
	return pictures, nil
}

// One viewer after another sees the camera's moving picture, and the sequence
// numbers go on: a client drops what is before the one that it was promised.
func TestStream(t *testing.T) {
	leaktest.Check(t)
	s := start(t, Options{Count: 2, Auth: AuthDigest})
	for _, c := range s.Cameras() {
		for _, p := range profiles {
			url := fmt.Sprintf("rtsp://%s:%d/%s", c.Address().Addr(), c.rtspPort, p.token)
			var last seen
			for viewer := range 2 {
				pictures, err := watch(t, url, "admin", "akri", 3)
				if err != nil {
					t.Fatalf("%s: %v", url, err)
				}
				for _, got := range pictures {
					if got.err != nil || got.camera != c.Number || got.frame <= last.frame || last.frame > 0 && int16(got.first-last.first) <= 0 {
						t.Errorf("%s, viewer %d: %+v after %+v", url, viewer, got, last)
					}
					last = got
				}
			}
		}
	}
	c := s.Cameras()[0]
	url := fmt.Sprintf("rtsp://%s:%d/main", c.Address().Addr(), c.rtspPort)
	for _, who := range [][2]string{{}, {"admin", "wrong"}} {
		if _, err := watch(t, url, who[0], who[1], 1); err == nil {
			t.Errorf("%q sees the stream", who)
		}
	}
}
