package announced

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/akri-go/akri/internal/handlers/mqtt/details"
)

// hass has the devices that announce themselves by Home Assistant's discovery. A
// device has entities, each with a topic of its own that configures it; one entity
// that is available makes the device so.
type hass struct {
	book     *Book
	prefix   string
	entities map[string]*entity            // by the topic
	topics   map[string]*availabilityTopic // that entities name
	over     int                           // of them, without a place
}

// id is that of a device.
func (h *hass) id(device string) string { return h.prefix + "/" + device }

const (
	// maxAvailabilityTopics is how many topics are subscribed to because devices
	// have announced them.
	maxAvailabilityTopics = 4096
	// maxReadings is in how many ways entities may read one topic.
	maxReadings = 16
	// maxAvailabilityBytes is how large what they say may be.
	maxAvailabilityBytes = 1 << 10

	entityBytes       = 300 // an entity, beside its texts
	availabilityBytes = 300 // an availability topic, and what was said
)

func (h *hass) filters() []string {
	return []string{h.prefix + "/+/+/config", h.prefix + "/+/+/+/config"}
}

// named returns the availability topics that entities name, of which those that are
// subscribed to keep their places.
func (h *hass) named() (topics []string) {
	for topic, t := range h.topics {
		if !t.over {
			topics = append(topics, topic)
		}
	}
	topics = append(topics, h.promote()...)
	for topic, t := range h.topics {
		if t.over {
			h.book.reject(Full, topic)
			break
		}
	}
	return topics
}

// promote returns topics that had no place and have one now.
func (h *hass) promote() (topics []string) {
	if h.over == 0 {
		return nil
	}
	for topic, t := range h.topics {
		if len(h.topics)-h.over >= maxAvailabilityTopics {
			break
		}
		if t.over {
			t.over = false
			h.over--
			topics = append(topics, topic)
		}
	}
	return topics
}

// configures tells whether a topic configures an entity:
// <prefix>/<component>/[<node>/]<object>/config.
func (h *hass) configures(topic string) bool {
	rest, ok := strings.CutPrefix(topic, h.prefix+"/")
	if !ok || !strings.HasSuffix(rest, "/config") {
		return false
	}
	slashes := strings.Count(rest, "/")
	return slashes == 2 || slashes == 3
}

// take takes a message.
func (h *hass) take(m Message, now time.Time) (news bool) {
	if t := h.topics[m.Topic]; t != nil {
		news = h.say(t, m)
	}
	if h.configures(m.Topic) {
		news = h.configure(m, now) || news
	}
	return news
}

// say takes what is said of the availability of entities.
func (h *hass) say(t *availabilityTopic, m Message) (news bool) {
	if len(m.Payload) > maxAvailabilityBytes {
		h.book.reject(Large, m.Topic)
		return false
	}
	t.round = h.book.round
	t.at = h.book.next()
	if t.known && t.payload == string(m.Payload) {
		return false
	}
	if !h.book.hold(len(m.Payload)-len(t.payload), m.Topic) {
		return false
	}
	t.set(string(m.Payload), len(m.Payload) > 0)
	return true
}

// configure takes the configuration of an entity.
func (h *hass) configure(m Message, now time.Time) (news bool) {
	old := h.entities[m.Topic]
	if len(m.Payload) == 0 {
		h.remove(m.Topic)
		h.book.fine(m.Topic)
		if old != nil {
			h.book.bye(h.id(old.device), now)
		}
		return old != nil
	}
	e, why := parseEntity(m.Payload)
	switch {
	case why == "":
	case why == Malformed && old != nil: // as Home Assistant, which keeps what it knows
		old.round = h.book.round
		h.book.reject(why, m.Topic)
		return false
	default:
		h.book.reject(why, m.Topic)
		h.remove(m.Topic)
		return old != nil
	}
	e.round = h.book.round
	if old != nil && old.same(e) {
		old.round = e.round
		return false
	}
	before := 0
	if old != nil {
		before = old.bytes(m.Topic)
	}
	if !h.book.hold(e.bytes(m.Topic)-before, m.Topic) {
		return false
	}
	h.book.fine(m.Topic)
	h.book.stays(h.id(e.device))
	for _, a := range e.availability { // before the old ones go, so that what was said stays
		h.name(a)
	}
	if old != nil {
		h.unname(old)
	}
	h.entities[m.Topic] = e
	return true
}

