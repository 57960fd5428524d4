package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"image"
	"image/jpeg"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/bluenviron/gortsplib/v5"
	"github.com/bluenviron/gortsplib/v5/pkg/base"
	"github.com/bluenviron/gortsplib/v5/pkg/description"
	"github.com/bluenviron/gortsplib/v5/pkg/format"
	"github.com/bluenviron/gortsplib/v5/pkg/format/rtpmjpeg"
	"github.com/pion/rtp"

	"github.com/akri-go/akri/internal/leaktest"
	"github.com/akri-go/akri/internal/onvif/soap"
	"github.com/akri-go/akri/samples/camera"
)

// streamer is an RTSP server, made with the same library, that sends the packets
// that a test wants.
type streamer struct {
	*gortsplib.Server

	stream *gortsplib.ServerStream
	played chan struct{}
	conn   *gortsplib.ServerConn // when it is played
}

func (s *streamer) OnDescribe(*gortsplib.ServerHandlerOnDescribeCtx) (*base.Response, *gortsplib.ServerStream, error) {
	return &base.Response{StatusCode: base.StatusOK}, s.stream, nil
}

func (s *streamer) OnSetup(*gortsplib.ServerHandlerOnSetupCtx) (*base.Response, *gortsplib.ServerStream, error) {
	return &base.Response{StatusCode: base.StatusOK}, s.stream, nil
}

func (s *streamer) OnPlay(ctx *gortsplib.ServerHandlerOnPlayCtx) (*base.Response, error) {
	s.conn = ctx.Conn
	close(s.played)
	return &base.Response{StatusCode: base.StatusOK}, nil
}

func serveRTSP(t *testing.T, f format.Format) (*streamer, soap.Target) {
	t.Helper()
	leaktest.Check(t)
	s := &streamer{played: make(chan struct{})}
	var at netip.AddrPort
	s.Server = &gortsplib.Server{Handler: s, RTSPAddress: "127.0.0.1:0", Listen: func(_, address string) (net.Listener, error) {
		l, err := net.Listen("tcp", address)
		if err == nil {
			at = l.Addr().(*net.TCPAddr).AddrPort()
		}
		return l, err
	}}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	s.stream = &gortsplib.ServerStream{Server: s.Server, Desc: &description.Session{Medias: []*description.Media{{
		Type: description.MediaTypeVideo, Formats: []format.Format{f}}}}}
	if err := s.stream.Initialize(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.stream.Close)
	return s, soap.Target{URL: &url.URL{Scheme: "rtsp", Host: at.String(), Path: "/x"}, Address: at}
}

// Packets of any kind do no harm, and the pictures between them come.
func TestHostilePackets(t *testing.T) {
	s, target := serveRTSP(t, &format.MJPEG{})
	var encoder rtpmjpeg.Encoder
	if err := encoder.Init(); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, image.NewYCbCr(image.Rect(0, 0, 64, 48), image.YCbCrSubsampleRatio420), nil); err != nil {
		t.Fatal(err)
	}
	pictures := make(chan []byte, 100)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- stream(ctx, target, soap.Options{}, slog.New(slog.DiscardHandler), func(p []byte) error {
			p, err := camera.Complete(p)
			if err == nil {
				pictures <- p
			}
			return err
		})
	}()
	<-s.played
	sequence := uint16(0)
	send := func(payload []byte, marker bool) {
		t.Helper()
		sequence++
		err := s.stream.WritePacketRTP(s.stream.Desc.Medias[0], &rtp.Packet{Payload: payload, Header: rtp.Header{
			Version: 2, PayloadType: 26, SSRC: 1, SequenceNumber: sequence, Marker: marker}})
		if err != nil {
			t.Fatal(err)
		}
	}
	good := func() {
		t.Helper()
		packets, err := encoder.Encode(b.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range packets {
			send(p.Payload, p.Marker)
		}
		select {
		case p := <-pictures:
			if _, err := jpeg.Decode(bytes.NewReader(p)); err != nil {
				t.Error(err)
			}
		case err := <-ended:
			t.Fatal(err)
		case <-time.After(patience):
			t.Fatal("no picture")
		}
	}
	for _, payload := range [][]byte{
		{0}, {0, 0, 0, 0, 1, 0, 8, 6}, {0, 0, 0, 0, 1, 255, 8, 6, 0}, {0, 0, 0, 0, 1, 255, 8, 6, 0, 0, 0, 128, 1},
		{0, 255, 255, 255, 1, 80, 8, 6, 0}, {0, 0, 0, 0, 64, 80, 8, 6, 1, 2}, {0, 0, 0, 0, 1, 80, 0, 0, 1},
	} {
		send(payload, true)
		send(payload, false)
		good()
	}
	cancel()
	if err := <-ended; err == nil {
		t.Error("it does not say why it has ended")
	}
}

