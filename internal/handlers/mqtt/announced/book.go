// Package announced knows which devices have announced themselves on a broker. It
// is told each message that comes, and connects to nothing.
//
// A [Book] is what one Configuration has heard. It has a part for each of the
// conventions: Homie, Home Assistant's discovery, and patterns of topics. What a
// message says is written down by its topic, so a later one replaces it and an
// empty one takes it away, as with the messages that a broker retains.
package announced

import (
	"cmp"
	"slices"
	"time"

	"github.com/akri-go/akri/internal/handlers/mqtt/details"
)

// Device is a device that has announced itself and is there.
type Device struct {
	// ID tells it from all others of the broker.
	ID string
	// Convention is how it has announced itself: a value of
	// [details.PropertyConvention].
	Convention string
	// Name is what it is called there. Topic is below what it speaks; "" for Home
	// Assistant's, which have the topics of ConfigTopics.
	Own, Topic   string
	ConfigTopics []string
	// Info is what it says of itself. Those that need not say their name have their
	// own.
	Info
}

// Info is what a device says of itself; "" for what it does not say.
type Info struct {
	Name, Manufacturer, Model, Firmware, Hardware, Serial, Location string
}

// Message is what a broker has delivered. Retained says that it may be old.
type Message struct {
	Topic    string
	Payload  []byte
	Retained bool
}

// Book is what one Configuration has heard on its broker. It is for one goroutine.
type Book struct {
	round    uint32 // the connection, counted
	homie    []*homie
	hass     *hass
	patterns []*pattern

	room     *Room
	held     int // bytes, of room
	dropped  func(Why)
	problems map[Why]string       // the topic of the first message
	noted    bool                 // there are other problems than before
	add      []string             // topics to subscribe to
	drop     []string             // and to unsubscribe from
	said     uint64               // counts messages
	left     map[string]time.Time // devices whose last word was good-bye, and when
	full     bool                 // there was no room, for what is retained is not told again
	again    time.Time            // when it may be asked for again
}

// Why says why a message was not taken.
type Why string

// The reasons.
const (
	Large      Why = "large"      // it has too many bytes
	Malformed  Why = "malformed"  // it is not what the convention says
	Deviceless Why = "deviceless" // an entity of Home Assistant's that names no device
	Convention Why = "convention" // a device of Homie's that keeps a convention that is not understood
	Full       Why = "full"       // there is no room for what it says
)

// Reasons returns all of them.
func Reasons() []Why { return []Why{Large, Malformed, Deviceless, Convention, Full} }

// NewBook makes a book. dropped is told of each message that was not taken.
func NewBook(d details.Details, room *Room, dropped func(Why)) *Book {
	b := &Book{room: room, dropped: dropped, problems: map[Why]string{}, left: map[string]time.Time{}}
	for _, domain := range d.Domains {
		b.homie = append(b.homie, &homie{book: b, domain: domain, devices: map[homieKey]*homieDevice{}})
	}
	if d.Prefix != "" {
		b.hass = &hass{book: b, prefix: d.Prefix,
			entities: map[string]*entity{}, topics: map[string]*availabilityTopic{}}
	}
	for _, p := range d.Patterns {
		b.patterns = append(b.patterns, &pattern{Pattern: p, book: b, heard: map[string]time.Time{}})
	}
	return b
}

// Connected begins another connection: all that is retained will be told again.
// away is how long the broker was away; that time nobody was silent.
func (b *Book) Connected(away time.Duration) {
	b.round++
	clear(b.problems) // they come again
	b.full = false
	b.add, b.drop = b.announcements(), nil
	if b.hass != nil {
		b.add = append(b.add, b.hass.named()...)
	}
	for _, p := range b.patterns {
		b.add = append(b.add, p.Filter)
		p.away(away)
	}
}

// announcements are the topic filters of what is retained.
func (b *Book) announcements() (filters []string) {
	for _, h := range b.homie {
		filters = append(filters, h.filters()...)
	}
	if b.hass != nil {
		filters = append(filters, b.hass.filters()...)
	}
	return filters
}

