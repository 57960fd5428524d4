package wsdiscovery

import (
	"cmp"
	"slices"
	"time"
)

// memory remembers words for a while. The zero value with keep set can be used.
type memory struct {
	keep time.Duration
	at   map[string]time.Time
}

const maxRemembered = 8192

// add remembers a word and tells whether it is new.
func (m *memory) add(word string, now time.Time) bool {
	if m.has(word, now) {
		return false
	}
	if m.at == nil {
		m.at = make(map[string]time.Time)
	}
	if len(m.at) >= maxRemembered {
		m.forget(now)
	}
	m.at[word] = now
	return true
}

func (m *memory) has(word string, now time.Time) bool {
	at, ok := m.at[word]
	return ok && now.Sub(at) < m.keep
}

// forget drops what is old, and at least half.
func (m *memory) forget(now time.Time) {
	type entry struct {
		word string
		at   time.Time
	}
	var all []entry
	for word, at := range m.at {
		all = append(all, entry{word, at})
	}
	slices.SortFunc(all, func(a, b entry) int { return cmp.Compare(a.at.UnixNano(), b.at.UnixNano()) })
	for i, e := range all {
		if i < len(all)/2 || now.Sub(e.at) >= m.keep {
			delete(m.at, e.word)
		}
	}
}
