package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/bluenviron/gortsplib/v5/pkg/format"
	"github.com/bluenviron/gortsplib/v5/pkg/format/rtpmjpeg"
	"github.com/pion/rtp"

	"github.com/akri-go/akri/internal/leaktest"
	"github.com/akri-go/akri/internal/onvif/soap"
	"github.com/akri-go/akri/samples/camera"
)

// noise is a picture that takes many packets.
func noise(t *testing.T, width, height int) []byte {
	t.Helper()
	img := image.NewYCbCr(image.Rect(0, 0, width, height), image.YCbCrSubsampleRatio420)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range img.Y {
		img.Y[i] = byte(random.UintN(256))
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// sizeOf returns the size of a picture, all of which can be decoded.
func sizeOf(p []byte) (string, error) {
	p, err := camera.Complete(p)
	if err != nil {
		return "", err
	}
	img, err := jpeg.Decode(bytes.NewReader(p))
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%dx%d", img.Bounds().Dx(), img.Bounds().Dy()), nil
}

// A stream changes its resolution, a packet is lost, and the camera disappears in
// the middle of a picture: whole pictures come, and no others.
func TestBrokenStream(t *testing.T) {
	s, target := serveRTSP(t, &format.MJPEG{})
	var encoder rtpmjpeg.Encoder
	if err := encoder.Init(); err != nil {
		t.Fatal(err)
	}
	came := make(chan string, 100)
	ended := make(chan error, 1)
	go func() {
		ended <- stream(t.Context(), target, soap.Options{}, slog.New(slog.DiscardHandler), func(p []byte) error {
			size, err := sizeOf(p)
			if err != nil {
				size = err.Error()
			}
			came <- size
			return err
		})
	}()
	<-s.played
	small, large := noise(t, 64, 48), noise(t, 320, 240)
	send := func(picture []byte, which func(i, of int) bool) {
		t.Helper()
		packets, err := encoder.Encode(picture)
		if err != nil {
			t.Fatal(err)
		}
		for i, p := range packets {
			if !which(i, len(packets)) {
				continue
			}
			err := s.stream.WritePacketRTP(s.stream.Desc.Medias[0], &rtp.Packet{Payload: p.Payload, Header: rtp.Header{
				Version: 2, PayloadType: 26, SSRC: 1, SequenceNumber: p.SequenceNumber, Marker: p.Marker}})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	want := func(size string) {
		t.Helper()
		select {
		case got := <-came:
			if got != size {
				t.Fatalf("there is %s, want %s", got, size)
			}
		case err := <-ended:
			t.Fatal(err)
		case <-time.After(patience):
			t.Fatalf("%s does not come", size)
		}
	}
	all := func(int, int) bool { return true }
	send(small, all)
	want("64x48")
	send(large, all)
	want("320x240")
	for _, lost := range []func(i, of int) bool{
		func(i, of int) bool { return i != of/2 },
		func(i, _ int) bool { return i != 0 },
		func(i, of int) bool { return i != of-1 },
		func(i, of int) bool { return i < of/2 },
	} {
		send(large, lost)
		send(small, all)
		want("64x48")
	}
	send(large, func(i, of int) bool { return i < of/2 })
	s.conn.Close()
	select {
	case err := <-ended:
		if err == nil || !strings.Contains(err.Error(), "RTSP at") {
			t.Errorf("the end: %v", err)
		}
	case <-time.After(patience):
		t.Fatal("it does not end")
	}
	select {
	case got := <-came:
		t.Errorf("of half a picture there is %s", got)
	default:
	}
}

// Snapshots of another size, ones that end in the middle, and what is none.
func TestBrokenSnapshots(t *testing.T) {
	leaktest.Check(t)
	small, large := noise(t, 64, 48), noise(t, 320, 240)
	whole := func(p []byte) http.HandlerFunc { return func(w http.ResponseWriter, _ *http.Request) { w.Write(p) } }
	answers := []http.HandlerFunc{
		whole(small), whole(large),
		func(w http.ResponseWriter, _ *http.Request) { // it ends
			w.Header().Set("Content-Length", fmt.Sprint(len(large)))
			w.Write(large[:len(large)/2])
			panic(http.ErrAbortHandler)
		},
		whole(large[:len(large)/2]), // and is said to be all
		whole([]byte("<html>It works!</html>")), whole(nil), whole(make([]byte, camera.MaxFrameBytes+1)),
		whole(large),
	}
	next := make(chan http.HandlerFunc, len(answers))
	for _, a := range answers {
		next <- a
	}
	close(next)
	ctx, cancel := context.WithCancel(t.Context())
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if answer, ok := <-next; ok {
			answer(w, r)
			return
		}
		cancel() // all is said
	}))
	defer server.Close()
	target := targetOf(t, server)
	var sizes []string
	for ctx.Err() == nil { // as a Follower does
		err := snapshots(ctx, target, soap.Options{Timeout: 2 * patience}, time.Millisecond, func(p []byte) error {
			size, err := sizeOf(p)
			if err == nil {
				sizes = append(sizes, size)
			}
			return err
		})
		if err == nil {
			t.Fatal(errors.New("it ends without a reason"))
		}
	}
	if got := strings.Join(sizes, " "); got != "64x48 320x240 320x240" {
		t.Errorf("there are %s", got)
	}
}

// A snapshot that stalls in the middle is given up.
func TestStalledSnapshot(t *testing.T) {
	leaktest.Check(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Write(noise(t, 64, 48)[:500])
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	defer server.Close()
	err := snapshots(t.Context(), targetOf(t, server), soap.Options{Timeout: 100 * time.Millisecond}, time.Millisecond, func(p []byte) error {
		t.Errorf("there is a picture of %d bytes", len(p))
		return nil
	})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

func targetOf(t *testing.T, server *httptest.Server) soap.Target {
	t.Helper()
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	return soap.Target{URL: u, Address: netip.MustParseAddrPort(u.Host)}
}