// Wanted returns the topic filters to subscribe to, as many as most, and to
// unsubscribe from, since it was called last.
func (b *Book) Wanted(most int) (add, drop []string) {
	add, drop = b.add, b.drop
	b.add, b.drop = nil, nil
	if len(add) > most {
		add, b.add = add[:most:most], add[most:]
	}
	return add, drop
}

// Wants tells whether there is something that Wanted would return.
func (b *Book) Wants() bool { return len(b.add)+len(b.drop) > 0 }

// Sweep forgets what was not told on the present connection.
func (b *Book) Sweep() {
	for _, h := range b.homie {
		h.sweep()
	}
	if b.hass != nil {
		b.hass.sweep()
	}
}

// Clear forgets all devices.
func (b *Book) Clear() {
	b.room.give(b.held)
	b.held = 0
	for _, h := range b.homie {
		clear(h.devices)
	}
	if b.hass != nil {
		clear(b.hass.entities)
		clear(b.hass.topics)
		b.hass.over = 0
	}
	for _, p := range b.patterns {
		clear(p.heard)
		p.due = time.Time{}
	}
}

// Take takes a message, and tells whether there may be other devices or problems
// now.
func (b *Book) Take(m Message, now time.Time) (news bool) {
	if len(m.Topic) > details.MaxTopicBytes {
		return b.TooLarge(m.Topic)
	}
	b.noted = false
	for _, h := range b.homie {
		news = h.take(m, now) || news
	}
	if b.hass != nil {
		news = b.hass.take(m, now) || news
	}
	for _, p := range b.patterns {
		news = p.take(m, now) || news
	}
	return news || b.noted
}

// Silence takes away the devices that have been silent for too long, and returns
// when to call it again; zero if there is no need.
func (b *Book) Silence(now time.Time) (news bool, next time.Time) {
	for _, p := range b.patterns {
		gone, at := p.silence(now)
		news = news || gone
		if next.IsZero() || !at.IsZero() && at.Before(next) {
			next = at
		}
	}
	return news, next
}

// Devices returns the devices that are there, by their ids. Of two with one id the
// one counts that is announced by the convention that is named first in [Device].
func (b *Book) Devices() []Device {
	var all []Device
	for _, h := range b.homie {
		all = h.appendDevices(all)
	}
	if b.hass != nil {
		all = b.hass.appendDevices(all)
	}
	for _, p := range b.patterns {
		all = p.appendDevices(all)
	}
	slices.SortStableFunc(all, func(x, y Device) int { return cmp.Compare(x.ID, y.ID) })
	return slices.CompactFunc(all, func(x, y Device) bool { return x.ID == y.ID })
}

// Problems returns for each reason for which a message was not taken the topic of
// the first such one.
func (b *Book) Problems() map[Why]string { return b.problems }

// reject notes a message that was not taken.
func (b *Book) reject(why Why, topic string) {
	b.dropped(why)
	if _, there := b.problems[why]; !there {
		b.problems[why], b.noted = topic, true
	}
}

// TooLarge notes a message that was not even read, whose topic may not be known. It
// tells whether that is news.
func (b *Book) TooLarge(topic string) (news bool) {
	b.noted = false
	b.reject(Large, topic)
	return b.noted
}

// fine notes that there is nothing wrong any more with what a topic says.
func (b *Book) fine(topic string) {
	for why, first := range b.problems {
		if first == topic && why != Full {
			delete(b.problems, why)
			b.noted = true
		}
	}
}

// next counts on.
func (b *Book) next() uint64 {
	b.said++
	return b.said
}

// hold asks for room for so many bytes, or gives some back if they are below 0. It
// tells whether there is room.
func (b *Book) hold(bytes int, topic string) bool {
	if bytes > 0 && (b.held+bytes > maxBookBytes || !b.room.take(b.held, bytes)) {
		b.reject(Full, topic)
		b.full = true
		return false
	}
	if bytes < 0 {
		b.room.give(-bytes)
	}
	b.held += bytes
	return true
}
