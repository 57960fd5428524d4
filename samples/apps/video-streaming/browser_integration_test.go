//go:build integration

package main

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/akri-go/akri/internal/browsertest"
	"github.com/akri-go/akri/internal/freeport"
	"github.com/akri-go/akri/internal/gobuild"
	"github.com/akri-go/akri/samples/simulators/camera/simulator"
)

// runBroker runs a broker for a camera of the simulator, and returns its address.
func runBroker(t *testing.T, program string, c *simulator.Camera) (address string) {
	t.Helper()
	port, metrics := freeport.Port(t), freeport.Port(t)
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
		DiscoveryPort: freeport.Port(t)})
	if err == nil {
		err = sim.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	defer sim.Close()
	cameras := sim.Cameras()
	broker := gobuild.Program(t, "github.com/akri-go/akri/samples/brokers/ip-camera")
	b := browsertest.Open(t, "http://"+address+"/")
	moves := func(selector string, number int) {
		t.Helper()
		b.Moves(selector, number, simulator.ReadMarks)
	}
	b.Wait(`!document.getElementById("none").hidden`)
	b.Photograph("none", 1280, 900, false)
	browsertest.Ask[any](b, "window.kept = 1; null") // lost with a reload

	one, two := runBroker(t, broker, cameras[0]), runBroker(t, broker, cameras[1])
	list := []source{{mainID, one}, {"akri-onvif-111111", one}, {"akri-onvif-222222", two}}
	h.set(list, nil)
	tile := func(n int) string {
		return fmt.Sprintf("li[data-id=akri-onvif-%s]", strings.Repeat(strconv.Itoa(n), 6))
	}
	moves("#large canvas", 1)
	moves(tile(1)+" canvas", 1)
	moves(tile(2)+" canvas", 2)
	b.Wait(`document.getElementById("sum").textContent === "2 cameras, 2 live"`)
	b.Photograph("desktop-light", 1280, 900, false)

	began := time.Now()
	h.set(append(list, source{"akri-onvif-333333", runBroker(t, broker, cameras[2])}), nil)
	moves(tile(3)+" canvas", 3)
	t.Logf("%v from the start of a broker to its third picture on the page", time.Since(began))
	b.Wait(`document.getElementById("news").textContent.includes("is live")`)
	b.Photograph("desktop-dark", 1280, 900, true)
	b.Photograph("phone-light", 390, 844, false)
	b.Photograph("phone-dark", 390, 844, true)

	b.Do(chromedp.EmulateViewport(1280, 900), chromedp.Click(tile(2)+" button"))
	moves("#large canvas", 2)
	b.Do(chromedp.Focus(tile(3)+" button"), chromedp.KeyEvent(kb.Enter))
	moves("#large canvas", 3)
	b.Wait(`document.querySelector("` + tile(3) + ` button").ariaPressed === "true"`)

	if err := cameras[2].Vanish(); err != nil {
		t.Fatal(err)
	}
	b.Wait(`document.querySelector("` + tile(3) + ` .state").textContent.startsWith("Camera lost")`)
	moves(tile(1)+" canvas", 1)
	b.Photograph("lost", 1280, 900, false)
	h.set(list, nil) // it is given up
	b.Wait(`document.querySelectorAll("#tiles li").length === 2`)
	moves("#large canvas", 1)

	b.Do(chromedp.Click("#pause"))
	b.Wait(`document.getElementById("pause").ariaPressed === "true"`)
	b.Do(chromedp.Click("#pause"))
	moves(tile(2)+" canvas", 2)

	// What a screen reader says of it: every picture and button has a name.
	if nameless := b.Nameless("canvas, button"); len(nameless) > 0 {
		t.Errorf("without a name: %s", nameless)
	}
	if browsertest.Ask[int](b, "window.kept") != 1 {
		t.Error("the page was loaded again")
	}
	b.Quiet()
}

// A camera changes its resolution, and sends something that is no picture at all
// between: the page shows what comes, as large as it is.
func TestResolution(t *testing.T) {
	h, address := serveHub(t)
	broker := new(counted)
	h.set([]source{{"a", serveCamera(t, broker)}}, nil)
	put := func(p []byte) {
		t.Helper()
		if err := broker.latest.Put("c", p, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	put(shadeOf(t, 1, 64, 48))
	b := browsertest.Open(t, "http://"+address+"/")
	shows := func(width, height int) {
		t.Helper()
		b.Wait(fmt.Sprintf(`["#large canvas", "li canvas"].every(s => document.querySelector(s).width === %d && document.querySelector(s).height === %d)`, width, height))
	}
	shows(64, 48)
	put(shadeOf(t, 2, 320, 240))
	shows(320, 240)
	bad := shadeOf(t, 3, 640, 480) // in whole segments, and then nothing that can be decoded
	for i := len(bad) - 200; i < len(bad)-2; i++ {
		bad[i] = 0x55
	}
	put(bad)
	put(shadeOf(t, 4, 48, 64))
	shows(48, 64)
	b.Quiet()
}
