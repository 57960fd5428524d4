package feed

import (
	"bytes"
	"container/list"
	"encoding/json"
	"fmt"
	"sync"

	"github.com/akri-go/akri/internal/dashboard/board"
)

// Feed has the newest entries. It may be used by several goroutines.
type Feed struct {
	maxViewers int
	joined     chan struct{} // has something in it when there is a first viewer

	mu      sync.Mutex
	version uint64
	items   map[string]*list.Element // of *item
	order   *list.List               // of *item, what changed last first
	viewers map[*Viewer]struct{}
	// last is the message that was made last; many viewers need the same.
	last    message
	counted Counts
}

// Counts are how much there was of something.
type Counts struct {
	Viewers  int    // at this time
	Refused  uint64 // viewers for whom there was no place
	Messages uint64
	Bytes    uint64 // of messages
	// Skipped are versions that a viewer did not get, since it took none before the
	// next one was there. What they changed is in the message after them.
	Skipped uint64
}

// Counts returns what was counted so far.
func (f *Feed) Counts() Counts {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := f.counted
	c.Viewers = len(f.viewers)
	return c
}

// item is an entry, or one that is gone.
type item struct {
	key     string
	data    []byte // JSON; nil if it is gone
	changed uint64 // the version in which it changed last
}

// message is what brings a browser from one version to another.
type message struct {
	from, to uint64
	data     []byte
}

// New returns a Feed for so many viewers at a time.
func New(maxViewers int) *Feed {
	return &Feed{maxViewers: maxViewers, joined: make(chan struct{}, 1), items: map[string]*list.Element{},
		order: list.New(), viewers: map[*Viewer]struct{}{}}
}

// Put makes a board the newest, and reports whether anything has changed.
func (f *Feed) Put(entries []board.Entry) (changed bool, err error) {
	encoded := make(map[string][]byte, len(entries))
	for _, e := range entries {
		data, err := json.Marshal(e.Value)
		if err != nil {
			return false, fmt.Errorf("write %s as JSON: %w", e.Key, err)
		}
		encoded[e.Key] = data
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	next := f.version + 1
	for key, data := range encoded {
		e := f.items[key]
		if e != nil && bytes.Equal(itemOf(e).data, data) {
			continue
		}
		if e != nil {
			f.order.Remove(e)
		}
		f.items[key] = f.order.PushFront(&item{key, data, next})
		changed = true
	}
	for key, e := range f.items {
		if i := itemOf(e); encoded[key] == nil && i.data != nil {
			i.data, i.changed = nil, next
			f.order.MoveToFront(e)
			changed = true
		}
	}
	if !changed && f.version > 0 {
		return false, nil
	}
	f.version = next
	f.forget()
	for v := range f.viewers {
		v.wake()
	}
	return true, nil
}

func itemOf(e *list.Element) *item { return e.Value.(*item) }

// forget forgets entries that are gone and that no browser has any longer.
func (f *Feed) forget() {
	oldest := f.version
	for v := range f.viewers {
		if v.has > 0 {
			oldest = min(oldest, v.has)
		}
	}
	for key, e := range f.items {
		if i := itemOf(e); i.data == nil && i.changed <= oldest {
			f.order.Remove(e)
			delete(f.items, key)
		}
	}
}

// Clear forgets everything, so that nobody is shown something old.
func (f *Feed) Clear() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.viewers) > 0 {
		return // somebody has just come
	}
	f.items, f.order, f.version, f.last = map[string]*list.Element{}, list.New(), 0, message{}
}

// Joined has something in it when somebody looks after a time in which nobody did.
func (f *Feed) Joined() <-chan struct{} { return f.joined }

// Watched reports whether somebody looks.
func (f *Feed) Watched() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.viewers) > 0
}

// Join adds a viewer; false if there are too many.
func (f *Feed) Join() (*Viewer, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.viewers) >= f.maxViewers {
		f.counted.Refused++
		return nil, false
	}
	v := &Viewer{feed: f, news: make(chan struct{}, 1)}
	f.viewers[v] = struct{}{}
	if f.version > 0 {
		v.wake()
	}
	if len(f.viewers) == 1 {
		select {
		case f.joined <- struct{}{}:
		default:
		}
	}
	return v, true
}

// Viewer is one browser.
type Viewer struct {
	feed *Feed
	news chan struct{} // has something in it when there is a newer version
	has  uint64        // the version that it was sent, 0 for none; guarded by the feed
}

// wake is called with the feed locked.
func (v *Viewer) wake() {
	select {
	case v.news <- struct{}{}:
	default: // it has not looked since the last time
	}
}

// Leave removes the viewer.
func (v *Viewer) Leave() {
	v.feed.mu.Lock()
	defer v.feed.mu.Unlock()
	delete(v.feed.viewers, v)
}

// News has something in it when there may be a version that the browser does not
// have.
func (v *Viewer) News() <-chan struct{} { return v.news }

// Take returns the message that brings the browser from the version that it has to
// the newest one, in JSON on one line; nil if it has that. With all, the browser
// has nothing but what is set.
//
//	{"all": true, "set": {"<key>": <entry>, …}, "gone": ["<key>", …]}
func (v *Viewer) Take() []byte {
	f := v.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	if v.has == f.version {
		return nil
	}
	if f.last.data == nil || f.last.from != v.has || f.last.to != f.version {
		f.last = message{v.has, f.version, f.since(v.has)}
	}
	f.counted.Messages++
	f.counted.Bytes += uint64(len(f.last.data))
	if v.has > 0 {
		f.counted.Skipped += f.version - v.has - 1
	}
	v.has = f.version
	return f.last.data
}

// since writes what has changed since a version.
func (f *Feed) since(version uint64) []byte {
	var set, gone bytes.Buffer
	for e := f.order.Front(); e != nil && itemOf(e).changed > version; e = e.Next() {
		i := itemOf(e)
		to := &set
		if i.data == nil {
			to = &gone
		}
		if i.data == nil && version == 0 {
			continue // it never had it
		}
		if to.Len() > 0 {
			to.WriteByte(',')
		}
		key, err := json.Marshal(i.key)
		if err != nil {
			continue // a string can be written
		}
		to.Write(key)
		if i.data != nil {
			to.WriteByte(':')
			to.Write(i.data)
		}
	}
	return fmt.Appendf(nil, `{"all":%t,"set":{%s},"gone":[%s]}`, version == 0, set.Bytes(), gone.Bytes())
}
