package announced

import (
	"strings"
	"time"

	"github.com/akri-go/akri/internal/handlers/mqtt/details"
)

// pattern has the devices that a pattern of topics finds.
type pattern struct {
	details.Pattern

	book  *Book
	heard map[string]time.Time // when a device was heard last
	// due is not after the time at which the first of them has been silent for too
	// long; zero if there is none.
	due time.Time
}

// heardBytes is about how much a device takes, beside its name.
const heardBytes = 120

// silenceSteps is how many times at most the devices are looked through while one
// may be silent.
const silenceSteps = 64

// take takes a message. A retained one says only that the device was there once,
// and one without a payload that it is gone; but where a device has several topics
// it only clears one of them.
func (p *pattern) take(m Message, now time.Time) (news bool) {
	if m.Retained {
		return false
	}
	device, ok := p.Match(m.Topic)
	if !ok {
		return false
	}
	_, known := p.heard[device]
	switch {
	case len(m.Payload) == 0:
		if !known || p.Several() {
			return false
		}
		p.forget(device)
		p.book.bye(p.Topic(device), now)
		return true
	case known:
	case !usable(device):
		p.book.reject(Malformed, m.Topic)
		return false
	case !p.book.hold(heardBytes+len(device), m.Topic):
		return false
	}
	p.heard[strings.Clone(device)] = now // without the topic
	if at := now.Add(p.LostAfter); p.due.IsZero() || at.Before(p.due) {
		p.due = at
	}
	return !known
}

// away notes that nobody could be heard for so long.
func (p *pattern) away(d time.Duration) {
	for device, at := range p.heard {
		p.heard[device] = at.Add(d)
	}
}

func (p *pattern) forget(device string) {
	delete(p.heard, device)
	p.book.hold(-heardBytes-len(device), "")
}

// silence takes away the devices that have been silent for too long.
func (p *pattern) silence(now time.Time) (news bool, next time.Time) {
	if p.due.IsZero() || p.due.After(now) {
		return false, p.due
	}
	p.due = time.Time{}
	for device, at := range p.heard {
		at = at.Add(p.LostAfter)
		switch {
		case !at.After(now):
			p.forget(device)
			news = true
		case p.due.IsZero() || at.Before(p.due):
			p.due = at
		}
	}
	// Devices that fall silent one after another are not looked for one by one.
	if least := now.Add(p.LostAfter / silenceSteps); !p.due.IsZero() && p.due.Before(least) {
		p.due = least
	}
	return news, p.due
}

func (p *pattern) appendDevices(all []Device) []Device {
	for device := range p.heard {
		topic := p.Topic(device)
		all = append(all, Device{
			ID: topic, Convention: details.Topic, Own: device, Topic: topic, Info: Info{Name: device},
		})
	}
	return all
}