// remove forgets an entity.
func (h *hass) remove(topic string) {
	if e := h.entities[topic]; e != nil {
		h.unname(e)
		h.book.hold(-e.bytes(topic), "")
		delete(h.entities, topic)
	}
}

// name notes that an entity names a topic for its availability.
func (h *hass) name(a availability) {
	t := h.topics[a.topic]
	if t == nil {
		t = &availabilityTopic{over: len(h.topics)-h.over >= maxAvailabilityTopics}
		h.topics[a.topic] = t
		if t.over {
			h.over++
		} else {
			h.book.add = append(h.book.add, a.topic)
		}
	}
	t.entities++
	at := t.find(a.reading)
	if at < 0 && len(t.readings) < maxReadings {
		at = len(t.readings)
		t.readings = append(t.readings, read{reading: a.reading})
		t.tell(&t.readings[at])
	}
	if at >= 0 {
		t.readings[at].entities++
	}
	if at < 0 || t.over {
		h.book.reject(Full, a.topic)
	}
}

// unname takes that back.
func (h *hass) unname(e *entity) {
	for _, a := range e.availability {
		t := h.topics[a.topic]
		if at := t.find(a.reading); at >= 0 {
			if t.readings[at].entities--; t.readings[at].entities == 0 {
				t.readings = slices.Delete(t.readings, at, at+1)
			}
		}
		if t.entities--; t.entities > 0 {
			continue
		}
		h.book.hold(-len(t.payload), "")
		delete(h.topics, a.topic)
		if t.over {
			h.over--
			continue
		}
		if i := slices.Index(h.book.add, a.topic); i >= 0 {
			h.book.add = slices.Delete(h.book.add, i, i+1)
		} else {
			h.book.drop = append(h.book.drop, a.topic)
		}
	}
}

// sweep forgets what was not told on this connection.
func (h *hass) sweep() {
	for topic, e := range h.entities {
		if e.round != h.book.round {
			h.remove(topic)
		}
	}
	for _, t := range h.topics {
		if t.known && t.round != h.book.round {
			h.book.hold(-len(t.payload), "")
			t.set("", false)
		}
	}
}

// appendDevices puts the entities of each device together.
func (h *hass) appendDevices(all []Device) []Device {
	devices := map[string]*Device{}
	online := map[string]bool{}
	for _, topic := range slices.Sorted(maps.Keys(h.entities)) {
		e := h.entities[topic]
		d := devices[e.device]
		if d == nil {
			d = &Device{ID: h.id(e.device), Convention: details.HomeAssistant, Own: e.device}
			devices[e.device] = d
		}
		d.ConfigTopics = append(d.ConfigTopics, topic)
		d.Info.complete(e.info)
		online[e.device] = h.available(e) || online[e.device]
	}
	for device, d := range devices {
		if online[device] {
			all = append(all, *d)
		}
	}
	return all
}

// complete fills in what another entity of the device says.
func (i *Info) complete(more Info) {
	for _, f := range [][2]*string{
		{&i.Name, &more.Name}, {&i.Manufacturer, &more.Manufacturer}, {&i.Model, &more.Model},
		{&i.Firmware, &more.Firmware}, {&i.Hardware, &more.Hardware}, {&i.Serial, &more.Serial}, {&i.Location, &more.Location},
	} {
		if *f[0] == "" {
			*f[0] = *f[1]
		}
	}
}
