package modbus

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/discovery/discoverytest"
	"github.com/akri-go/akri/internal/handlers/handlertest"
	"github.com/akri-go/akri/internal/handlers/modbus/details"
	"github.com/akri-go/akri/internal/handlers/modbus/modbustest"
)

func quietly() *slog.Logger { return slog.New(slog.DiscardHandler) }

type units = map[byte]modbustest.Unit

// plain is a unit that does not identify itself.
var plain = modbustest.Unit{}

// pump is one that does.
func pump(name string) modbustest.Unit {
	return modbustest.Unit{Objects: map[byte]string{0: "Pumps Inc", 1: "P-7", 2: "1.2", 6: name, 0x80: "S-" + name}}
}

// fast are details of servers on this machine.
const fast = "\ntimeout: 50ms\ngap: 0s\n"

func TestConformance(t *testing.T) {
	discoverytest.Run(t, func(t *testing.T) discoverytest.Fixture {
		all := units{1: pump("a"), 2: plain, 3: plain}
		s := modbustest.Start(t, all)
		s.Set(11, all) // a gateway that says who is not there
		id := func(u int) string { return fmt.Sprintf("%s/%d", s.Address(), u) }
		return discoverytest.Fixture{
			Handler: New(Options{Patience: time.Minute, Log: quietly(), rhythm: handlertest.Quick}),
			Request: discovery.Request{Details: "servers: ['" + s.Address() + "']\nunits: [1-3]" + fast},
			Present: []string{id(1), id(2), id(3)},
			Unplug:  func() []string { s.Set(11, units{1: pump("a"), 3: plain}); return []string{id(1), id(3)} },
			Plug:    func() []string { s.Set(11, all); return []string{id(1), id(2), id(3)} },
			Invalid: discovery.Request{Details: "servers: [http://a]"},
			AlsoInvalid: []discovery.Request{
				{Details: "\t"}, {Details: "7"}, {Details: ""}, {Details: "servers: []"}, {Details: "servers: [a]\nunits: [300]"},
				{Details: "servers: [10.0.0.0/8]"}, {Details: "servers: [a]\nprobe: {function: 6}"}, {Details: "servers: [a]\nother: 1"},
			},
			Nothing: &discovery.Request{Details: "servers: ['" + s.Address() + "']\nvendorNames: {items: [Nobody]}" + fast},
		}
	})
}

func handler(o Options) *Handler {
	o.Log, o.rhythm = quietly(), handlertest.Quick
	return New(o)
}

func are(want string) func(discovery.Report) bool {
	return func(r discovery.Report) bool { return handlertest.IDs(r) == want }
}

// A device is reported with what it says, is lost some looks after it has gone,
// and comes back.
func TestDevice(t *testing.T) {
	pages := pump("a")
	pages.Page = 2
	s := modbustest.Start(t, units{1: pages})
	at, id := s.Address(), s.Address()+"/1"
	var looks atomic.Int64
	reports := handlertest.Ask(t, handler(Options{Patience: time.Minute, Looked: func(time.Duration) { looks.Add(1) }}), "servers: ['"+at+"']"+fast)
	p := handlertest.Until(t, reports, "it is there", are(id)).Devices[0].Properties
	if p[details.PropertyVendor] != "Pumps Inc" || p[details.PropertyApplication] != "a" || p[details.PropertyFoundBy] != "identification" ||
		p[details.PropertyConformity] != "0x83" || at != p[details.PropertyHost]+":"+p[details.PropertyPort] || p[details.PropertyUnit] != "1" {
		t.Errorf("%v", p)
	}
	s.Set(modbustest.Silence, units{1: pump("b")})
	handlertest.Until(t, reports, "it is called b", func(r discovery.Report) bool { return r.Devices[0].Properties[details.PropertyApplication] == "b" })
	before := looks.Load()
	s.Close()
	handlertest.Until(t, reports, "it is gone", func(r discovery.Report) bool {
		return handlertest.IDs(r) == "" && strings.Contains(r.Note, "connection refused: does a Modbus TCP server run there")
	})
	if n := looks.Load() - before; n < lostAfterLooks-1 {
		t.Errorf("gone after %d looks", n)
	}
	modbustest.StartAt(t, at, units{1: plain})
	r := handlertest.Until(t, reports, "it is back", func(r discovery.Report) bool { return handlertest.IDs(r) == id && r.Note == "" })
	if p := r.Devices[0].Properties; p[details.PropertyFoundBy] != "register" || p[details.PropertyVendor] != "" {
		t.Errorf("another device was put in its place: %v", p)
	}
}

