package mqtt

import (
	"fmt"
	"strings"
	"testing"

	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/internal/handlers/fit"
	"github.com/akri-go/akri/internal/handlers/handlertest"
	"github.com/akri-go/akri/internal/handlers/mqtt/announced"
	"github.com/akri-go/akri/internal/handlers/mqtt/details"
)

func mustDetails(t *testing.T, text string) details.Details {
	t.Helper()
	d, err := details.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestPlan(t *testing.T) {
	two := []announced.Device{
		{ID: "homie/a", Own: "a", Info: announced.Info{Name: "A", Manufacturer: "M", Model: "X"}},
		{ID: "homie/b", Own: "b"},
	}
	why := map[announced.Why]string{announced.Large: "", announced.Malformed: "m", announced.Deviceless: "d", announced.Full: "f"}
	for name, c := range map[string]struct {
		details  string
		heard    []announced.Device
		standing standing
		problems map[announced.Why]string
		refused  map[string]string
		ids      string
		note     string
	}{
		"two":               {heard: two, ids: "homie/a homie/b"},
		"away":              {heard: two, standing: standing{problem: "gone", grace: 5e9}, ids: "homie/a homie/b", note: "gone; devices stay for 5s"},
		"away, none":        {standing: standing{problem: "gone"}, note: "gone"},
		"by id":             {details: "ids: {items: [b]}", heard: two, ids: "homie/b"},
		"by name":           {details: "names: {items: [A]}", heard: two, ids: "homie/a"},
		"by manufacturer":   {details: "manufacturers: {action: Exclude, items: [M]}", heard: two, ids: "homie/b"},
		"by model":          {details: "models: {items: [X]}", heard: two, ids: "homie/a"},
		"none passes":       {details: "models: {items: [Z]}", heard: two, note: "no device passes the filters of discoveryDetails (of 2 that are there)"},
		"not allowed":       {refused: map[string]string{"a/+": "no", "b": "no", "c": "no"}, note: "subscribing to a/+: no; subscribing to b: no; and 1 topics more"},
		"messages left out": {problems: why, note: "messages, or their topics, that are too large are left out; m: what is announced there is not what the convention says: mosquitto_sub shows it; d: what is announced there names no device, and is left out; some devices are left out, from f on: there is no more room; use narrower topics, or several Configurations"},
	} {
		r := Plan(situation{details: mustDetails(t, "broker: mqtt://b\nhomie: {}\n"+c.details), heard: c.heard, standing: c.standing,
			problems: c.problems, refused: c.refused})
		if handlertest.IDs(r) != c.ids || r.Note != c.note {
			t.Errorf("%s: %q, note %q; want %q, note %q", name, handlertest.IDs(r), r.Note, c.ids, c.note)
		}
	}
}

// However much devices say, a report is one that an agent takes.
func TestPlanLimits(t *testing.T) {
	long := strings.Repeat("x", 256)
	var all []announced.Device
	for i := range 3 * maxDevices {
		d := announced.Device{ID: fmt.Sprintf("%04d", i), Info: announced.Info{Name: long, Manufacturer: long, Model: long, Firmware: long, Hardware: long, Serial: long, Location: long}}
		for j := range 100 {
			d.ConfigTopics = append(d.ConfigTopics, fmt.Sprintf("%s/%d", long, j))
		}
		all = append(all, d)
	}
	d := mustDetails(t, "broker: mqtt://b\nhomie: {}")
	r := Plan(situation{details: d, heard: all, standing: standing{problem: strings.Repeat("é", 400)}})
	size := 0
	for _, v := range r.Devices {
		size += fit.Bytes(v)
		if n := len(v.Properties[details.PropertyConfigTopics]); n > maxConfigTopics {
			t.Fatalf("topics of %d bytes", n)
		}
	}
	if size > maxBytes || size < maxBytes/2 || len(r.Note) > maxNoteBytes {
		t.Errorf("%d devices of %d bytes, note of %d", len(r.Devices), size, len(r.Note))
	}
	for i := range all {
		all[i] = announced.Device{ID: all[i].ID}
	}
	r = Plan(situation{details: d, heard: all})
	if len(r.Devices) != maxDevices || !strings.Contains(r.Note, "2000 devices are left out") {
		t.Errorf("%d devices, note %q", len(r.Devices), r.Note)
	}
	// Those that were there before stay.
	last := fmt.Sprintf("%04d", 3*maxDevices-1)
	r = Plan(situation{details: d, heard: all, before: []discovery.Device{{ID: last}}})
	if len(r.Devices) != maxDevices || r.Devices[maxDevices-1].ID != last || r.Devices[maxDevices-2].ID != "0998" {
		t.Errorf("%d devices, the last is %s", len(r.Devices), r.Devices[maxDevices-1].ID)
	}
}
