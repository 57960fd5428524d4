package service

import (
	"cmp"
	"sync"

	"k8s.io/apimachinery/pkg/types"
)

// Complaints remembers what is wrong with the Services of Configurations, for
// the conditions. It is kept in memory: after a restart all are tried again.
type Complaints struct {
	mu    sync.Mutex
	about map[subjectKey]complaint
	// fine are Configurations that have a Service without complaint.
	fine map[types.NamespacedName]bool
	// changed is called with Configurations whose verdict may have changed.
	changed func(types.NamespacedName)
}

type subjectKey struct {
	kind Kind
	name types.NamespacedName
}

type complaint struct {
	configuration   types.NamespacedName
	reason, message string
}

// NewComplaints returns an empty memory. Changed is called, without locks held,
// with each Configuration whose verdict may have changed; it must not block.
func NewComplaints(changed func(configuration types.NamespacedName)) *Complaints {
	return &Complaints{
		about: map[subjectKey]complaint{}, fine: map[types.NamespacedName]bool{}, changed: changed,
	}
}

// Verdict returns what is wrong with the Services of a Configuration, and
// whether any was tried since the start. If there are several complaints, it
// returns the first by name.
func (c *Complaints) Verdict(configuration types.NamespacedName) (tried bool, reason, message string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var first *subjectKey
	for s, about := range c.about {
		if about.configuration == configuration && (first == nil || before(s, *first)) {
			first = &s
		}
	}
	if first == nil {
		return c.fine[configuration], "", ""
	}
	return true, c.about[*first].reason, c.about[*first].message
}

func before(a, b subjectKey) bool {
	return cmp.Or(cmp.Compare(b.kind, a.kind), cmp.Compare(a.name.Name, b.name.Name)) < 0
}

// wrong records a complaint about the Service of a subject.
func (c *Complaints) wrong(s subjectKey, configuration types.NamespacedName, reason, message string) {
	c.note(configuration, func() bool {
		now := complaint{configuration, reason, message}
		news := c.about[s] != now
		c.about[s] = now
		return news
	})
}

// right records that the Service of a subject is right.
func (c *Complaints) right(s subjectKey, configuration types.NamespacedName) {
	c.note(configuration, func() bool {
		_, news := c.about[s]
		news = news || !c.fine[configuration]
		delete(c.about, s)
		c.fine[configuration] = true
		return news
	})
}

// drop forgets a subject that is gone or needs no Service.
func (c *Complaints) drop(s subjectKey) {
	if c == nil {
		return
	}
	c.mu.Lock()
	configuration := c.about[s].configuration
	c.mu.Unlock()
	c.note(configuration, func() bool {
		_, news := c.about[s]
		delete(c.about, s)
		if s.kind == OfConfiguration {
			delete(c.fine, s.name)
		}
		return news
	})
}

func (c *Complaints) note(configuration types.NamespacedName, change func() (news bool)) {
	if c == nil {
		return
	}
	c.mu.Lock()
	news := change()
	c.mu.Unlock()
	if news {
		c.changed(configuration)
	}
}
