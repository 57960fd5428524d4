//go:build integration

package dashboard

import (
	"context"
	"fmt"
	"log/slog"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/akri-go/akri/internal/browsertest"
	"github.com/akri-go/akri/internal/dashboard/dashboardtest"
	"github.com/akri-go/akri/internal/devcluster/kubetest"
	"github.com/akri-go/akri/internal/explain/snapshot"
)

// run runs a dashboard of a server until the test ends.
func run(t *testing.T, server *kubetest.Server) (address string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	d, err := New(ctx, Options{Config: server.Config, Address: "127.0.0.1:0", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the dashboard ended: %v", err)
		}
	})
	return "http://" + d.Addr().String()
}

// factory is two nodes with USB cameras, a scale, and network cameras that both nodes
// see.
func factory(lab *dashboardtest.Lab) {
	webcams := lab.Configuration("webcam", "udev", 1, map[string]int32{"press-1": 2, "press-2": 1})
	for i, at := range []string{"press-1", "press-1", "press-2"} {
		lab.Broker(lab.Device(webcams, 0xa1+i, fmt.Sprintf("/dev/video%d", i), at), at)
	}
	scales := lab.Configuration("scale", "udev", 2, map[string]int32{"press-2": 1})
	lab.User("weighing", lab.Device(scales, 0x51, "/dev/ttyUSB0", "press-2"), "press-2")
	gates := lab.Configuration("gate-camera", "onvif", 5, map[string]int32{"press-1": 2, "press-2": 2})
	for i := range 2 {
		gate := lab.Device(gates, 0xc1+i, fmt.Sprintf("http://10.0.7.%d/onvif/device_service", 21+i), "press-1", "press-2")
		lab.Broker(gate, "press-1")
		lab.Broker(gate, "press-2")
	}
	lab.Event(webcams, "DeviceFound", `device "/devices/usb1/1-2" came to node press-1`)
}

// The page as a person sees it, on a real API server: states without anything,
// devices that come and go live, why one is not there, why a broker does not run, by
// mouse and by keyboard; what is shown while the API server is away.
func TestPage(t *testing.T) {
	server := kubetest.Start(t)
	api, _, err := snapshot.Client(server.Config)
	if err != nil {
		t.Fatal(err)
	}
	address := run(t, server)
	b := browsertest.Open(t, address)
	b.Wait(`document.getElementById("empty").innerText.includes("No agent runs")`)
	b.Photograph("dashboard-not-installed", 1280, 700, false)
	browsertest.Ask[any](b, "window.kept = 1; null") // lost with a reload

	lab := dashboardtest.New(t, api, "press-1", "press-2")
	b.Wait(`document.getElementById("empty").innerText.includes("No Configuration yet")`)
	factory(lab)
	row := func(name string) string { return fmt.Sprintf(`[data-key="device/factory/%s"]`, name) }
	b.Wait(`document.querySelectorAll(".device").length === 6`)
	b.Wait(`document.getElementById("count-devices").innerText === "6" && document.getElementById("count-slots").innerText === "8 of 15"`)
	b.Wait(`document.getElementById("answer").innerText === "All is well"`)
	b.Wait(`document.getElementById("events").innerText.includes("came to node press-1")`)
	b.Photograph("dashboard-desktop", 1280, 900, false)
	b.Photograph("dashboard-desktop-dark", 1280, 900, true)
	b.Photograph("dashboard-phone", 390, 844, false)
	b.Photograph("dashboard-phone-dark", 390, 844, true)
	b.Do(chromedp.EmulateViewport(1280, 900))

	// A device is plugged in, used, unplugged.
	scales := lab.Configuration("scanner", "udev", 1, map[string]int32{"press-1": 1})
	scanner := lab.Device(scales, 0x11, "/dev/hidraw3", "press-1")
	b.Wait(`document.querySelector('` + row("scanner-000011") + ` .free')?.innerText === "no broker yet"`)
	b.Wait(`document.getElementById("news").textContent.includes("/dev/hidraw3 has come")`)
	broker := lab.Broker(scanner, "press-1")
	b.Wait(`document.querySelector('` + row("scanner-000011") + ` .user')?.dataset.health === "ready"`)
	lab.Fails(dashboardtest.Namespace, broker)
	b.Wait(`document.querySelector('` + row("scanner-000011") + ` .user')?.dataset.health === "broken"`)
	b.Wait(`document.querySelector("#wrong li")?.innerText.includes("` + broker + `")`)

	// Why it does not run, by the keyboard.
	b.Do(chromedp.Focus(row("scanner-000011")+" .user"), chromedp.KeyEvent(kb.Enter))
	b.Wait(`document.getElementById("why").open && document.getElementById("why-body").innerText.includes("Back-off pulling image")`)
	b.Wait(`document.getElementById("why-body").innerText.includes("kubectl -n factory describe pod ` + broker + `")`)
	b.Photograph("dashboard-why", 1280, 900, false)
	b.Photograph("dashboard-why-phone", 390, 844, true)
	lab.Runs(dashboardtest.Namespace, broker) // the answer follows, too
	b.Wait(`document.querySelector("#why .verdict").innerText.includes("is well")`)
	b.Do(chromedp.KeyEvent(kb.Escape))
	b.Wait(`!document.getElementById("why").open && location.hash === ""`)

	// Why a device is not there.
	b.Do(chromedp.EmulateViewport(1280, 900), chromedp.SendKeys("#find", "/dev/video7"), chromedp.KeyEvent(kb.Enter))
	b.Wait(`document.getElementById("why-body").innerText.includes("akri discover udev --rule-help /dev/video7")`)
	b.Wait(`document.getElementById("why-title").innerText === "Device /dev/video7"`)
	b.Do(chromedp.Click("#close"))
	browsertest.Ask[any](b, `const f = document.getElementById("find"); f.value = ""; f.dispatchEvent(new Event("input")); null`)

	lab.Unplug(scanner)
	b.Wait(`document.querySelector('` + row("scanner-000011") + `')?.dataset.state === "missing"`)
	browsertest.Ask[any](b, "document.activeElement.blur(); null")
	b.Photograph("dashboard-wrong", 1280, 900, false)
	b.Do(chromedp.Click("#ask")) // with nothing in the field
	b.Wait(`document.getElementById("why-title").innerText === "The cluster"`)
	b.Wait(`document.getElementById("why-body").innerText.includes("the device is missing")`)
	b.Do(chromedp.Click("#close"), chromedp.Click("#only"))
	b.Wait(`document.querySelectorAll(".device").length === 1`)
	b.Do(chromedp.Click("#only"))
	lab.Delete(scanner)
	b.Wait(`!document.querySelector('` + row("scanner-000011") + `')`)

	// As a table.
	b.Do(chromedp.Click(`[value=table]`))
	b.Wait(`document.querySelectorAll("tbody tr").length === 6`)
	b.Do(chromedp.Click(`thead th:nth-child(2) button`))
	b.Wait(`document.querySelector("tbody tr td").innerText === "gate-camera"`)
	b.Photograph("dashboard-table", 1280, 900, false)
	b.Photograph("dashboard-table-phone", 390, 844, false)

	server.Stop()
	b.Wait(`document.getElementById("notice").innerText.includes("The API server does not answer since")`)
	b.Wait(`document.querySelectorAll("tbody tr").length === 6`)
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.Wait(`document.getElementById("notice").hidden`)

	if nameless := b.Nameless("button, a, input"); len(nameless) > 0 {
		t.Errorf("without a name: %s", nameless)
	}
	if browsertest.Ask[int](b, "window.kept") != 1 {
		t.Error("the page was loaded again")
	}
	b.Quiet()
}

