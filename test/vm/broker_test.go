//go:build vm

package vm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"io"
	"mime"
	"mime/multipart"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/akri-go/akri/internal/eventually"
	"github.com/akri-go/akri/samples/camera/camerapb"
	"github.com/akri-go/akri/test/vm/guest"
)

// broker is a broker for USB cameras in the guest.
type broker struct {
	t       *testing.T
	g       *guest.Guest
	process *guest.Process
	client  camerapb.CameraClient
	http    *http.Client
}

// startBroker starts a broker with the environment that it has in a Pod.
func startBroker(t *testing.T, g *guest.Guest, node string, env ...string) *broker {
	t.Helper()
	b := connectBroker(t, g)
	b.process = g.Start(t, append([]string{"UDEV_DEVNODE_0AB12F=" + node}, env...), "/bin/usb-camera")
	t.Cleanup(func() {
		b.process.Stop()
		if t.Failed() {
			t.Logf("the broker says:\n%s", b.process.Output())
		}
	})
	return b
}

// connectBroker is for the broker that runs in the guest, whoever has started it.
func connectBroker(t *testing.T, g *guest.Guest) *broker {
	t.Helper()
	dial := func(ctx context.Context, _, address string) (net.Conn, error) { return g.Dial(ctx, "tcp", address) }
	conn, err := grpc.NewClient("passthrough:///127.0.0.1:8083", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) { return dial(ctx, "tcp", address) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &broker{t: t, g: g, client: camerapb.NewCameraClient(conn),
		http: &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}}
}

// frame is a picture that a broker has served.
type frame struct {
	number uint64
	jpeg   []byte
	image.Image
}

// frame asks for the newest picture until one passes check.
func (b *broker) frame(check func(frame) error) (f frame) {
	b.t.Helper()
	eventually.Succeeds(b.t, patience, func(ctx context.Context) error {
		m, err := b.client.GetFrame(ctx, &camerapb.NotifyRequest{}, grpc.WaitForReady(true))
		if err != nil {
			return err
		}
		if len(m.GetFrame()) == 0 {
			return fmt.Errorf("no picture of %s", m.GetCamera())
		}
		img, err := jpeg.Decode(bytes.NewReader(m.GetFrame()))
		if err != nil {
			b.t.Fatalf("what is served is no JPEG: %v", err)
		}
		f = frame{m.GetNumber(), m.GetFrame(), img}
		return check(f)
	})
	return f
}

// after wants a picture that is newer and another than a given one.
func after(old frame) func(frame) error {
	return func(f frame) error {
		if f.number <= old.number || bytes.Equal(f.jpeg, old.jpeg) {
			return fmt.Errorf("still picture %d", f.number)
		}
		return nil
	}
}

func anything(frame) error { return nil }

// get asks the broker by HTTP, at the port of pictures or that of metrics.
func (b *broker) get(port int, path string) *http.Response {
	b.t.Helper()
	request, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d%s", port, path), nil)
	if err != nil {
		b.t.Fatal(err)
	}
	answer, err := b.http.Do(request)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { answer.Body.Close() })
	return answer
}

