//go:build integration

package main

import (
	"fmt"
	"math"
	"strconv"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/akri-go/akri/internal/browsertest"
	"github.com/akri-go/akri/internal/freeport"
	"github.com/akri-go/akri/internal/gobuild"
	"github.com/akri-go/akri/internal/handlers/opcua/opcuatest"
	"github.com/akri-go/akri/samples/services"
)

// The page as a person sees it, with node-opcua's servers and real brokers: a value
// that is an outlier is marked at once, servers come, are lost, come back and go
// without a reload, and the page stands still when it is told to.
func TestPage(t *testing.T) {
	h, address := serveHub(t)
	node := opcuatest.StartNode(t, opcuatest.InstallNode(t))
	broker := gobuild.Program(t, "github.com/akri-go/akri/samples/brokers/opcua-monitoring")
	b := browsertest.Open(t, "http://"+address+"/")
	b.Wait(`!document.getElementById("none").hidden`)
	b.Photograph("anomaly-none", 1280, 900, false)
	browsertest.Ask[any](b, "window.kept = 1; null") // lost with a reload

	ports := []int{freeport.Port(t), freeport.Port(t)}
	name := func(i int) string { return fmt.Sprintf("127.0.0.1:%d/press%d", ports[i], i) }
	url := func(i int) string { return "opc.tcp://" + name(i) }
	node.Thermometer("press0", "127.0.0.1", ports[0], "None")
	one, _, _ := runBroker(t, broker, url(0))
	two, _, stopTwo := runBroker(t, broker, url(1)) // there is no server yet
	list := []services.Source{{ID: "akri-opcua-monitoring-111111", Address: one}, {ID: "akri-opcua-monitoring-222222", Address: two}}
	h.watched(list, nil)
	const first, second = `li[data-id=akri-opcua-monitoring-111111]`, `li[data-id=akri-opcua-monitoring-222222]`
	text := func(selector, want string) string {
		return fmt.Sprintf(`document.querySelector(%q)?.textContent.includes(%q)`, selector, want)
	}
	b.Wait(text(first+" .value", "75"))
	b.Wait(text(first+" .verdict", "Usual"))
	b.Wait(text(first+" .name", name(0)))
	b.Wait(text(second+" .state", "Waiting for a value"))
	b.Wait(text("#sum", "2 servers, 1 live"))
	node.Thermometer("press1", "127.0.0.1", ports[1], "None")
	b.Wait(text("#sum", "2 servers, 2 live"))
	for _, v := range []float64{74, 76.5, 78, 71, 72.5, 75} { // a line to look at
		node.Set("press0", v)
		b.Wait(text(first+" .value", strconv.FormatFloat(v, 'g', -1, 64)))
	}

	node.Set("press0", 120)
	b.Wait(text(first+" .verdict", "Outlier"))
	b.Wait(`document.querySelector("` + first + `").classList.contains("alarm")`)
	b.Wait(`document.querySelectorAll("` + first + ` .mark").length > 0`)
	b.Wait(`document.querySelectorAll("` + second + ` .mark").length === 0`)
	b.Wait(`[...document.querySelectorAll("#rows tr.outlier")].some(r => r.textContent.includes("120") && r.textContent.includes("Outlier"))`)
	b.Wait(text("#news", "Outlier: 120 at "+name(0)))
	b.Wait(`document.querySelector("` + first + ` .chart").getAttribute("aria-label").includes("120, usual are 70 to 80; outliers in the chart:")`)
	b.Photograph("anomaly-desktop-light", 1280, 900, false)
	node.Set("press0", 77)
	b.Wait(text(first+" .verdict", "Usual"))
	b.Photograph("anomaly-desktop-dark", 1280, 900, true)
	b.Photograph("anomaly-phone-light", 390, 844, false)
	b.Photograph("anomaly-phone-dark", 390, 844, true)
	b.Do(chromedp.EmulateViewport(1280, 900))

	// Outliers alone, chosen with the keyboard.
	b.Do(chromedp.Focus("#only"), chromedp.KeyEvent(" "))
	b.Wait(`document.querySelectorAll("#rows tr").length === document.querySelectorAll("#rows tr.outlier").length`)
	b.Wait(`document.querySelectorAll("#rows tr").length === 1`)
	b.Do(chromedp.KeyEvent(" "))
	b.Wait(`document.querySelectorAll("#rows tr").length > 1`)

	node.Stop("press1")
	b.Wait(text(second+" .state", "Server lost"))
	b.Wait(text(second+" .value", "–"))
	b.Photograph("anomaly-lost", 1280, 900, false)
	node.Thermometer("press1", "127.0.0.1", ports[1], "None")
	b.Wait(text(second+" .value", "75"))
	stopTwo()
	b.Wait(text(second+" .state", "the broker does not answer"))
	h.watched(list[:1], nil) // it is given up
	b.Wait(`document.querySelectorAll("#servers li").length === 1`)
	b.Wait(text("#news", "has gone"))

	b.Do(chromedp.Focus("#pause"), chromedp.KeyEvent(kb.Enter))
	b.Wait(`document.getElementById("pause").ariaPressed === "true"`)
	node.Set("press0", 90)
	b.Wait(text("#news", "Outlier: 90")) // it is still said
	if browsertest.Ask[bool](b, text(first+" .value", "90")) {
		t.Error("the page moves while it is paused")
	}
	b.Do(chromedp.Click("#pause"))
	b.Wait(text(first+" .value", "90"))

	if names := b.Nameless("svg, button, input"); len(names) > 0 {
		t.Errorf("without a name: %s", names)
	}
	if browsertest.Ask[int](b, "window.kept") != 1 {
		t.Error("the page was loaded again")
	}
	b.Quiet()
}

// A page that is opened later has all that was kept, as a chart and a table.
func TestHistory(t *testing.T) {
	h, address := serveHub(t)
	names := []string{"opc.tcp://press-1.plant.example:4840", "opc.tcp://press-2.plant.example:4840"}
	var list []services.Source
	for i, name := range names {
		at, _ := newFake(name, 75).serve(t, "127.0.0.1:0")
		list = append(list, services.Source{ID: fmt.Sprintf("akri-opcua-monitoring-%06x", i+1), Address: at})
	}
	h.set(list, nil)
	p := look(t, address)
	p.shows(states("akri-opcua-monitoring-000001:live akri-opcua-monitoring-000002:live"))
	now := time.Now()
	h.mu.Lock()
	for i, f := range h.followed {
		s := f.servers[0]
		for n := range keptPoints {
			v := math.Round(75 + 4*math.Sin(float64(n)/9+float64(i)) + math.Sin(float64(n)*1.7))
			if i == 0 && (n == keptPoints-90 || n > keptPoints-6) {
				v = 103
			}
			s.add(v, now.Add(time.Duration(n-keptPoints)*interval))
		}
	}
	h.mu.Unlock()
	b := browsertest.Open(t, "http://"+address+"/")
	b.Do(chromedp.EmulateViewport(640, 720))
	// The last value stands, and is counted again each second.
	b.Wait(`document.querySelectorAll("li[data-id=akri-opcua-monitoring-000001] .mark").length >= 6`)
	b.Wait(`document.querySelectorAll("li[data-id=akri-opcua-monitoring-000002] .mark").length === 0`)
	b.Wait(`document.querySelectorAll("#rows tr").length === 100`)
	b.Wait(`document.querySelector(".began").textContent === "3 min ago"`)
	b.Photograph("anomaly-history", 640, 720, false)
	b.Quiet()
}