// What a stream is that cannot be shown is said.
func TestOtherCodec(t *testing.T) {
	sps, _ := base64.StdEncoding.DecodeString("Z0LADNoPCaEAAAMAAQAAAwAyjxgxlg==")
	_, target := serveRTSP(t, &format.H264{PayloadTyp: 96, PacketizationMode: 1, SPS: sps, PPS: []byte{0x68, 0xce, 0x3c, 0x80}})
	err := stream(t.Context(), target, soap.Options{}, slog.New(slog.DiscardHandler), func([]byte) error { return nil })
	if err == nil || !strings.Contains(err.Error(), "the stream is H264, which this broker does not decode") {
		t.Error(err)
	}
}

// Something else than RTSP answers, or nothing.
func TestNoRTSP(t *testing.T) {
	leaktest.Check(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				junk := bytes.Repeat([]byte{0xff, 0xd8, '$', 0, 0xff, 0xff}, 4096)
				for range 1000 {
					if _, err := c.Write(junk); err != nil {
						return
					}
				}
			}()
		}
	}()
	at := l.Addr().(*net.TCPAddr).AddrPort()
	target := soap.Target{URL: &url.URL{Scheme: "rtsp", Host: at.String(), Path: "/x"}, Address: at}
	if err := stream(t.Context(), target, soap.Options{}, slog.New(slog.DiscardHandler), nil); err == nil {
		t.Error("no error")
	} else {
		t.Log(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := stream(ctx, target, soap.Options{}, slog.New(slog.DiscardHandler), nil); err == nil {
		t.Error("no error")
	}
}

func TestPieces(t *testing.T) {
	piece := func(offset, size int) []byte {
		p := make([]byte, headerBytes+size)
		p[1], p[2], p[3] = byte(offset>>16), byte(offset>>8), byte(offset)
		return p
	}
	var f frame
	if f.take(piece(0, 0), false) == nil {
		t.Error("an empty piece is taken")
	}
	n := 0
	for offset := 1; f.take(piece(offset, 1), false) == nil; offset++ {
		n++
	}
	if n != maxPieces {
		t.Errorf("%d pieces", n)
	}
	if f.take(piece(n, 1), true) == nil {
		t.Error("the last piece of too many is taken")
	}
	n = 0
	for offset := 0; f.take(piece(offset, 60000), false) == nil; offset += 60000 {
		n += 60000
	}
	if n > camera.MaxFrameBytes || n < camera.MaxFrameBytes/2 {
		t.Errorf("%d bytes", n)
	}
	if err := f.take(piece(0, 1), true); err != nil {
		t.Errorf("the next picture: %v", err)
	}
}

func FuzzPieces(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0, 1, 80, 8, 6, 1}, []byte{0, 0, 0, 1, 1, 80, 8, 6, 0xff, 0xd9}, true)
	f.Add(append([]byte{0, 0, 0, 0, 1, 255, 8, 6, 0, 0, 0, 64}, make([]byte, 70)...), []byte{1}, false)
	f.Fuzz(func(t *testing.T, a, b []byte, marker bool) {
		var pieces frame
		var decoder rtpmjpeg.Decoder
		for i, payload := range [][]byte{a, b, a} {
			last := marker || i == 2
			if pieces.take(payload, last) != nil {
				continue
			}
			picture, err := decoder.Decode(&rtp.Packet{Payload: payload, Header: rtp.Header{Marker: last}})
			if err == nil {
				_, _ = camera.Complete(picture)
			}
		}
	})
}
