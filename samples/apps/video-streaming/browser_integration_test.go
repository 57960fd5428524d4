//go:build integration

package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"image/jpeg"
	"image/png"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/akri-go/akri/internal/eventually"
	"github.com/akri-go/akri/internal/peers"
	"github.com/akri-go/akri/samples/simulators/camera/simulator"
)

// browser is a page in a headless Chromium.
type browser struct {
	t   *testing.T
	ctx context.Context

	mu   sync.Mutex
	said []string // errors of the page
}

func open(t *testing.T, url string) *browser {
	t.Helper()
	peers.Install(t, "chromium")
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]), chromedp.ExecPath("/usr/bin/chromium"), chromedp.NoSandbox,
		chromedp.UserDataDir(t.TempDir()))
	allocator, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	ctx, cancel := chromedp.NewContext(allocator)
	t.Cleanup(cancel)
	b := &browser{t: t, ctx: ctx}
	err := chromedp.Listen(ctx, func(event any) { // it starts the browser, too
		b.mu.Lock()
		defer b.mu.Unlock()
		switch e := event.(type) {
		case *runtime.EventExceptionThrown:
			b.said = append(b.said, fmt.Sprintf("%+v", *e.ExceptionDetails))
		case *log.EventEntryAdded: // what the policy forbids, among others
			b.said = append(b.said, fmt.Sprintf("%+v", *e.Entry))
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	b.do(chromedp.EmulateViewport(1280, 900), chromedp.Navigate(url))
	return b
}

func (b *browser) do(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		b.t.Fatal(err)
	}
}

// ask evaluates an expression of JavaScript.
func ask[T any](b *browser, expression string) T {
	b.t.Helper()
	return get(b, chromedp.Evaluate[T](expression))
}

func get[T any](b *browser, action chromedp.Action[T]) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	result, err := chromedp.Run(ctx, action)
	if err != nil {
		b.t.Fatal(err)
	}
	return result
}

// wait waits until an expression is true.
func (b *browser) wait(expression string) {
	b.t.Helper()
	eventually.Succeeds(b.t, patience, func(context.Context) error {
		if !ask[bool](b, expression) {
			return fmt.Errorf("%s is not so; the page: %s", expression, ask[string](b, "document.body.innerText"))
		}
		return nil
	})
}

// shown reads camera and frame from the picture in a canvas.
func (b *browser) shown(selector string) (camera int, frame uint32, err error) {
	b.t.Helper()
	url := ask[string](b, fmt.Sprintf(`document.querySelector(%q)?.toDataURL("image/png") || ""`, selector))
	data, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(url, "data:image/png;base64,"))
	if err != nil {
		return 0, 0, err
	}
	img, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		return 0, 0, err
	}
	return simulator.ReadMarks(img)
}

// moves waits until a canvas shows a camera whose picture moves.
func (b *browser) moves(selector string, number int) {
	b.t.Helper()
	first := uint32(0)
	eventually.Succeeds(b.t, patience, func(context.Context) error {
		camera, frame, err := b.shown(selector)
		switch {
		case err != nil:
			return fmt.Errorf("%s: %w", selector, err)
		case camera != number:
			return fmt.Errorf("%s shows camera %d, want %d", selector, camera, number)
		case first == 0:
			first = frame
		}
		if frame < first+3 {
			return fmt.Errorf("%s shows frame %d after %d", selector, frame, first)
		}
		return nil
	})
}

// photograph keeps a picture of the page, if there is a folder for it.
func (b *browser) photograph(name string, width, height int64, dark bool) {
	b.t.Helper()
	scheme := "light"
	if dark {
		scheme = "dark"
	}
	b.do(chromedp.EmulateViewport(width, height), chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
		return err
	}))
	b.wait(fmt.Sprintf("document.documentElement.scrollWidth <= %d", width)) // nothing is cut off
	picture := get(b, chromedp.FullScreenshot(80))
	if dir := os.Getenv("AKRI_SCREENSHOTS"); dir != "" {
		if err := os.WriteFile(filepath.Join(dir, name+".jpg"), picture, 0o644); err != nil {
			b.t.Error(err)
		}
	}
	if _, err := jpeg.DecodeConfig(bytes.NewReader(picture)); err != nil {
		b.t.Error(err)
	}
}

func free(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// program builds the broker for network cameras.
func program(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ip-camera")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", path, "github.com/akri-go/akri/samples/brokers/ip-camera").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return path
}

