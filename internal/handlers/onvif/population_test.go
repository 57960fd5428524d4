package onvif

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/akri-go/akri/internal/handlers/onvif/camera"
	"github.com/akri-go/akri/internal/handlers/onvif/details"
	"github.com/akri-go/akri/internal/handlers/onvif/soap"
)

var t0 = time.Unix(1000, 0)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func seen(uuid, from string) camera.Sighting {
	return camera.Sighting{UUID: uuid, From: addr(from), XAddrs: []string{"http://" + from + "/"}}
}

// answers has a camera answer as a whole one would.
func answers(p *population, uuid, from string) answer {
	return p.answered(uuid, camera.Facts{URL: "http://" + from + "/", Address: addr(from), Seen: addr(from), Addresses: []netip.Addr{addr(from)}}, nil)
}

func TestHear(t *testing.T) {
	p := newPopulation()
	moved := seen("a", "10.0.0.1")
	moved.XAddrs = []string{"http://10.0.0.1:81/"}
	for i, c := range []struct {
		s         camera.Sighting
		announced bool
		want      news
	}{
		{seen("a", "10.0.0.1"), false, ask},
		{seen("a", "10.0.0.1"), false, nothing},
		{seen("b", "10.0.0.1"), false, ask}, // two at one address
		{seen("a", "10.0.0.1"), true, ask},  // a Hello
		{moved, false, ask},
		{moved, false, nothing},
		{seen("a", "10.0.0.2"), false, ask},
	} {
		if got := p.hear(c.s, c.announced, t0); got != c.want {
			t.Errorf("step %d: %v, want %v", i, got, c.want)
		}
	}
	answers(p, "a", "10.0.0.2")
	if got := p.hear(seen("a", "10.0.0.3"), false, t0); got != confirm {
		t.Errorf("an answer from elsewhere: %v", got)
	}
}

// However many claim to be a camera, where it answers is not forgotten.
func TestImpostors(t *testing.T) {
	p := newPopulation()
	p.hear(seen("a", "10.0.0.1"), false, t0)
	answers(p, "a", "10.0.0.1")
	for i := range 20 {
		p.hear(seen("a", fmt.Sprintf("10.0.1.%d", i)), false, t0)
	}
	q := p.question("a")
	list, present := q.Sightings, q.Present
	if len(list) != maxSightings || present != "http://10.0.0.1/" ||
		!slices.ContainsFunc(list, func(s camera.Sighting) bool { return s.From == addr("10.0.0.1") }) {
		t.Errorf("%+v, %s", list, present)
	}
}

func TestRoom(t *testing.T) {
	p := newPopulation()
	count := func(from func(int) string, n int) (taken int) {
		for i := range n {
			if p.hear(seen(fmt.Sprintf("%s-%d", from(i), i), from(i)), false, t0) != dropped {
				taken++
			}
		}
		return taken
	}
	if n := count(func(int) string { return "10.0.0.1" }, 10_000); n != maxPerSource {
		t.Errorf("%d cameras of one address", n)
	}
	if n := count(func(i int) string { return fmt.Sprintf("2001:db8::%x", i+1) }, 1000); n != maxPerSource {
		t.Errorf("%d cameras of one network of IPv6", n)
	}
	if n := count(func(int) string { return "10.0.0.2" }, 1); n != 1 {
		t.Error("a flood keeps another out")
	}
	// All places are taken by cameras that nobody has asked; then one is asked in
	// vain and gives way.
	count(func(i int) string { return fmt.Sprintf("10.1.%d.%d", i>>8, i&255) }, maxCameras)
	if len(p.cameras) != maxCameras || p.hear(seen("new", "10.9.0.1"), false, t0) != dropped {
		t.Errorf("%d cameras, and room for more", len(p.cameras))
	}
	p.answered("10.0.0.2-0", camera.Facts{}, errors.New("no"))
	if p.hear(seen("new", "10.9.0.1"), false, t0) != ask || len(p.cameras) != maxCameras || p.cameras["10.0.0.2-0"] != nil {
		t.Errorf("%d cameras", len(p.cameras))
	}
}

func TestRounds(t *testing.T) {
	p := newPopulation()
	p.hear(seen("a", "10.0.0.1"), false, t0)
	p.hear(seen("b", "10.0.0.2"), false, t0)
	answers(p, "a", "10.0.0.1")
	for i := 1; i <= maxMissed; i++ {
		lost, missing, moved := p.round(t0.Add(time.Duration(i) * time.Second))
		slices.Sort(lost)
		last := i == maxMissed
		if last != slices.Equal(lost, []string{"a", "b"}) || last != (len(missing) == 0) || len(moved) != 0 {
			t.Errorf("round %d: lost %q, missing %q, moved %q", i, lost, missing, moved)
		}
	}
	if len(p.cameras) != 0 || len(p.sources) != 0 {
		t.Errorf("left: %v, %v", p.cameras, p.sources)
	}
	// One answer in between, and the count begins anew.
	p.hear(seen("a", "10.0.0.1"), false, t0)
	for i := 1; i < 10; i++ {
		at := t0.Add(time.Duration(i) * time.Second)
		if i%maxMissed == 0 {
			p.hear(seen("a", "10.0.0.1"), false, at)
		}
		if lost, _, _ := p.round(at); len(lost) > 0 {
			t.Errorf("round %d: lost %q", i, lost)
		}
	}
}

