package mqtt

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/discovery/discoverytest"
	"github.com/akri-go/akri/internal/backoff"
	"github.com/akri-go/akri/internal/eventually"
	"github.com/akri-go/akri/internal/handlers/handlertest"
	"github.com/akri-go/akri/internal/handlers/mqtt/details"
	"github.com/akri-go/akri/internal/handlers/mqtt/mqtttest"
	"github.com/akri-go/akri/internal/leaktest"
)

// quick tries again after a few milliseconds.
func quick() *backoff.Backoff {
	return &backoff.Backoff{First: 10 * time.Millisecond, Max: 20 * time.Millisecond}
}

func quietly() *slog.Logger { return slog.New(slog.DiscardHandler) }

// homie announces a device of convention 4.
func homie(b *mqtttest.Broker, id, state string) {
	b.Retain("homie/"+id+"/$homie", "4.0.0")
	b.Retain("homie/"+id+"/$name", "The "+id)
	b.Retain("homie/"+id+"/$state", state)
}

func TestConformance(t *testing.T) {
	discoverytest.Run(t, func(t *testing.T) discoverytest.Fixture {
		b := mqtttest.Start(t)
		for _, id := range []string{"one", "two", "three"} {
			homie(b, id, "ready")
		}
		d := "broker: " + b.URL + "\n"
		all := []string{"homie/one", "homie/two", "homie/three"}
		return discoverytest.Fixture{
			Handler: New(Options{Patience: time.Minute, Log: quietly(), retry: quick(), certain: 100 * time.Millisecond}),
			Request: discovery.Request{Details: d + "homie: {}"},
			Present: all,
			Unplug:  func() []string { b.Retain("homie/two/$state", "lost"); return []string{"homie/one", "homie/three"} },
			Depart:  func() string { b.Retain("homie/three/$state", "disconnected"); return "homie/three" },
			Plug: func() []string {
				b.Retain("homie/two/$state", "ready")
				b.Retain("homie/three/$state", "ready")
				return all
			},
			Invalid: discovery.Request{Details: "broker: http://a\nhomie: {}"},
			AlsoInvalid: []discovery.Request{
				{Details: "\t"}, {Details: "7"}, {Details: ""}, {Details: d}, {Details: d + "other: 1"},
				{Details: d + "homie: {}", Properties: map[string][]byte{"password": []byte("x")}},
			},
			Nothing: &discovery.Request{Details: d + "homie: {domains: [other]}"},
		}
	})
}

// asking asks a handler, and returns its reports.
func asking(t *testing.T, o Options, text string, properties map[string]string) <-chan discovery.Report {
	t.Helper()
	leaktest.Check(t)
	if o.Log == nil {
		o.Log = quietly()
	}
	if o.retry == nil {
		o.retry = quick()
	}
	return askingOf(t, New(o), text, properties)
}

// askingOf asks a handler that others ask too.
func askingOf(t *testing.T, h *Handler, text string, properties map[string]string) <-chan discovery.Report {
	t.Helper()
	given := map[string][]byte{}
	for name, value := range properties {
		given[name] = []byte(value)
	}
	return handlertest.AskFor(t, h, discovery.Request{Details: text, Properties: given})
}

// wait waits for a report of just these devices without a note.
func wait(t *testing.T, reports <-chan discovery.Report, want string) discovery.Report {
	t.Helper()
	return handlertest.Until(t, reports, want+" are there", func(r discovery.Report) bool { return handlertest.IDs(r) == want && r.Note == "" })
}

// note waits for a report with a text in its note.
func note(t *testing.T, reports <-chan discovery.Report, text string) discovery.Report {
	t.Helper()
	return handlertest.Until(t, reports, "it is noted: "+text, func(r discovery.Report) bool { return strings.Contains(r.Note, text) })
}