// runBroker runs a broker for a camera of the simulator, and returns its address.
func runBroker(t *testing.T, program string, c *simulator.Camera) (address string) {
	t.Helper()
	port, metrics := free(t), free(t)
	cmd := exec.Command(program)
	cmd.Env = append(os.Environ(), "ONVIF_DEVICE_SERVICE_URL_ABCDEF="+c.XAddr(), "CAMERA_USERNAME=admin", "CAMERA_PASSWORD=akri",
		fmt.Sprintf("ONVIF_DEVICE_NAME_ABCDEF=%s, %s", c.Name, c.Location), "PORT="+strconv.Itoa(port), "METRICS_PORT="+strconv.Itoa(metrics), "ONVIF_DEVICE_UUID_ABCDEF="+c.UUID)
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("broker of camera %d:\n%s", c.Number, said.String())
		}
	})
	return "127.0.0.1:" + strconv.Itoa(port)
}

// The page as a person sees it, with simulated cameras and real brokers: pictures
// move, cameras come, are lost, and go without a reload, one is made large by mouse
// and by keyboard, and the page stands still when it is told to.
func TestPage(t *testing.T) {
	h, address := serveHub(t)
	sim, err := simulator.New(simulator.Options{Addresses: []netip.Addr{netip.MustParseAddr("127.0.0.1")}, Count: 3, Auth: simulator.AuthDigest,
		DiscoveryPort: free(t)})
	if err == nil {
		err = sim.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	defer sim.Close()
	cameras := sim.Cameras()
	broker := program(t)
	b := open(t, "http://"+address+"/")
	b.wait(`!document.getElementById("none").hidden`)
	b.photograph("none", 1280, 900, false)
	ask[any](b, "window.kept = 1; null") // lost with a reload

	one, two := runBroker(t, broker, cameras[0]), runBroker(t, broker, cameras[1])
	list := []source{{mainID, one}, {"akri-onvif-111111", one}, {"akri-onvif-222222", two}}
	h.set(list, nil)
	tile := func(n int) string {
		return fmt.Sprintf("li[data-id=akri-onvif-%s]", strings.Repeat(strconv.Itoa(n), 6))
	}
	b.moves("#large canvas", 1)
	b.moves(tile(1)+" canvas", 1)
	b.moves(tile(2)+" canvas", 2)
	b.wait(`document.getElementById("sum").textContent === "2 cameras, 2 live"`)
	b.photograph("desktop-light", 1280, 900, false)

	began := time.Now()
	h.set(append(list, source{"akri-onvif-333333", runBroker(t, broker, cameras[2])}), nil)
	b.moves(tile(3)+" canvas", 3)
	t.Logf("%v from the start of a broker to its third picture on the page", time.Since(began))
	b.wait(`document.getElementById("news").textContent.includes("is live")`)
	b.photograph("desktop-dark", 1280, 900, true)
	b.photograph("phone-light", 390, 844, false)
	b.photograph("phone-dark", 390, 844, true)

	b.do(chromedp.EmulateViewport(1280, 900), chromedp.Click(tile(2)+" button"))
	b.moves("#large canvas", 2)
	b.do(chromedp.Focus(tile(3)+" button"), chromedp.KeyEvent(kb.Enter))
	b.moves("#large canvas", 3)
	b.wait(`document.querySelector("` + tile(3) + ` button").ariaPressed === "true"`)

	if err := cameras[2].Vanish(); err != nil {
		t.Fatal(err)
	}
	b.wait(`document.querySelector("` + tile(3) + ` .state").textContent.startsWith("Camera lost")`)
	b.moves(tile(1)+" canvas", 1)
	b.photograph("lost", 1280, 900, false)
	h.set(list, nil) // it is given up
	b.wait(`document.querySelectorAll("#tiles li").length === 2`)
	b.moves("#large canvas", 1)

	b.do(chromedp.Click("#pause"))
	b.wait(`document.getElementById("pause").ariaPressed === "true"`)
	b.do(chromedp.Click("#pause"))
	b.moves(tile(2)+" canvas", 2)

	// What a screen reader says of it: every picture and button has a name.
	nameless := ask[[]string](b, `[...document.querySelectorAll("canvas, button")].filter(e => e.checkVisibility() &&
		!(e.ariaLabel || e.textContent).trim()).map(e => e.outerHTML)`)
	if len(nameless) > 0 {
		t.Errorf("without a name: %s", nameless)
	}
	if ask[int](b, "window.kept") != 1 {
		t.Error("the page was loaded again")
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.said) > 0 {
		t.Errorf("the page says: %s", strings.Join(b.said, "\n"))
	}
}