// A camera that is heard from elsewhere, and no longer from where it was, is asked:
// its old address may be another camera's.
func TestMoved(t *testing.T) {
	p := newPopulation()
	p.hear(seen("a", "10.0.0.1"), false, t0)
	answers(p, "a", "10.0.0.1")
	later := t0.Add(time.Second)
	p.hear(seen("a", "10.0.0.9"), false, later)
	lost, missing, moved := p.round(later)
	if len(lost)+len(missing) != 0 || !slices.Equal(moved, []string{"a"}) {
		t.Errorf("lost %q, missing %q, moved %q", lost, missing, moved)
	}
	if list := p.question("a").Sightings; len(list) != 1 || list[0].From != addr("10.0.0.9") {
		t.Errorf("%+v", list)
	}
}

func TestBye(t *testing.T) {
	p := newPopulation()
	p.hear(seen("a", "10.0.0.1"), false, t0)
	p.answered("a", camera.Facts{URL: "u", Seen: addr("10.0.0.1"), Addresses: []netip.Addr{addr("10.0.0.1"), addr("10.0.0.5")}}, nil)
	if p.bye("b", addr("10.0.0.1"), t0) || p.bye("a", addr("10.0.0.9"), t0) {
		t.Error("a Bye from elsewhere is believed")
	}
	if !p.bye("a", addr("10.0.0.5"), t0) || p.cameras["a"] != nil {
		t.Error("a Bye of the camera is not believed")
	}
	if p.hear(seen("a", "10.0.0.1"), false, t0.Add(afterBye/2)) != nothing || p.cameras["a"] != nil {
		t.Error("an answer that was under way brings it back")
	}
	if p.hear(seen("a", "10.0.0.1"), true, t0.Add(afterBye/2)) != ask {
		t.Error("a Hello does not bring it back")
	}
	p.bye("a", addr("10.0.0.1"), t0)
	if p.hear(seen("a", "10.0.0.1"), false, t0.Add(afterBye)) != ask {
		t.Error("a later answer does not bring it back")
	}
}

// A good-bye in a camera's name, or a flood in which its answers are lost, gives
// nobody its place: it has it again once it is heard from there.
func TestHome(t *testing.T) {
	for _, goes := range []func(*population){
		func(p *population) { p.bye("a", addr("10.0.0.1"), t0) },
		func(p *population) {
			for range maxMissed {
				p.round(t0.Add(time.Millisecond))
			}
		},
	} {
		p := newPopulation()
		p.hear(seen("a", "10.0.0.1"), false, t0)
		answers(p, "a", "10.0.0.1")
		goes(p)
		if p.cameras["a"] != nil {
			t.Fatal("it is not gone")
		}
		later := t0.Add(time.Minute)
		if got := p.hear(seen("a", "10.0.0.66"), true, later); got != confirm {
			t.Errorf("another in its name: %v", got)
		}
		answers(p, "a", "10.0.0.66")
		if got := p.hear(seen("a", "10.0.0.1"), false, later); got != confirm {
			t.Errorf("it comes back: %v", got)
		}
		if q := p.question("a"); q.Present != "http://10.0.0.1/" || q.PresentAt != addr("10.0.0.1") {
			t.Errorf("asked at %s, %s", q.Present, q.PresentAt)
		}
		answers(p, "a", "10.0.0.1")
		p.round(later.Add(time.Second)) // it has another address from now on
		p.hear(seen("a", "10.0.0.7"), true, later.Add(time.Second))
		p.round(later.Add(time.Second))
		if q := p.question("a"); q.PresentAt.IsValid() {
			t.Errorf("asked where it is not heard from: %+v", q)
		}
	}
}

// What is remembered of cameras that are gone is bounded.
func TestManyGone(t *testing.T) {
	p := newPopulation()
	for i := range 3 * maxCameras {
		uuid, from := fmt.Sprint(i), fmt.Sprintf("10.1.%d.%d", i>>8&255, i&255)
		p.hear(seen(uuid, from), true, t0)
		answers(p, uuid, from)
		p.bye(uuid, addr(from), t0)
	}
	if len(p.left) > maxCameras || len(p.cameras) != 0 {
		t.Errorf("%d are remembered", len(p.left))
	}
}

