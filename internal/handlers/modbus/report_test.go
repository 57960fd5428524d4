package modbus

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/akri-go/akri/internal/handlers/fit"
	"github.com/akri-go/akri/internal/handlers/handlertest"
	"github.com/akri-go/akri/internal/handlers/modbus/adu"
	"github.com/akri-go/akri/internal/handlers/modbus/details"
)

func mustDetails(t testing.TB, text string) details.Details {
	t.Helper()
	d, err := details.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// surveyed returns servers after a look at each, in which units answered as given.
func surveyed(d details.Details, answers map[string]answer) (all []server) {
	for _, at := range d.Servers {
		s := newServer(at)
		l := looked{answers: map[int]answer{}}
		for i, u := range s.units {
			if a, ok := answers[fmt.Sprintf("%s/%d", at.Host, u.id)]; ok {
				a.at = time.Unix(1, 0)
				l.answers[i] = a
			}
		}
		if len(l.answers) == 0 {
			l.err = fmt.Errorf("away")
		}
		s.take(l)
		all = append(all, s)
	}
	return all
}

func TestPlan(t *testing.T) {
	full := answer{there: true, identification: &adu.Identification{Conformity: 0x83,
		Objects: [7]string{"V", "C", "1.2", "https://v.example", "P", "M", "pump-3"}, Private: "S-1"}}
	other := answer{there: true, identification: &adu.Identification{Conformity: 1, Objects: [7]string{"W", "D", "1", "", "", "", "pump-4"}}}
	register, exception, silent := answer{there: true}, answer{there: true, exception: 2}, answer{err: errSilent}
	noPath := answer{err: adu.Exception(10)}
	notModbus := map[string]answer{}
	for i := 1; i < 15; i++ {
		notModbus[fmt.Sprintf("10.0.0.%d/1", i)] = answer{err: adu.ErrNotModbus}
	}
	for _, tt := range []struct {
		name, details string
		answers       map[string]answer
		ids, note     string
	}{
		{"all kinds", "servers: [a, 'b:7']\nunits: [1, 2]", map[string]answer{"a/1": full, "a/2": register, "b/1": exception, "b/2": silent},
			"a:502/1 a:502/2 b:7/1", "b:7: unit 2: no answer"},
		{"vendor", "servers: [a]\nunits: [1-3]\nvendorNames: {items: [V]}", map[string]answer{"a/1": full, "a/2": register, "a/3": other}, "a:502/1", ""},
		{"not that vendor", "servers: [a]\nunits: [1-3]\nvendorNames: {action: Exclude, items: [V]}", map[string]answer{"a/1": full, "a/2": register, "a/3": other}, "a:502/2 a:502/3", ""},
		{"none passes", "servers: [a]\nvendorNames: {items: [v]}", map[string]answer{"a/1": full}, "",
			"no device passes the filters of discoveryDetails (of 1 that answer)"},
		{"code", "servers: [a]\nunits: [1, 3]\nproductCodes: {items: [D]}", map[string]answer{"a/1": full, "a/3": other}, "a:502/3", ""},
		{"product", "servers: [a]\nunits: [1, 3]\nproductNames: {items: [P]}", map[string]answer{"a/1": full, "a/3": other}, "a:502/1", ""},
		{"model", "servers: [a]\nunits: [1, 3]\nmodelNames: {action: Exclude, items: [M]}", map[string]answer{"a/1": full, "a/3": other}, "a:502/3", ""},
		{"by name", "servers: [a]\nunits: [1-3]\nidentity: userApplicationName", map[string]answer{"a/1": full, "a/2": register, "a/3": other},
			"pump-3 pump-4", "a:502/2 is left out: it does not say what devices are known by (identity)"},
		{"two of a name", "servers: [a, b]\nidentity: userApplicationName", map[string]answer{"a/1": full, "b/1": full},
			"pump-3", `a:502/1 and b:502/1 are both "pump-3", and a:502/1 counts`},
		{"by an object", "servers: [a]\nidentity: 128", map[string]answer{"a/1": full}, "S-1", ""},
		{"away", "servers: [a, b]", map[string]answer{"b/1": full}, "b:502/1", "a:502: away"},
		{"units", "servers: [a]\nunits: [1-9]", map[string]answer{"a/1": silent, "a/2": silent, "a/3": noPath, "a/5": silent, "a/6": full},
			"a:502/6", "a:502: units 1-2 and 5: no answer; a:502: unit 3: exception 10 (gateway path unavailable); a:502: units 4 and 7-9: not asked yet"},
		{"a network", "servers: [10.0.0.0/29]", map[string]answer{"10.0.0.2/1": full, "10.0.0.3/1": silent}, "10.0.0.2:502/1", "10.0.0.3:502: unit 1: no answer"},
		{"the same of all", "servers: [10.0.0.0/28, a, b]", notModbus, "",
			`10.0.0.1:502, 10.0.0.2:502, 10.0.0.3:502 and 11 others: unit 1: it does not speak Modbus TCP: does a Modbus TCP server run there, on this port?; a:502 and b:502: away`},
		{"the same of four", "servers: [a, b, c, d]", nil, "", "a:502, b:502, c:502 and d:502: away"},
		{"a network of nobody", "servers: [10.0.0.0/29, a]", map[string]answer{"a/1": full}, "a:502/1", "10.0.0.0/29: none of its 6 addresses takes a connection"},
	} {
		d := mustDetails(t, tt.details)
		r := Plan(d, surveyed(d, tt.answers), nil)
		if handlertest.IDs(r) != tt.ids || !strings.HasPrefix(r.Note, tt.note) || (r.Note == "") != (tt.note == "") {
			t.Errorf("%s: %s, note %s", tt.name, handlertest.IDs(r), r.Note)
		}
	}

	d := mustDetails(t, "servers: [a]\nunits: [1, 2]\nidentity: 128")
	r := Plan(d, surveyed(d, map[string]answer{"a/1": full, "a/2": exception}), nil)
	want := map[string]string{"MODBUS_HOST": "a", "MODBUS_PORT": "502", "MODBUS_UNIT_ID": "1", "MODBUS_FOUND_BY": "identification",
		"MODBUS_VENDOR_NAME": "V", "MODBUS_PRODUCT_CODE": "C", "MODBUS_REVISION": "1.2", "MODBUS_VENDOR_URL": "https://v.example",
		"MODBUS_PRODUCT_NAME": "P", "MODBUS_MODEL_NAME": "M", "MODBUS_USER_APPLICATION_NAME": "pump-3",
		"MODBUS_CONFORMITY_LEVEL": "0x83", "MODBUS_OBJECT_128": "S-1"}
	if !maps.Equal(r.Devices[0].Properties, want) {
		t.Errorf("%v", r.Devices[0].Properties)
	}
	d = mustDetails(t, "servers: ['::1']")
	r = Plan(d, surveyed(d, map[string]answer{"::1/1": exception}), nil)
	want = map[string]string{"MODBUS_HOST": "::1", "MODBUS_PORT": "502", "MODBUS_UNIT_ID": "1", "MODBUS_FOUND_BY": "exception 2"}
	if handlertest.IDs(r) != "[::1]:502/1" || !maps.Equal(r.Devices[0].Properties, want) {
		t.Errorf("%v", r.Devices)
	}
}

// Nobody takes the place of a device by saying the same, wherever he is in the list,
// unless the device is missing.
func TestPlanKeepsPlaces(t *testing.T) {
	d := mustDetails(t, "servers: ['::1', b]\nidentity: userApplicationName")
	pump := answer{there: true, identification: &adu.Identification{Objects: [7]string{6: "pump-3"}}}
	answers := map[string]answer{"b/1": pump}
	before := Plan(d, surveyed(d, answers), nil).Devices
	answers["::1/1"] = pump
	servers := surveyed(d, answers)
	for _, tt := range []struct{ missed, want, note string }{
		{"", "b", `b:502/1 and [::1]:502/1 are both "pump-3", and b:502/1 counts`}, {"b", "::1", ""}, {"::1", "b", ""},
	} {
		for i := range servers {
			servers[i].units[0].missed = map[bool]int{true: 1}[servers[i].Host == tt.missed]
		}
		r := Plan(d, servers, before)
		if got := r.Devices[0].Properties["MODBUS_HOST"]; len(r.Devices) != 1 || got != tt.want || r.Note != tt.note {
			t.Errorf("without %q: %s, note %q", tt.missed, got, r.Note)
		}
	}
	before = Plan(d, servers[:1], nil).Devices // the other way round
	servers[0].units[0].missed = 0
	if got := Plan(d, servers, before).Devices[0].Properties["MODBUS_HOST"]; got != "::1" {
		t.Errorf("%s", got)
	}
}

// A device that has another address is there at once, and not at the old one
// until that is lost.
func TestMove(t *testing.T) {
	d := mustDetails(t, "servers: [10.0.0.0/30]\nidentity: userApplicationName")
	pump := answer{there: true, at: time.Unix(1, 0),
		identification: &adu.Identification{Objects: [7]string{adu.UserApplicationName: "pump-3"}}}
	for _, from := range []string{"10.0.0.1", "10.0.0.2"} {
		to := map[string]string{"10.0.0.1": "10.0.0.2", "10.0.0.2": "10.0.0.1"}[from]
		servers := surveyed(d, map[string]answer{from + "/1": pump})
		for i := range servers {
			l := looked{err: errHungUp}
			if servers[i].Host == to {
				l = looked{answers: map[int]answer{0: pump}}
			}
			servers[i].take(l)
		}
		r := Plan(d, servers, nil)
		if ids := handlertest.IDs(r); ids != "pump-3" || r.Devices[0].Properties[details.PropertyHost] != to || r.Note != "" {
			t.Errorf("from %s: %v, note %s", from, r.Devices, r.Note)
		}
	}
}

// A report has limits, whatever there is.
func TestPlanLimits(t *testing.T) {
	d := mustDetails(t, "servers: [a, b, c, d, e, f, g]\nunits: [1-200]")
	answers := map[string]answer{}
	for _, s := range d.Servers {
		for _, u := range s.Units {
			answers[fmt.Sprintf("%s/%d", s.Host, u)] = answer{there: true}
		}
	}
	r := Plan(d, surveyed(d, answers), nil)
	if len(r.Devices) != maxDevices || !strings.HasPrefix(r.Note, "400 devices are left out") {
		t.Errorf("%d devices, note %s", len(r.Devices), r.Note)
	}
	d.Identity = 128
	number := 0
	for place := range answers {
		long := adu.Identification{Private: fmt.Sprintf("%0490d", number)}
		for i := range long.Objects {
			long.Objects[i] = strings.Repeat("x", 245)
		}
		answers[place] = answer{there: true, identification: &long}
		number++
	}
	total := 0
	for _, device := range Plan(d, surveyed(d, answers), nil).Devices {
		total += fit.Bytes(device)
	}
	if total > maxPropertyBytes || total < maxPropertyBytes-4096 {
		t.Errorf("%d bytes", total)
	}
	d = mustDetails(t, "servers: [10.0.0.0/24]")
	for _, s := range d.Servers {
		answers[s.Host+"/1"] = answer{err: fmt.Errorf("it is not %s", s.Host)}
	}
	if r := Plan(d, surveyed(d, answers), nil); len(r.Note) > maxNoteBytes || len(r.Note) < 400 {
		t.Errorf("%d bytes: %s", len(r.Note), r.Note)
	}
	if r := Plan(d, []server{newServer(d.Servers[0])}, nil); r.Note != "10.0.0.0/24: not all is known yet" {
		t.Errorf("%s", r.Note)
	}
}

func TestRanges(t *testing.T) {
	for want, ids := range map[string][]byte{
		"unit 1": {1}, "units 1-2": {1, 2}, "units 1 and 3": {1, 3}, "units 1-3, 7 and 9-10": {1, 2, 3, 7, 9, 10},
		"units 1, 3, 5 and 7": {1, 3, 5, 7}, "units 1, 3, 5 and others": {1, 3, 5, 7, 9}, "units 254-255": {254, 255},
	} {
		if got := ranges(ids); got != want {
			t.Errorf("%v: %s, want %s", ids, got, want)
		}
	}
}
