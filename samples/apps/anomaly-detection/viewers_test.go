package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/akri-go/akri/internal/slowtest"
	"github.com/akri-go/akri/samples/services"
)

// Many browsers look at once, and each has every value. Others that do not read
// disturb none.
func TestManyBrowsers(t *testing.T) {
	h, address := serveHub(t)
	f := newFake("opc.tcp://plc:4840", 75)
	at, _ := f.serve(t, "127.0.0.1:0")
	h.set([]services.Source{{ID: "c-111111", Address: at}}, nil)
	for range 10 {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := c.(*net.TCPConn).SetReadBuffer(4096); err != nil { // soon nothing more can be sent
			t.Fatal(err)
		}
		if _, err := io.WriteString(c, "GET /live HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
	}
	var pages []*viewer
	for range 20 {
		p := look(t, address)
		p.shows(newest("c-111111", 75, usual))
		pages = append(pages, p)
	}
	for i, value := range []float64{76.5, 99, 72} {
		f.set(value, "")
		for n, p := range pages {
			p.shows(newest("c-111111", value, []verdict{usual, outlier, usual}[i]))
			for at := 1; at < len(p.points["c-111111"]); at++ { // each once, in order
				if points := p.points["c-111111"]; points[at][0] < points[at-1][0] {
					t.Fatalf("page %d has %v", n, points)
				}
			}
		}
	}
}

// A browser that stops reading for an hour gets what is kept, in one message: the
// newest values, and how many there have been.
func TestSlowBrowser(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr, err := parseTraining(defaultTraining, 1)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		h := newHub(ctx, tr, slog.New(slog.DiscardHandler))
		f := &followed{source: services.Source{ID: "c-111111"}, stop: func() {}, servers: []*server{{id: "c-111111", detector: detector{training: tr}}}}
		h.followed = []*followed{f}
		b := slowtest.New()
		done := make(chan struct{})
		go func() {
			defer close(done)
			h.live(b, httptest.NewRequestWithContext(ctx, http.MethodGet, "/live", nil))
		}()
		synctest.Wait()
		value := 0.0
		come := func(values int) {
			for range values {
				value++
				h.take(f, news{server: "plc", value: value}, time.Now())
				time.Sleep(time.Second)
			}
		}
		come(2)
		b.Stop()
		come(3600)
		b.GoOn()
		time.Sleep(time.Second)
		come(1)
		cancel()
		<-done
		var got []string
		last := 0.0
		for line := range strings.Lines(string(b.Got())) {
			var m Message
			data, ok := strings.CutPrefix(line, "data: ")
			if !ok {
				continue
			}
			if err := json.Unmarshal([]byte(data), &m); err != nil {
				t.Fatal(err)
			}
			points := m.Servers[0].Points
			got = append(got, fmt.Sprintf("%d of %d", len(points), m.Servers[0].Count))
			if len(points) > 0 {
				last = points[len(points)-1][1]
			}
		}
		// Without a value, two values, the one that was on its way, what it has missed,
		// and the last.
		want := fmt.Sprintf("0 of 0; 1 of 1; 1 of 2; 1 of 3; %d of 3602; 1 of 3603", keptPoints)
		if text := strings.Join(got, "; "); text != want || last != value {
			t.Errorf("it gets %s, the last %g; want %s, %g", text, last, want, value)
		}
	})
}
