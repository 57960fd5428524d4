package onvif

import (
	"errors"
	"net/netip"
	"slices"
	"time"

	"github.com/akri-go/akri/internal/handlers/multicast"
	"github.com/akri-go/akri/internal/handlers/onvif/camera"
	"github.com/akri-go/akri/internal/handlers/onvif/soap"
	"github.com/akri-go/akri/internal/shorten"
)

const (
	// maxCameras is how many one Configuration has, and maxPerSource how many of
	// them may have been heard from one address.
	maxCameras   = 4096
	maxPerSource = 128
	// maxSightings is from how many addresses one camera is known, and maxClaims how
	// many bytes it may have said of itself from there.
	maxSightings = 4
	maxClaims    = 4 << 10
	// maxMissed is how many probes in a row a camera may leave unanswered.
	maxMissed = 3
	// maxFailed is how many times in a row a camera that answers probes may not
	// answer when it is asked who it is.
	maxFailed = 3
	// afterBye is how long what was sent before a Bye may arrive after it:
	// APP_MAX_DELAY of WS-Discovery, and as much for the way.
	afterBye = time.Second
	// fullNoted is how long it is said that there was no room for a camera.
	fullNoted = 10 * time.Minute
	// departedFor is how long the agent is told that a camera has departed.
	departedFor = time.Minute
	// remembered is how long it is known where a camera answered that is gone.
	remembered = time.Hour
)

// known is what is known of one camera.
type known struct {
	first     netip.Addr // the source that it counts for
	sightings []sighting // one for each source, the latest first
	missed    int        // probes in a row
	failed    int        // questions in a row
	facts     *camera.Facts
	home      place     // where it answered before it was gone
	problem   string    // of the last question; "" if there was none
	cause     time.Time // when the message came for which it is asked; zero if it is asked by the clock
}

// place is where a camera answered, and from where it was heard.
type place struct {
	url      string
	at, seen netip.Addr
}

type sighting struct {
	camera.Sighting
	at time.Time
}

// population is which cameras there are, as far as one Configuration knows. It
// only decides: what it is told is all that it knows of the world.
type population struct {
	cameras map[string]*known
	sources map[netip.Addr]int // how many cameras were heard first from an address
	left    map[string]left
}

func newPopulation() *population {
	return &population{cameras: map[string]*known{}, sources: map[netip.Addr]int{}, left: map[string]left{}}
}

// news is what a sighting tells.
type news int

const (
	nothing news = iota // the camera is there as before
	dropped             // there is no room for it
	ask                 // it is to be asked: it is new, or has changed
	confirm             // and probed: it is heard from another address
)

// hear takes a sighting. Announced says that it came by itself, not as an answer.
func (p *population) hear(s camera.Sighting, announced bool, now time.Time) news {
	gone := p.left[s.UUID]
	if gone.bye && !announced && now.Sub(gone.at) < afterBye {
		return nothing // it was sent before the Bye
	}
	k := p.cameras[s.UUID]
	if k == nil {
		if !p.room(multicast.Source(s.From)) {
			return dropped
		}
		k = &known{first: multicast.Source(s.From), home: gone.place}
		delete(p.left, s.UUID)
		p.cameras[s.UUID] = k
		p.sources[k.first]++
	}
	k.missed = 0
	n := k.hear(sighting{s, now}, announced)
	if n != nothing && k.cause.IsZero() {
		k.cause = now
	}
	return n
}

func (k *known) hear(s sighting, announced bool) news {
	tells := nothing
	i := slices.IndexFunc(k.sightings, func(o sighting) bool { return o.From == s.From })
	switch {
	case i < 0:
		tells = ask
		if k.facts != nil || k.home.url != "" && k.home.seen != s.From {
			tells = confirm
		}
	case announced || !sameClaims(k.sightings[i].Sighting, s.Sighting):
		tells = ask
	}
	if i >= 0 {
		k.sightings = slices.Delete(k.sightings, i, i+1)
	}
	k.sightings = slices.Insert(k.sightings, 0, s)
	for n := len(k.sightings); n > 1 && (n > maxSightings || k.claims() > maxClaims); n-- {
		last := n - 1
		for last > 0 && k.leadsBack(k.sightings[last].From) {
			last-- // not one that led to where it answers
		}
		k.sightings = slices.Delete(k.sightings, last, last+1)
	}
	return tells
}

// leadsBack tells whether the camera was heard from an address when it answered.
func (k *known) leadsBack(a netip.Addr) bool {
	return k.facts != nil && k.facts.Seen == a || k.home.seen == a
}

// claims is how many bytes the camera has said of itself.
func (k *known) claims() (n int) {
	for _, s := range k.sightings {
		for _, list := range [][]string{s.XAddrs, s.Scopes} {
			for _, w := range list {
				n += len(w)
			}
		}
	}
	return n
}

func (k *known) heardFrom(a netip.Addr) bool {
	return slices.ContainsFunc(k.sightings, func(s sighting) bool { return s.From == a })
}

