package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/akri-go/akri/samples/pages"
	"github.com/akri-go/akri/samples/services"
)

// Servers come and go; their values are judged as they come, those that stay are
// counted each second, and a broker that is lost and found again goes on.
func TestLive(t *testing.T) {
	h, address := serveHub(t)
	p := look(t, address)
	p.shows(states(""))
	one, two := newFake("opc.tcp://one:4840", 75), newFake("opc.tcp://two:4840", 72.25)
	at, stop := one.serve(t, "127.0.0.1:0")
	atTwo, _ := two.serve(t, "127.0.0.1:0")
	first, second := services.Source{ID: "c-111111", Address: at}, services.Source{ID: "c-222222", Address: atTwo}
	h.watched([]services.Source{{ID: services.Main, Address: at}, first}, nil)
	p.shows(states("c-111111:live"))
	p.shows(newest("c-111111", 75, usual))
	if e := p.last.Servers[0]; e.Name != "opc.tcp://one:4840" || fmt.Sprint(e.Usual) != "[70 80]" {
		t.Errorf("%+v", e)
	}
	p.shows(func(p *viewer) error { // it stays
		if n := len(p.points["c-111111"]); n < 3 {
			return fmt.Errorf("%d values", n)
		}
		return nil
	})
	h.watched([]services.Source{first, second}, nil)
	p.shows(states("c-111111:live c-222222:live"))
	p.shows(newest("c-222222", 72.25, usual))
	one.set(120, "")
	p.shows(newest("c-111111", 120, outlier))
	one.set(70.4, "")
	p.shows(newest("c-111111", 70.4, usual))
	one.set(0, "the server does not answer in time")
	p.shows(states("c-111111:lost c-222222:live"))
	p.shows(says("c-111111", "the server does not answer in time"))
	one.set(71, "")
	p.shows(states("c-111111:live c-222222:live"))
	stop()
	p.shows(says("c-111111", "the broker does not answer"))
	one.serve(t, at)
	p.shows(states("c-111111:live c-222222:live"))
	h.watched([]services.Source{first, second}, errors.New("the API server does not tell"))
	p.shows(func(p *viewer) error {
		if p.last.Problem != "the API server does not tell" {
			return fmt.Errorf("%+v", p.last)
		}
		return nil
	})
	h.watched([]services.Source{second}, nil)
	p.shows(states("c-222222:live"))
	late := look(t, address) // has all of it at once
	late.shows(states("c-222222:live"))
	if got, want := len(late.points["c-222222"]), 1; got < want {
		t.Errorf("a page that is opened later has %d values", got)
	}
}

// Upstream's brokers have GetValue alone, and whole numbers.
func TestUpstreamsBroker(t *testing.T) {
	h, address := serveHub(t)
	f := newFake("opc.tcp://plc:4840", 75)
	f.upstream = true
	at, _ := f.serve(t, "127.0.0.1:0")
	h.set([]services.Source{{ID: "c-111111", Address: at}}, nil)
	p := look(t, address)
	p.shows(newest("c-111111", 75, usual))
	f.set(99, "")
	p.shows(newest("c-111111", 99, outlier))
}

// As upstream's application is used: one Service for all brokers, which leads to any.
func TestSharedService(t *testing.T) {
	h, address := serveHub(t)
	f := newFake("opc.tcp://one", 75)
	at, stop := f.serve(t, "127.0.0.1:0")
	h.set([]services.Source{{ID: services.Main, Address: at}}, nil)
	p := look(t, address)
	p.shows(states("opc.tcp://one:live"))
	f.mu.Lock()
	f.server, f.value = "opc.tcp://two", 90
	f.mu.Unlock()
	p.shows(states("opc.tcp://one:live opc.tcp://two:live"))
	p.shows(newest("opc.tcp://two", 90, outlier))
	stop()
	h.watched(nil, errors.New("no right to list Services"))
	p.shows(func(p *viewer) error {
		if p.last.Problem == "" || len(p.last.Servers) != 2 {
			return fmt.Errorf("%+v", p.last)
		}
		return nil
	})
}

func TestNobodyThere(t *testing.T) {
	h, address := serveHub(t)
	f := newFake("", 0)
	at, stop := f.serve(t, "127.0.0.1:0")
	stop()
	h.set([]services.Source{{ID: "c-111111", Address: at}}, nil)
	p := look(t, address)
	p.shows(says("c-111111", "the broker does not answer"))
	if err := states("c-111111:waiting")(p); err != nil {
		t.Error(err)
	}
}

// Upstream's list of values.
func TestValuesLog(t *testing.T) {
	h, address := serveHub(t)
	get := func() string {
		t.Helper()
		resp, err := http.Get("http://" + address + "/values_log")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatal(resp.Status, err)
		}
		return string(body)
	}
	if got := get(); got != "" {
		t.Errorf("%q", got)
	}
	f := newFake("opc.tcp://plc;x", 75)
	at, _ := f.serve(t, "127.0.0.1:0")
	h.set([]services.Source{{ID: "c-111111", Address: at}}, nil)
	p := look(t, address)
	p.shows(newest("c-111111", 75, usual))
	f.set(99.5, "")
	p.shows(newest("c-111111", 99.5, outlier))
	lines := strings.Split(get(), ";")
	for i, want := range map[int]string{
		0: `^opc\.tcp://plc x, 75, \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}N$`, len(lines) - 1: `^opc\.tcp://plc x, 99\.5, \d{4}-.*\dY$`,
	} {
		if !regexp.MustCompile(want).MatchString(lines[i]) {
			t.Errorf("line %d: %q", i, lines[i])
		}
	}
}

// What a server's values take is bounded, and a page gets what is new to it.
func TestServerPoints(t *testing.T) {
	tr, err := parseTraining(defaultTraining, 1)
	if err != nil {
		t.Fatal(err)
	}
	s := &server{detector: detector{training: tr}}
	now := time.Unix(1000, 0)
	if s.state(now) != Waiting || s.repeat(now) {
		t.Error("without a value")
	}
	for i := range 3 * keptPoints {
		s.add(float64(i), now)
	}
	if len(s.points) != keptPoints || s.count != 3*keptPoints || s.points[keptPoints-1].value != 3*keptPoints-1 {
		t.Errorf("%d points of %d", len(s.points), s.count)
	}
	for after, want := range map[uint64]int{0: keptPoints, s.count - 1: 1, s.count: 0} {
		if got := len(s.since(after)); got != want {
			t.Errorf("after %d there are %d points, want %d", after, got, want)
		}
	}
	later := now.Add(interval)
	if s.repeat(now) || !s.repeat(later) || s.last() != later {
		t.Error("a value is counted again after a second")
	}
	s.reason = "gone"
	if s.state(later) != Lost || s.repeat(later.Add(interval)) {
		t.Error("a lost server's value is counted again")
	}
	shared := &server{shared: true, points: []point{{at: now}}}
	if shared.state(now.Add(sharedPatience)) != Live || shared.state(now.Add(sharedPatience+1)) != Lost || shared.repeat(later) {
		t.Error("behind a Service with others")
	}
}

func TestTooManyViewers(t *testing.T) {
	_, address := serveHub(t)
	for range pages.MaxViewers {
		look(t, address)
	}
	resp, err := http.Get("http://" + address + "/live")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusServiceUnavailable {
		t.Error(resp.Status)
	}
}