// metric reads a metric.
func (b *broker) metric(name string) float64 {
	b.t.Helper()
	text, err := io.ReadAll(b.get(8080, "/metrics").Body)
	if err != nil {
		b.t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^` + name + `(?:\{.*\})? (\S+)$`).FindSubmatch(text)
	if found == nil {
		b.t.Fatalf("there is no metric %s:\n%s", name, text)
	}
	value, err := strconv.ParseFloat(string(found[1]), 64)
	if err != nil {
		b.t.Fatal(err)
	}
	return value
}

// says waits until the broker's log has a text.
func (b *broker) says(text string) {
	b.t.Helper()
	eventually.Succeeds(b.t, patience, func(context.Context) error {
		if !strings.Contains(b.process.Output(), text) {
			return fmt.Errorf("the broker does not say %q", text)
		}
		return nil
	})
}

// control sets a control of the camera, while the broker has it.
func (b *broker) control(name string, value int) {
	b.t.Helper()
	b.g.Run(b.t, "/init", "control", "/dev/video0", name, strconv.Itoa(value))
}

// Pictures come in the format that the camera has instead of the wanted one, and
// change.
func testFrames(t *testing.T, g *guest.Guest, _ *handler) {
	b := startBroker(t, g, "/dev/video0")
	first := b.frame(anything)
	if first.Bounds() != image.Rect(0, 0, 640, 480) {
		t.Errorf("the picture is %v", first.Bounds())
	}
	second := b.frame(after(first))
	b.frame(after(second))
	b.says(`format="YUYV with 640×480" wanted="MJPG with 640×480"`)

	snapshot := b.get(8083, "/snapshot")
	if img, err := jpeg.Decode(snapshot.Body); err != nil || img.Bounds() != first.Bounds() {
		t.Errorf("/snapshot, %s: %v", snapshot.Status, err)
	}
	stream := b.get(8083, "/stream")
	_, parameters, err := mime.ParseMediaType(stream.Header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	parts := multipart.NewReader(stream.Body, parameters["boundary"])
	last := 0
	for range 3 {
		part, err := parts.NextPart()
		if err != nil {
			t.Fatal(err)
		}
		number, err := strconv.Atoi(part.Header.Get("X-Frame"))
		if _, decoded := jpeg.Decode(part); err != nil || decoded != nil || number <= last {
			t.Errorf("picture %q after %d of /stream: %v", part.Header.Get("X-Frame"), last, errors.Join(err, decoded))
		}
		last = number
	}
	if n := b.metric("akri_frame_count"); n < 3 {
		t.Errorf("akri_frame_count is %v", n)
	}
}

// Every format that the driver has and the broker knows shows the right colours.
func testFormats(t *testing.T, g *guest.Guest, _ *handler) {
	colours := []struct {
		pattern int // vivid's
		want    color.RGBA
	}{{7, color.RGBA{255, 0, 0, 255}}, {8, color.RGBA{0, 255, 0, 255}}, {9, color.RGBA{0, 0, 255, 255}}, {6, color.RGBA{255, 255, 255, 255}}}
	g.Run(t, "/init", "control", "/dev/video0", "OSD Text Mode", "2") // no text on black
	for _, format := range []string{"YUYV", "UYVY", "NV12", "YU12", "RGB3", "BGR3", "GREY"} {
		t.Run(format, func(t *testing.T) {
			b := startBroker(t, g, "/dev/video0", "FORMAT="+format, "RESOLUTION_WIDTH=300", "RESOLUTION_HEIGHT=200")
			for _, c := range colours {
				if format == "GREY" && c.pattern != 6 {
					continue
				}
				b.control("Test Pattern", c.pattern)
				b.frame(func(f frame) error {
					if f.Bounds() != image.Rect(0, 0, 320, 180) {
						t.Fatalf("the picture is %v", f.Bounds())
					}
					return alike(f, c.want)
				})
			}
			b.says(`format="` + format + ` with 320×180"`)
		})
	}
	g.Run(t, "/init", "control", "/dev/video0", "Test Pattern", "0")
	g.Run(t, "/init", "control", "/dev/video0", "OSD Text Mode", "0")
}

// alike compares the colour of a picture.
func alike(f frame, want color.RGBA) error {
	const tolerance = 24 // of JPEG, and of two conversions
	b := f.Bounds()
	for _, at := range []image.Point{{b.Max.X - 4, b.Max.Y - 4}, {b.Min.X + 4, b.Max.Y - 4}, {b.Max.X / 2, b.Max.Y * 3 / 4}} {
		got := color.RGBAModel.Convert(f.At(at.X, at.Y)).(color.RGBA)
		for _, pair := range [][2]byte{{got.R, want.R}, {got.G, want.G}, {got.B, want.B}} {
			if d := int(pair[0]) - int(pair[1]); d > tolerance || d < -tolerance {
				return fmt.Errorf("at %v the colour is %v, want %v", at, got, want)
			}
		}
	}
	return nil
}

// The camera's other node is for output: the broker says what to do.
func testOutputNode(t *testing.T, g *guest.Guest, _ *handler) {
	b := startBroker(t, g, "/dev/video1")
	b.says(`/dev/video1 (vivid) captures no pictures: another node of the camera does (udev rule ATTR{index}==\"0\")`)
	if m, err := b.client.GetFrame(t.Context(), &camerapb.NotifyRequest{}, grpc.WaitForReady(true)); err != nil || len(m.GetFrame()) > 0 {
		t.Errorf("%v, %v", m, err)
	}
}