func TestAnswered(t *testing.T) {
	p := newPopulation()
	p.hear(seen("a", "10.0.0.1"), false, t0)
	whole := camera.Facts{URL: "u", Model: "m"}
	partly := camera.Facts{URL: "u", Missing: errors.New("slow")}
	locked := camera.Facts{URL: "u", Missing: &soap.AuthError{}}
	failed := errors.New("away")
	for i, c := range []struct {
		f     camera.Facts
		err   error
		want  answer
		known string // the model, "-" if nothing is
	}{
		{camera.Facts{}, failed, unanswered, "-"},
		{partly, nil, unanswered, ""},
		{whole, nil, changed, "m"},
		{whole, nil, asBefore, "m"},
		{partly, nil, unanswered, "m"}, // what is known is better
		{camera.Facts{}, failed, unanswered, "m"},
		{camera.Facts{}, failed, unanswered, "m"},
		{whole, nil, asBefore, "m"},
		{camera.Facts{}, failed, unanswered, "m"},
		{camera.Facts{}, failed, unanswered, "m"},
		{camera.Facts{}, failed, unanswered, "-"}, // three times
		{whole, nil, changed, "m"},
		{locked, nil, refused, ""},
	} {
		got := p.answered("a", c.f, c.err)
		known := "-"
		if f := p.cameras["a"].facts; f != nil {
			known = f.Model
		}
		if got != c.want || known != c.known {
			t.Errorf("step %d: %v, %q; want %v, %q", i, got, known, c.want, c.known)
		}
	}
	if p.answered("other", whole, nil) != asBefore {
		t.Error("a camera that is gone answers")
	}
}

func TestNote(t *testing.T) {
	if got := note(nil); got != "" {
		t.Errorf("%q", got)
	}
	if got := note(strings.Fields("a b c d e f g")); got != "a; b; c; d; e; and 2 more" {
		t.Errorf("%q", got)
	}
	k := &known{problem: problem(fmt.Errorf("x: %w", &soap.AuthError{User: "u"})), facts: &camera.Facts{URL: "http://h/"}}
	if got := faultyOf("id", k).String(); !strings.HasPrefix(got, `camera id at http://h/: x: it refuses the user "u"`) || len(got) > maxProblem {
		t.Errorf("%q", got)
	}
	// What helps is said, however long the cause is.
	long := &soap.AuthError{User: "u", Reason: strings.Repeat("x", 1000)}
	k = &known{problem: problem(long), facts: &camera.Facts{URL: "http://192.168.100.100:8000/onvif/device_service"}}
	if got := faultyOf(strings.Repeat("u", 36), k).String(); !strings.HasSuffix(got, "cameras lock accounts") {
		t.Errorf("%q", got)
	}
	var all []faulty
	for _, uuid := range strings.Fields("a b c") {
		all = addFaulty(all, uuid, &known{problem: problem(&soap.AuthError{})})
	}
	if len(all) != 1 || !strings.HasPrefix(all[0].String(), "camera a and 2 more: it wants") {
		t.Errorf("%v", all)
	}
}

// A report without devices says why, as far as that is known.
func TestWhyNone(t *testing.T) {
	p := newPopulation()
	for i, uuid := range strings.Fields("a b") {
		from := addr(fmt.Sprintf("10.0.0.%d", i+1))
		p.cameras[uuid] = &known{
			sightings: []sighting{{Sighting: camera.Sighting{UUID: uuid, From: from}}},
			facts:     &camera.Facts{URL: "http://h/", Address: from, Addresses: []netip.Addr{from, addr("10.0.1.1")}},
		}
	}
	p.cameras["c"] = &known{sightings: []sighting{{Sighting: camera.Sighting{UUID: "c", From: addr("10.0.0.3")}}}}
	for _, c := range []struct{ details, note string }{
		{"", ""},
		{"ipAddresses: {action: Include, items: [10.0.0.1]}", ""}, // some are found: that is what filters are for
		{"ipAddresses: {action: Include, items: [10.0.0.9]}", "no camera passes the filters of discoveryDetails (of 2 that answer)"},
		{"addresses: [10.0.0.1, 10.0.0.3, 10.0.1.1]", ""},
		{"addresses: [10.0.0.1, 10.0.0.7]", "no camera answers at 10.0.0.7: switch ONVIF on there, and let UDP port 3702 through"},
		{"addresses: [10.0.0.9, 10.0.0.1, 10.0.0.7]", "no camera answers at 10.0.0.9 and 1 more: switch"},
	} {
		d, err := details.Parse(c.details)
		if err != nil {
			t.Fatal(err)
		}
		if got := report(d, p).Note; !strings.HasPrefix(got, c.note) || (got == "") != (c.note == "") {
			t.Errorf("%q: %q, want %q", c.details, got, c.note)
		}
	}
}
