package browse

import (
	"slices"
	"time"

	"github.com/akri-go/akri/internal/handlers/mdns/dnsmsg"
)

const (
	// gather is by how much a question may be before its time so that it goes with
	// another.
	gather = 10 * time.Second
	// maxQuestions is how many are asked at once; the rest waits for pause.
	maxQuestions = 256
	pause        = 100 * time.Millisecond
	// leastRest is the least time between two times that something is done, each of
	// which looks at all that is known.
	leastRest = 20 * time.Millisecond
	// doubtInterval is the least time between two questions for good-byes that may
	// be false.
	doubtInterval = 700 * time.Millisecond
	// typeInterval is the least time between two questions for a type because its
	// services end (RFC 6762, section 5.2), and maxKnown how many answers go with one.
	// Of so many the rest answers again.
	typeInterval = time.Second
	maxKnown     = 1024
)

// Question is something to ask.
type Question struct {
	dnsmsg.Question
	Over Family
	// First says that it has not been asked before, so that answers that only we get
	// are welcome (RFC 6762, section 5.4).
	First bool
}

// Due does what is due: it forgets what has ended, and returns what to ask. Changed
// tells whether the services may be others.
func (l *Link) Due(now time.Time) (questions []Question, changed bool) {
	if at := l.Next(); at.IsZero() || now.Before(at) {
		return nil, false
	}
	l.rest = now.Add(leastRest)
	changed = l.expire(now)
	c := collector{now: now, at: map[key]int{}}
	l.collect(&c)
	if len(c.list) > 0 {
		c.early = gather
		l.collect(&c)
	}
	for _, k := range l.types {
		if n, ok := c.at[key{k.name, dnsmsg.TypePTR}]; ok {
			c.list[n].Known = l.known(k, now)
			k.notBefore, k.nextDoubt = now.Add(typeInterval), now.Add(doubtInterval)
		}
	}
	l.wake = time.Time{}
	l.lives(func(p *life, rest time.Time) {
		if at := later(p.next(), rest); at.Before(p.ends()) {
			l.soon(at)
		} else {
			l.soon(p.ends())
		}
	})
	l.waiting(func(s *series) { l.soon(s.next) })
	if len(c.list) >= maxQuestions {
		l.wake = now.Add(pause)
	}
	return c.list, changed || c.changed
}

// key is what a question asks.
type key struct {
	name dnsmsg.Name
	kind uint16
}

// collector has each question once.
type collector struct {
	now     time.Time
	early   time.Duration
	list    []Question
	at      map[key]int
	changed bool
}

func (c *collector) full() bool { return len(c.list) >= maxQuestions }

func (c *collector) add(name dnsmsg.Name, kind uint16, over Family, first bool) {
	k := key{name, kind}
	n, there := c.at[k]
	if !there {
		n = len(c.list)
		c.at[k] = n
		c.list = append(c.list, Question{Question: dnsmsg.Question{Name: name, Type: kind}, First: first})
	}
	c.list[n].Over |= over
}

// refresh adds a question for a record that ends soon.
func (c *collector) refresh(p *life, name dnsmsg.Name, kind uint16) {
	if c.full() {
		return
	}
	if over, due := p.refresh(c.now, c.early); due {
		c.add(name, kind, over, false)
	}
}

// search adds questions for what is not known.
func (c *collector) search(s *series, name dnsmsg.Name, kinds ...uint16) {
	if c.full() || !s.due(c.now) {
		return
	}
	for _, kind := range kinds {
		c.add(name, kind, Both, false)
	}
	c.changed = c.changed || s.asked == tries
}