func sameClaims(a, b camera.Sighting) bool {
	return a.Version == b.Version && slices.Equal(a.XAddrs, b.XAddrs) && slices.Equal(a.Scopes, b.Scopes)
}

// room tells whether there is room for another camera, and makes it if it can: of
// those that never answered, one that did not do so when it was asked.
func (p *population) room(from netip.Addr) bool {
	if p.sources[from] >= maxPerSource {
		return false
	}
	if len(p.cameras) < maxCameras {
		return true
	}
	for uuid, k := range p.cameras {
		if k.facts == nil && k.failed > 0 {
			p.forget(uuid, time.Time{}, false)
			return true
		}
	}
	return false
}

// forget drops a camera. Where it answered is remembered: if its good-bye was
// another's, or its answers were lost in a flood, nobody else takes its place as
// soon as it is heard from there again.
func (p *population) forget(uuid string, now time.Time, bye bool) {
	k := p.cameras[uuid]
	if k == nil {
		return
	}
	delete(p.cameras, uuid)
	if p.sources[k.first]--; p.sources[k.first] <= 0 {
		delete(p.sources, k.first)
	}
	home := k.home
	if k.facts != nil && home.url == "" {
		home = place{k.facts.URL, k.facts.Address, k.facts.Seen}
	}
	if !bye && home.url == "" {
		return
	}
	for u, l := range p.left {
		if now.Sub(l.at) >= remembered || now.Sub(l.at) >= afterBye && l.url == "" || len(p.left) >= maxCameras {
			delete(p.left, u)
		}
	}
	p.left[uuid] = left{place: home, at: now, bye: bye}
}

// bye takes a Bye, which is believed only if it comes from where the camera is:
// an address that it was heard from, or at which it answers. It tells whether the
// camera is gone.
func (p *population) bye(uuid string, from netip.Addr, now time.Time) bool {
	k := p.cameras[uuid]
	if k == nil {
		return false
	}
	if !k.heardFrom(from) && (k.facts == nil || !slices.Contains(k.facts.Addresses, from.WithZone(""))) {
		return false
	}
	p.forget(uuid, now, true)
	return true
}

// round is told that a probe that began at a time has had its time for answers.
// It returns the cameras that are lost for good, those that are missing, and
// those that are to be asked, since they are no longer heard from where they were.
func (p *population) round(began time.Time) (lost, missing, moved []string) {
	for uuid, k := range p.cameras {
		if k.sightings[0].at.Before(began) {
			k.missed++
			switch {
			case k.missed >= maxMissed:
				lost = append(lost, uuid)
			case k.facts != nil:
				missing = append(missing, uuid)
			}
			continue
		}
		n := len(k.sightings)
		k.sightings = slices.DeleteFunc(k.sightings, func(s sighting) bool { return s.at.Before(began) })
		if len(k.sightings) < n && k.facts != nil && !k.heardFrom(k.facts.Seen) {
			moved = append(moved, uuid)
		}
	}
	for _, uuid := range lost {
		p.forget(uuid, began, false)
	}
	return lost, missing, moved
}

// answer is how a question ended.
type answer int

const (
	asBefore answer = iota
	changed
	unanswered // it did not answer, or not to all: it is asked again soon
	refused    // it does not know the user: it is asked again, but not soon
)

// answered takes what a camera says, or why it does not.
func (p *population) answered(uuid string, f camera.Facts, err error) answer {
	k := p.cameras[uuid]
	if k == nil {
		return asBefore
	}
	if err != nil {
		k.failed++
		k.problem = problem(err)
		if k.failed >= maxFailed {
			k.facts = nil
		}
		return unanswered
	}
	k.failed, k.problem = 0, ""
	if f.Missing != nil {
		k.problem = problem(f.Missing)
		if !soap.IsAuth(f.Missing) {
			f.Missing = errors.New(k.problem)
		}
	}
	before := k.facts
	if f.Missing != nil && !soap.IsAuth(f.Missing) && before != nil && before.Missing == nil && before.URL == f.URL {
		return unanswered // what is known is better
	}
	k.facts = &f
	if f.URL == k.home.url {
		k.home = place{}
	}
	switch {
	case f.Missing != nil && soap.IsAuth(f.Missing):
		return refused
	case f.Missing != nil:
		return unanswered
	case before != nil && before.Same(f):
		return asBefore
	}
	return changed
}

// problem says what is wrong with a camera. The error itself is not kept: it may
// have all that the camera has sent, its certificates say.
func problem(err error) string { return shorten.Text(camera.Explain(err), maxProblem) }

// question returns whom to ask.
func (p *population) question(uuid string) (q camera.Question) {
	k := p.cameras[uuid]
	if k == nil {
		return q
	}
	for _, s := range k.sightings {
		q.Sightings = append(q.Sightings, s.Sighting)
	}
	was := k.home
	if k.facts != nil && (was.url == "" || !k.heardFrom(was.seen)) {
		was = place{k.facts.URL, k.facts.Address, k.facts.Seen}
	}
	q.Present = was.url
	if k.heardFrom(was.seen) {
		q.PresentAt = was.at
	}
	return q
}
