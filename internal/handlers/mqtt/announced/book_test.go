package announced

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/akri-go/akri/internal/handlers/mqtt/details"
)

var t0 = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

const everything = "broker: mqtt://b\nhomie: {}\nhomeAssistant: {}\n" +
	"topics: [{pattern: s/+/state, lostAfter: 10m}, {pattern: q/+/#, lostAfter: 1m}]"

// newBook returns a book with a connection, and the room that it has.
func newBook(t testing.TB, text string) (*Book, *Room) {
	t.Helper()
	d, err := details.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	room := NewRoom(MaxBytes)
	b := NewBook(d, room, func(Why) {})
	b.Connected(0)
	return b, room
}

// tell tells a message: "topic=payload", with "!" before it if it is not retained.
func tell(b *Book, text string, now time.Time) bool {
	text, live := strings.CutPrefix(text, "!")
	topic, payload, _ := strings.Cut(text, "=")
	return b.Take(Message{strings.Clone(topic), []byte(payload), !live}, now)
}

func ids(b *Book) string {
	var all []string
	for _, d := range b.Devices() {
		all = append(all, d.ID)
	}
	return strings.Join(all, " ")
}

func TestHomie(t *testing.T) {
	four := []string{"homie/a/$homie=4.0.0", "homie/a/$state=ready"}
	five := []string{`homie/5/a/$description={"homie":"5.0"}`, "homie/5/a/$state=ready"}
	child := append(slices.Clone(five), `homie/5/c/$description={"homie":"5.0","root":"a"}`, "homie/5/c/$state=ready")
	for name, c := range map[string]struct {
		told []string
		want string
	}{
		"convention 4":           {four, "homie/a"},
		"convention 3":           {[]string{"homie/a/$state=ready", "homie/a/$homie=3.0.1"}, "homie/a"},
		"convention 2":           {[]string{"homie/a/$homie=2.0.1", "homie/a/$state=ready"}, ""},
		"5 at the place of 4":    {[]string{"homie/a/$homie=5.0", "homie/a/$state=ready"}, ""},
		"no state":               {four[:1], ""},
		"no version":             {four[1:], ""},
		"init":                   {append(four[:1:1], "homie/a/$state=init"), ""},
		"init of one that was":   {append(four[:2:2], "homie/a/$state=init"), "homie/a"},
		"sleeping":               {append(four[:2:2], "homie/a/$state=sleeping"), "homie/a"},
		"alert":                  {append(four[:2:2], "homie/a/$state=alert"), "homie/a"},
		"disconnected":           {append(four[:2:2], "homie/a/$state=disconnected"), ""},
		"lost":                   {append(four[:2:2], "homie/a/$state=lost"), ""},
		"lost, then init":        {append(four[:2:2], "homie/a/$state=lost", "homie/a/$state=init"), ""},
		"lost, then ready":       {append(four[:2:2], "homie/a/$state=lost", "homie/a/$state=ready"), "homie/a"},
		"nonsense":               {append(four[:2:2], "homie/a/$state=happy"), ""},
		"state cleared":          {append(four[:2:2], "homie/a/$state="), ""},
		"version cleared":        {append(four[:2:2], "homie/a/$homie="), ""},
		"convention 5":           {five, "homie/a"},
		"5, state first":         {[]string{five[1], five[0]}, "homie/a"},
		"5, lost":                {append(five[:2:2], "homie/5/a/$state=lost"), ""},
		"5, description cleared": {append(five[:2:2], "homie/5/a/$description="), ""},
		"5, bad description":     {[]string{"homie/5/a/$description=7", five[1]}, ""},
		"5, bad later":           {append(five[:2:2], "homie/5/a/$description=7"), "homie/a"},
		"both, one device":       {append(five[:2:2], four...), "homie/a"},
		"child":                  {child, "homie/a homie/c"},
		"child, root lost":       {append(child[:4:4], "homie/5/a/$state=lost"), ""},
		"child, root asleep":     {append(child[:4:4], "homie/5/a/$state=disconnected"), "homie/c"},
		"child, root not there":  {child[2:], "homie/c"},
		"id with control":        {[]string{"homie/a\x01/$homie=4.0", "homie/a\x01/$state=ready"}, ""},
		"device 5":               {[]string{"homie/5/$homie=4.0", "homie/5/$state=ready"}, "homie/5"},
		"other domain":           {[]string{"other/a/$homie=4.0", "other/a/$state=ready"}, ""},
	} {
		b, _ := newBook(t, everything)
		for _, m := range c.told {
			tell(b, m, t0)
		}
		if got := ids(b); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestHomieInfo(t *testing.T) {
	b, _ := newBook(t, everything)
	for _, m := range []string{
		"homie/a/$homie=4.0.0", "homie/a/$name= Kitchen\n", "homie/a/$state=ready", "homie/a/$fw/name=relay", "homie/a/$fw/version=1.2", "homie/a/$localip=10.0.0.1",
		`homie/5/b/$description={"homie":"5.0","version":1,"name":"Bath","type":"com.example.relay"}`, "homie/5/b/$state=ready",
	} {
		tell(b, m, t0)
	}
	want := []Device{
		{ID: "homie/a", Convention: details.Homie4, Own: "a", Topic: "homie/a", Info: Info{Name: "Kitchen", Firmware: "relay 1.2"}},
		{ID: "homie/b", Convention: details.Homie5, Own: "b", Topic: "homie/5/b", Info: Info{Name: "Bath", Model: "com.example.relay"}},
	}
	if got := b.Devices(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%+v\nwant %+v", got, want)
	}
	if !tell(b, "homie/a/$name=Cellar", t0) || tell(b, "homie/a/$name=Cellar", t0) || tell(b, "homie/a/$localip=10.0.0.2", t0) {
		t.Error("news is only what is shown and other than before")
	}
}

func TestPattern(t *testing.T) {
	b, _ := newBook(t, everything)
	at := func(m int) time.Time { return t0.Add(time.Duration(m) * time.Minute) }
	if tell(b, "s/old/state=1", at(0)) || ids(b) != "" {
		t.Error("a retained message is no sign of life")
	}
	for _, m := range []string{"!s/x/state=1", "!s/x/other=1", "!s/x/state/more=1", "!q/y=1", "!q/z/a/b=1", "!s/\x7f/state=1", "!s//state=1"} {
		tell(b, m, at(0))
	}
	if got := ids(b); got != "q/y/# q/z/# s/x/state" {
		t.Errorf("%q", got)
	}
	tell(b, "!q/z/c=1", at(1))
	if news, next := b.Silence(at(1)); !news || next != at(2) || ids(b) != "q/z/# s/x/state" {
		t.Errorf("%v, %v, %q", news, next, ids(b))
	}
	b.Connected(time.Hour) // nobody could be heard in that hour
	if news, _ := b.Silence(at(61)); news {
		t.Error("lost while the broker was away")
	}
	if tell(b, "!s/x/state=1", at(61)); !tell(b, "!s/x/state=", at(61)) {
		t.Error("a good-bye is no news")
	}
	if news, next := b.Silence(at(200)); !news || !next.IsZero() || ids(b) != "" || b.held != 0 {
		t.Errorf("%v, %v, %q, %d bytes held", news, next, ids(b), b.held)
	}
}

// What is not told again on another connection is gone after it was swept.
func TestSweep(t *testing.T) {
	b, room := newBook(t, everything)
	config := `homeassistant/light/%s/config={"dev":{"ids":"%s"},"avty_t":"%s/a"}`
	for _, id := range []string{"a", "b"} {
		for _, m := range []string{"homie/" + id + "/$homie=4.0", "homie/" + id + "/$state=ready", fmt.Sprintf(config, id, id, id), id + "/a=online"} {
			tell(b, m, t0)
		}
	}
	all := "homeassistant/a homeassistant/b homie/a homie/b"
	if got := ids(b); got != all {
		t.Fatalf("%q", got)
	}
	b.Connected(time.Second)
	if add, _ := b.Wanted(1 << 20); !slices.Contains(add, "a/a") || !slices.Contains(add, "homie/+/$state") || !slices.Contains(add, "s/+/state") {
		t.Errorf("subscribed to %q", add)
	}
	for _, m := range []string{"homie/a/$homie=4.0", "homie/a/$state=ready", "homie/b/$homie=4.0", fmt.Sprintf(config, "a", "a", "a"), "a/a=online", fmt.Sprintf(config, "b", "b", "b")} {
		tell(b, m, t0)
	}
	if got := ids(b); got != all {
		t.Errorf("before it is swept: %q", got)
	}
	b.Sweep()
	if got := ids(b); got != "homeassistant/a homie/a" {
		t.Errorf("after: %q", got)
	}
	b.Clear()
	if ids(b) != "" || room.left != MaxBytes {
		t.Errorf("%q; %d bytes are held", ids(b), MaxBytes-room.left)
	}
}

// Whatever was said, the room is given back with it, and what is subscribed to is
// what entities name.
func TestNothingIsLeft(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	b, room := newBook(t, everything)
	subscribed := map[string]bool{}
	follow := func() {
		add, drop := b.Wanted(1 << 20)
		for _, f := range drop {
			if !subscribed[f] {
				t.Errorf("%s: was not subscribed to", f)
			}
			delete(subscribed, f)
		}
		for _, f := range add {
			subscribed[f] = true
		}
	}
	topics := []string{"homie/a/$homie", "homie/a/$state", "homie/a/$name", "homie/5/a/$description", "homie/5/a/$state", "!s/x/state", "!q/y/z",
		"homeassistant/l/a/config", "homeassistant/l/b/config", "homeassistant/l/n/c/config", "av/1", "av/2"}
	payloads := []string{"", "4.0", "ready", "lost", `{"homie":"5.1","root":"b"}`, "online", "{", `{"dev":{"ids":"a"},"avty_t":"av/1"}`,
		`{"dev":{"ids":["a","c"]},"avty":[{"t":"av/1"},{"t":"av/2"}],"avty_mode":"all"}`, `{"dev":{"cns":[["mac","00"]]},"avty":{"t":"av/2"}}`}
	for i := range 3_000 {
		tell(b, topics[random.IntN(len(topics))]+"="+payloads[random.IntN(len(payloads))], t0)
		if i%3 == 0 {
			follow()
		}
		if i%500 == 0 {
			b.Connected(0)
			clear(subscribed)
			follow()
		}
		if i%700 == 0 {
			b.Sweep()
		}
		b.Devices()
	}
	follow()
	if want := len(b.hass.topics); len(subscribed) != 11+want {
		t.Errorf("subscribed to %q, entities name %d topics", slices.Sorted(maps.Keys(subscribed)), want)
	}
	for _, topic := range topics {
		tell(b, topic+"=", t0)
	}
	b.Silence(t0.Add(time.Hour))
	if b.held != 0 || room.left != MaxBytes || len(b.hass.topics) != 0 {
		t.Errorf("%d bytes are held, %d left, topics %v", b.held, room.left, b.hass.topics)
	}
}

// What a book holds is about what it takes.
func TestMemory(t *testing.T) {
	long := strings.Repeat("x", 200)
	for name, message := range map[string]string{
		"homie":       `homie/5/%d/$description={"homie":"5.0","name":"` + long + `"}`,
		"homie, few":  "homie/%d/$state=ready",
		"patterns":    "!q/%d/" + long + "=1",
		"hass":        `homeassistant/l/%d/config={"dev":{"ids":"%[1]d","mf":"` + long + `"},"avty_t":"t/%[1]d","x":"` + long + long + `"}`,
		"hass, lists": `homeassistant/l/%d/config={"dev":{"ids":"%[1]d"},"avty":[{"t":"t/%[1]d","pl_avail":"%[1]d"},{"t":"u"}]}`,
	} {
		var before, after runtime.MemStats
		b, _ := newBook(t, everything)
		runtime.GC()
		runtime.ReadMemStats(&before)
		for i := 0; b.held < maxBookBytes/4; i++ {
			tell(b, fmt.Sprintf(message, i), t0)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		used := int(after.HeapAlloc) - int(before.HeapAlloc)
		t.Logf("%s: %d KiB held, %d KiB used", name, b.held>>10, used>>10)
		if used > 3*b.held/2 || used < b.held/3 {
			t.Errorf("%s: %d KiB held, %d KiB used", name, b.held>>10, used>>10)
		}
		runtime.KeepAlive(b)
	}
}

// A flood fills no more than its room, and another book still has its own.
func TestFlood(t *testing.T) {
	b, room := newBook(t, everything)
	other := NewBook(details.Details{Domains: []string{"homie"}}, room, func(Why) {})
	for i := range 12_000 {
		tell(b, fmt.Sprintf(`homeassistant/l/%d/config={"name":"%s","dev":{"ids":"%[1]d","mf":"%[2]s"},"avty_t":"t/%[1]d"}`, i, strings.Repeat("x", 200)), t0)
	}
	if b.held > maxBookBytes || b.held < maxBookBytes/2 || len(b.hass.entities) < 8000 {
		t.Errorf("%d bytes, %d entities", b.held, len(b.hass.entities))
	}
	add, _ := b.Wanted(1 << 20)
	if len(add) > maxAvailabilityTopics+20 || b.Problems()[Full] == "" {
		t.Errorf("%d topics, problems %v", len(add), b.Problems())
	}
	if !tell(other, "homie/a/$state=ready", t0) {
		t.Error("no room for another book")
	}
}

func FuzzTake(f *testing.F) {
	for _, m := range [][2]string{
		{"homie/5/a/$description", `{"homie":"5.0","root":"b","name":"n"}`},
		{"homeassistant/l/a/config", `{"~":"b","avty":[{"t":"~/a","val_tpl":"{{ value_json.state }}"}],"dev":{"ids":["a"],"cns":[["mac","b"]],"mf":"m"}}`},
		{"homeassistant/device/a/config", `{"dev":{"ids":"a"},"o":{"name":"n"},"cmps":{"x":{"p":"sensor"}},"avty_t":"a"}`},
		{"s/x/state", "1"},
	} {
		f.Add(m[0], []byte(m[1]), []byte(`{"state":"online"}`), true)
	}
	f.Fuzz(func(t *testing.T, topic string, payload, said []byte, retained bool) {
		b, room := newBook(t, everything)
		b.Take(Message{topic, payload, retained}, t0)
		for name := range b.hass.topics {
			if !details.IsTopic(name) {
				t.Errorf("subscribed to %q", name)
			}
			b.Take(Message{name, said, true}, t0)
		}
		for _, d := range b.Devices() {
			if d.ID == "" || len(d.ID) > 2*details.MaxTopicBytes || clean(d.Name) != d.Name {
				t.Errorf("%+v", d)
			}
		}
		b.Connected(0)
		b.Sweep()
		b.Silence(t0.Add(time.Hour))
		if b.held != 0 || room.left != MaxBytes {
			t.Errorf("%d bytes are held", b.held)
		}
	})
}