// The three conventions at once.
func TestConventions(t *testing.T) {
	for _, version := range []string{"5.0", "3.1.1"} {
		t.Run(version, func(t *testing.T) {
			b := mqtttest.Start(t)
			b.Be(mqtttest.Faults{Old: version == "3.1.1"})
			homie(b, "four", "ready")
			b.Retain("homie/5/five/$state", "ready")
			b.Retain("homie/5/five/$description", `{"homie": "5.0", "name": "Five"}`)
			b.Retain("homeassistant/light/plug/config", `{"~": "plug", "avty_t": "~/there", "dev": {"ids": "plug", "mf": "Maker", "sw": "1.2"}}`)
			b.Retain("plug/there", "online")
			b.Retain("sensors/old/state", "1") // says nothing of now
			reports := asking(t, Options{}, "broker: "+b.URL+"\nhomie: {}\nhomeAssistant: {}\ntopics: [{pattern: sensors/+/state}]", nil)
			r := wait(t, reports, "homeassistant/plug homie/five homie/four")
			want := map[string]string{details.PropertyBroker: b.URL, details.PropertyConvention: details.HomeAssistant,
				details.PropertyDevice: "plug", details.PropertyConfigTopics: "homeassistant/light/plug/config",
				details.PropertyManufacturer: "Maker", details.PropertyFirmware: "1.2"}
			if got := r.Devices[0].Properties; fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("%v, want %v", got, want)
			}
			b.Publish("sensors/new/state", "1")
			wait(t, reports, "homeassistant/plug homie/five homie/four sensors/new/state")
			b.Retain("plug/there", "offline")
			wait(t, reports, "homie/five homie/four sensors/new/state")
			b.Publish("sensors/new/state", "")
			b.Retain("homeassistant/light/plug/config", "")
			wait(t, reports, "homie/five homie/four")
			if slices.Contains(b.Subscribed(), "plug/there") {
				t.Error("still subscribed to a topic that nobody names")
			}
		})
	}
}

// Many topics of availability are asked for together, and again on a new
// connection.
func TestManyTopics(t *testing.T) {
	const many = 600
	b := mqtttest.Start(t)
	for i := range many {
		b.Retain(fmt.Sprintf("homeassistant/sensor/%d/config", i), fmt.Sprintf(`{"dev": {"ids": "%d"}, "avty_t": "t/%[1]d"}`, i))
		b.Retain(fmt.Sprintf("t/%d", i), "online")
	}
	reports := asking(t, Options{Patience: time.Minute}, "broker: "+b.URL+"\nhomeAssistant: {}\nbrokerGracePeriod: 1s", nil)
	if r := <-reports; len(r.Devices) != many { // the first report already has all of them
		t.Fatalf("%d devices, note %q", len(r.Devices), r.Note)
	}
	b.Retain("t/7", "offline")
	handlertest.Until(t, reports, "one is less", func(r discovery.Report) bool { return len(r.Devices) == many-1 })
	b.Drop()
	b.Retain("t/8", "offline")
	handlertest.Until(t, reports, "two are less", func(r discovery.Report) bool { return len(r.Devices) == many-2 })
	if n := len(b.Versions()); n != 2 {
		t.Errorf("%d connections", n)
	}
}

// A broker that hangs up on version 5 is spoken to in 3.1.1.
func TestRudeBroker(t *testing.T) {
	b := mqtttest.Start(t)
	b.Be(mqtttest.Faults{Rude: true})
	homie(b, "one", "ready")
	reports := asking(t, Options{}, "broker: "+b.URL+"\nhomie: {}", nil)
	wait(t, reports, "homie/one")
	b.Drop()
	eventually.Succeeds(t, eventually.Patience, func(context.Context) error {
		if v := b.Versions(); !slices.Equal(v, []byte{5, 4, 4}) {
			return fmt.Errorf("versions %d", v)
		}
		return nil
	})
}

// While the broker is away the devices stay, and so they do when it is back and
// does not tell of them yet.
func TestBrokerGoes(t *testing.T) {
	b := mqtttest.Start(t)
	homie(b, "one", "ready")
	homie(b, "two", "ready")
	reports := asking(t, Options{}, "broker: "+b.URL+"\nhomie: {}\nbrokerGracePeriod: 1h", nil)
	wait(t, reports, "homie/one homie/two")
	address := b.Address()
	b.Close()
	r := note(t, reports, "connection refused: does an MQTT broker run there, on this port?; devices stay for 1h0m0s")
	if handlertest.IDs(r) != "homie/one homie/two" {
		t.Errorf("%q", handlertest.IDs(r))
	}
	b = mqtttest.StartAt(t, address)
	homie(b, "three", "ready")
	wait(t, reports, "homie/one homie/three homie/two")
}

// They are gone when it stays away for too long.
func TestBrokerStaysAway(t *testing.T) {
	b := mqtttest.Start(t)
	homie(b, "one", "ready")
	reports := asking(t, Options{}, "broker: "+b.URL+"\nhomie: {}\nbrokerGracePeriod: 1s", nil)
	wait(t, reports, "homie/one")
	b.Close()
	handlertest.Until(t, reports, "none is left", func(r discovery.Report) bool { return handlertest.IDs(r) == "" && strings.Contains(r.Note, "refused") })
}