// With a token, a browser asks for it once, or gets it from the address.
func TestPageWithToken(t *testing.T) {
	address, _ := serve(t, newLab(1), "0123456789abcdef")
	b := browsertest.Open(t, address)
	b.Wait(`document.getElementById("login").open`)
	b.Do(chromedp.SendKeys("#token", "wrong"), chromedp.KeyEvent(kb.Enter))
	b.Wait(`document.getElementById("login-error").innerText === "this is not the token"`)
	browsertest.Ask[any](b, `document.getElementById("token").value = ""; null`)
	b.Do(chromedp.SendKeys("#token", "0123456789abcdef"), chromedp.KeyEvent(kb.Enter))
	b.Wait(`!document.getElementById("login").open && document.getElementById("link").innerText === "live"`)

	other := browsertest.Open(t, address+"/#token=0123456789abcdef")
	other.Wait(`document.getElementById("link").innerText === "live" && location.hash === ""`)
	other.Quiet()
	b.Quiet("401", "403") // what it is about
}

// Of a thousand devices, those that are wrong are shown first, and all that change are
// followed.
func TestThousandDevices(t *testing.T) {
	l := newLab(1000)
	address, _ := serve(t, l, "")
	b := browsertest.Open(t, address)
	b.Wait(`document.getElementById("count-devices").innerText === "1,000"`)
	if n := browsertest.Ask[int](b, `document.querySelectorAll(".device").length`); n > 100 {
		t.Errorf("%d rows are drawn", n)
	}
	for i := range int64(20) {
		l.set(1000, i+1)
	}
	b.Wait(`document.getElementById("count-slots").innerText === "0 of 20,000"`)
	b.Do(chromedp.Click(".more"))
	b.Wait(`document.querySelectorAll(".device").length === 1000`)
	b.Do(chromedp.SendKeys("#find", "cam-0003e7"))
	b.Wait(`document.querySelectorAll(".device").length === 1`)
	b.Photograph("dashboard-many", 1280, 900, false)
	b.Quiet()
}

// What strangers call their devices is text, whatever it is.
func TestHostileNames(t *testing.T) {
	const name = `<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>`
	l := newLab(1)
	l.change(func() {
		l.seen.Instances[0].Status.Device = name
		l.seen.Instances[0].Spec.BrokerProperties = map[string]string{name: name}
	})
	address, _ := serve(t, l, "")
	b := browsertest.Open(t, address)
	shown := func(selector string) string {
		return fmt.Sprintf("document.querySelector(%q)?.innerText === %q", selector, name)
	}
	b.Wait(shown(".device .label"))
	b.Do(chromedp.Click(".device .plug"))
	b.Wait(shown("#why-body dd"))
	b.Do(chromedp.Click("#close"), chromedp.Click("[value=table]"))
	b.Wait(shown("tbody th"))
	if browsertest.Ask[bool](b, `window.hacked === 1 || document.querySelector("main img, dialog img, main script") !== null`) {
		t.Error("a name became markup")
	}
	b.Quiet()
}