// collect adds what is due. What is known and could be lost comes first.
func (l *Link) collect(c *collector) {
	for _, k := range l.types {
		if !c.full() && k.series.due(c.now) {
			c.add(k.name, dnsmsg.TypePTR, Both, k.series.asked == 1)
		}
	}
	for _, i := range l.instances {
		for k, p := range i.listed {
			if _, goes := c.at[key{k.name, dnsmsg.TypePTR}]; goes || !k.rest(p).After(c.now) {
				c.refresh(p, k.name, dnsmsg.TypePTR)
			}
		}
		c.refresh(&i.srv, i.name, dnsmsg.TypeSRV)
		c.refresh(&i.txt, i.name, dnsmsg.TypeTXT)
	}
	for _, h := range l.hosts {
		for _, a := range h.addresses {
			kind := uint16(dnsmsg.TypeA)
			if a.addr.Is6() {
				kind = dnsmsg.TypeAAAA
			}
			c.refresh(&a.life, h.name, kind)
		}
	}
	for _, i := range l.instances {
		c.search(&i.askSRV, i.name, dnsmsg.TypeSRV)
		c.search(&i.askTXT, i.name, dnsmsg.TypeTXT)
	}
	for _, h := range l.hosts {
		c.search(&h.ask, h.name, dnsmsg.TypeA, dnsmsg.TypeAAAA)
	}
}

// known returns the services of a type for which nobody needs to answer: those that
// are valid for more than half of their time still (RFC 6762, section 7.1).
func (l *Link) known(k *kind, now time.Time) (list []dnsmsg.Record) {
	for _, i := range l.instances {
		p := i.listed[k]
		if p == nil || p.bye || len(list) == maxKnown {
			continue
		}
		if left := p.ends().Sub(now); left > p.ttl/2 {
			list = append(list, dnsmsg.Record{Name: k.name, Type: dnsmsg.TypePTR, Target: i.name, TTL: uint32(left / time.Second)})
		}
	}
	return list
}

// expire forgets what has ended.
func (l *Link) expire(now time.Time) (changed bool) {
	over := func(p *life) bool { return p.there() && !p.ends().After(now) }
	for _, i := range l.instances {
		for k, p := range i.listed {
			if over(p) {
				delete(i.listed, k)
				changed = true
			}
		}
		if len(i.listed) == 0 {
			l.forget(i)
			continue
		}
		if over(&i.srv) {
			i.srv, changed = life{}, true
			l.moveTo(i, "")
		}
		if over(&i.txt) {
			i.txt, i.text, changed = life{}, "", true
		}
	}
	for _, h := range l.hosts {
		n := len(h.addresses)
		h.addresses = slices.DeleteFunc(h.addresses, func(a *located) bool { return over(&a.life) })
		changed = changed || len(h.addresses) < n
	}
	if changed {
		for _, i := range l.instances {
			l.ask(i, now)
		}
	}
	return changed
}

// ask begins to ask for what is missing of an instance, and ends it for what is
// not.
func (l *Link) ask(i *instance, now time.Time) {
	set := func(s *series, missing bool) {
		if !missing {
			*s = series{}
			return
		}
		s.begin(l.beginning(now))
		l.soon(s.next)
	}
	set(&i.askSRV, !i.srv.there())
	set(&i.askTXT, !i.txt.there())
	if i.host != nil && i.port != 0 {
		set(&i.host.ask, len(i.host.addresses) == 0)
	}
}

// lives calls f for all records, and tells it until when each is not asked for.
func (l *Link) lives(f func(p *life, rest time.Time)) {
	one := func(p *life) {
		if p.there() {
			f(p, time.Time{})
		}
	}
	for _, i := range l.instances {
		for k, p := range i.listed {
			f(p, k.rest(p))
		}
		one(&i.srv)
		one(&i.txt)
	}
	for _, h := range l.hosts {
		for _, a := range h.addresses {
			one(&a.life)
		}
	}
}

// waiting calls f for all series.
func (l *Link) waiting(f func(*series)) {
	for _, k := range l.types {
		f(&k.series)
	}
	for _, i := range l.instances {
		f(&i.askSRV)
		f(&i.askTXT)
	}
	for _, h := range l.hosts {
		f(&h.ask)
	}
}