// What it does not tell again is gone some time after it has come back.
func TestBrokerForgets(t *testing.T) {
	b := mqtttest.Start(t)
	homie(b, "one", "ready")
	homie(b, "two", "ready")
	reports := asking(t, Options{}, "broker: "+b.URL+"\nhomie: {}\nbrokerGracePeriod: 1s", nil)
	wait(t, reports, "homie/one homie/two")
	b.Forget("homie/two/$state")
	b.Drop()
	wait(t, reports, "homie/one")
}

// What a broker does not allow is said, with what to do.
func TestNotAllowed(t *testing.T) {
	b := mqtttest.Start(t)
	b.Be(mqtttest.Faults{Password: "secret"})
	text := "broker: " + b.URL + "\nhomie: {}\nhomeAssistant: {}"
	note(t, asking(t, Options{}, text, nil), "the broker does not let anybody in without a user: give username and password in discoveryProperties")
	r := note(t, asking(t, Options{}, text, map[string]string{"username": "user", "password": "wrong"}), "compare username and password")
	if strings.Contains(r.Note, "wrong") {
		t.Errorf("the password is in the note: %s", r.Note)
	}
	homie(b, "one", "ready")
	b.Be(mqtttest.Faults{Password: "secret", Forbidden: "homeassistant/+/+/config"})
	reports := asking(t, Options{}, text, map[string]string{"username": "user", "password": "secret"})
	r = note(t, reports, "subscribing to homeassistant/+/+/config: the broker does not allow it to this user")
	if handlertest.IDs(r) != "homie/one" {
		t.Errorf("%q", handlertest.IDs(r))
	}
}

// A device is lost when it has been silent for too long.
func TestSilence(t *testing.T) {
	b := mqtttest.Start(t)
	reports := asking(t, Options{}, "broker: "+b.URL+"\ntopics: [{pattern: a/+/b, lostAfter: 1s}, {pattern: c/+/#}]", nil)
	wait(t, reports, "")
	b.Publish("a/x/b", "1")
	b.Publish("c/y/d/e", "1")
	wait(t, reports, "a/x/b c/y/#")
	wait(t, reports, "c/y/#")
}

// What a device says last counts: whether it has gone for good, only restarts, or is
// lost. What the last connection told before it is told again on the next one.
func TestDeparted(t *testing.T) {
	b := mqtttest.Start(t)
	for _, id := range []string{"goes", "lost", "restarts", "cleared"} {
		homie(b, id, "ready")
	}
	b.Retain("homeassistant/light/a/config", `{"dev": {"ids": "lamp"}}`)
	b.Retain("homeassistant/light/b/config", `{"dev": {"ids": "lamp"}, "avty_t": "b"}`)
	b.Retain("homeassistant/light/c/config", `{"dev": {"ids": "plug"}}`)
	const certain = 300 * time.Millisecond
	reports := asking(t, Options{certain: certain}, "broker: "+b.URL+"\nhomie: {}\nhomeAssistant: {}\ntopics: [{pattern: s/+}]", nil)
	wait(t, reports, "homeassistant/lamp homeassistant/plug homie/cleared homie/goes homie/lost homie/restarts")
	b.Publish("s/x", "1")
	wait(t, reports, "homeassistant/lamp homeassistant/plug homie/cleared homie/goes homie/lost homie/restarts s/x")
	b.Retain("homie/lost/$state", "lost")
	b.Retain("homie/restarts/$state", "disconnected")
	b.Retain("homeassistant/light/a/config", "") // it has another entity, which is not available
	wait(t, reports, "homeassistant/plug homie/cleared homie/goes s/x")
	b.Retain("homie/restarts/$state", "init")
	b.Drop()
	b.Retain("homie/goes/$state", "disconnected") // while nobody listens
	wait(t, reports, "homeassistant/plug homie/cleared s/x")
	b.Retain("homie/cleared/$state", "")
	b.Retain("homeassistant/light/c/config", "")
	b.Publish("s/x", "")
	r := handlertest.Until(t, reports, "some have departed", func(r discovery.Report) bool { return len(r.Departed) == 4 })
	if want := []string{"homeassistant/plug", "homie/cleared", "homie/goes", "s/x"}; !slices.Equal(r.Departed, want) || len(r.Devices) > 0 {
		t.Errorf("%q have departed, want %q; there are %q", r.Departed, want, handlertest.IDs(r))
	}
	b.Retain("homie/goes/$state", "ready")
	r = wait(t, reports, "homie/goes")
	if slices.Contains(r.Departed, "homie/goes") {
		t.Errorf("%q have departed", r.Departed)
	}
}