// Units that do not identify themselves, in all ways that there are.
func TestProbe(t *testing.T) {
	s := modbustest.Start(t, units{
		1: {Identify: modbustest.Silence}, 2: {Identify: modbustest.HangUp}, 3: {Identify: modbustest.Garbage}, 4: {Identify: 3}, 5: {Identify: 11},
		6: {Read: 2}, 7: {Identify: 4, Read: 4}, 8: {Identify: 6},
		9: {Identify: 10, Read: 10}, 10: {Read: 11}, 11: {Read: modbustest.Silence}, 12: {Read: modbustest.Garbage}, 13: {Read: modbustest.HangUp},
	})
	at := s.Address()
	reports := handlertest.Ask(t, handler(Options{Patience: time.Minute}), "servers: ['"+at+"']\nunits: [1-14]\nprobe: {function: 4, address: 7, count: 2}"+fast)
	r := handlertest.Until(t, reports, "all were asked", func(r discovery.Report) bool { return !strings.Contains(r.Note, "not asked yet") })
	got := map[string]string{}
	for _, d := range r.Devices {
		got[d.Properties[details.PropertyUnit]] = d.Properties[details.PropertyFoundBy]
	}
	want := map[string]string{"1": "register", "2": "register", "3": "register", "4": "register", "5": "register",
		"6": "exception 2", "7": "exception 4", "8": "register"}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%v", got)
	}
	for _, want := range []string{"unit 9: exception 10 (gateway path", "unit 10: exception 11", "units 11 and 14: no answer",
		"unit 12: 1 bytes are answered where 2 values", "unit 13: it closes the connection"} {
		if !strings.Contains(r.Note, want) {
			t.Errorf("no %s in %s", want, r.Note)
		}
	}
	for function, asked := range map[byte]bool{3: false, 4: true, 43: true} {
		if n := s.Asked(1, function); (n > 0) != asked {
			t.Errorf("function %d was asked for %d times", function, n)
		}
	}
}

// A log line says once what is wrong, and once that it is well again.
func TestLog(t *testing.T) {
	var out bytes.Buffer
	s := newSurvey(mustDetails(t, "servers: [a, 10.0.0.1/32]"), Options{Log: slog.New(slog.NewTextHandler(&out, nil)), rhythm: handlertest.Quick}, time.Unix(0, 0))
	well := looked{answers: map[int]answer{0: identified("a")}}
	for _, l := range []looked{well, {err: errHungUp}, {err: errHungUp}, {err: errors.New("worse")}, well, well} {
		for server := range s.servers {
			s.take(ended{server, l}, time.Unix(1, 0))
		}
	}
	if n := strings.Count(out.String(), "\n"); n != 3 || !strings.Contains(out.String(), "answers again") {
		t.Errorf("%d lines\n%s", n, out.String())
	}
}

// The first report waits for all servers, and not for ever; later ones come soon,
// but not each alone while many are asked for the first time.
func TestWhenReports(t *testing.T) {
	at := func(ms int) time.Time { return time.Unix(100, 0).Add(time.Duration(ms) * time.Millisecond) }
	s := newSurvey(mustDetails(t, "servers: [a, b, c]"), Options{Log: quietly(), rhythm: handlertest.Quick}, at(0))
	well := looked{answers: map[int]answer{0: {there: true, at: at(0)}}}
	for i, st := range []struct {
		ms, looked int // the server that was looked at; -1: none
		due        bool
		in         int
	}{
		{0, -1, false, 1000}, {100, 0, false, 900}, {1000, -1, true, 0}, {1001, -1, false, 0},
		{1050, 1, false, 50}, {1075, -1, false, 25}, {1100, -1, true, 0}, {1120, 2, false, 80}, {1200, -1, true, 0}, {1210, 2, false, 0},
	} {
		if st.looked >= 0 {
			s.take(ended{st.looked, well}, at(st.ms))
		}
		if _, due, in := s.report(at(st.ms), at(1000)); due != st.due || in != time.Duration(st.in)*time.Millisecond {
			t.Errorf("step %d: due %v, in %s", i, due, in)
		}
	}
}
