package index

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"unique"

	"github.com/akri-go/akri/internal/cloud/edgecontroller/kube"
)

// Key names an object of a feed.
type Key struct{ Namespace, Name string }

// entry is what is kept of an object.
type entry struct {
	uid, version string
	slice        string // or several, in a list
	note         any
}

// feed is one watch and what is known from it.
type feed struct {
	cut
	x *Index

	mu      sync.Mutex
	objects map[Key]entry
	slices  map[string]map[Key]struct{} // keys by slice; nil if the feed is not sliced
	subs    map[string]map[*Subscription]struct{}
	// unseen are the objects that a list which is being read has not had yet;
	// nil while none is read.
	unseen  map[Key]struct{}
	synced  bool
	version string // of the last event; empty: the list must be read
	newest  string // the newest version that there was
	digest  []byte // of all objects, nil if it is not known

	// The present attempt to watch.
	current *Subscription // in whose name it is made; nil: in nobody's
	again   func()        // ends the attempt, so that another is made
	refusals
}

func newFeed(x *Index, c cut) *feed {
	f := &feed{cut: c, x: x, objects: map[Key]entry{}, subs: map[string]map[*Subscription]struct{}{}}
	if !c.by.none() {
		f.slices = map[string]map[Key]struct{}{}
	}
	return f
}

// permanent tells whether the feed is there whoever follows it.
func (f *feed) permanent() bool { return f.own != nil && !f.own.OnDemand }

// errFull ends a feed that would need more than the index may keep.
var errFull = errors.New("cloudcore keeps as many objects as it may (controller.maxObjects)")

// beginList begins to read the list.
func (f *feed) beginList() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.unseen = make(map[Key]struct{}, len(f.objects))
	for k := range f.objects {
		f.unseen[k] = struct{}{}
	}
}

// take notes an event of the watch.
func (f *feed) take(e kube.Event) error {
	var m kube.Meta
	if err := json.Unmarshal(e.Object, &m); err != nil {
		return fmt.Errorf("event of %s: %w", f.whole.Path(), err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	k := Key{intern(m.Metadata.Namespace), m.Metadata.Name}
	switch e.Type {
	case "ADDED", "MODIFIED":
		if err := f.put(k, &m, e.Object); err != nil {
			return err
		}
	case "DELETED":
		f.gone(k)
	case "BOOKMARK":
		if f.unseen != nil && m.EndOfList() {
			f.endList()
			f.wentBack(m.Metadata.ResourceVersion)
		}
	default:
		return fmt.Errorf("event of %s: type %q is not known", f.whole.Path(), e.Type)
	}
	// The versions of objects in the list are no place to go on from.
	if f.unseen == nil && m.Metadata.ResourceVersion != "" {
		f.version = m.Metadata.ResourceVersion
		if f.newest == "" || Older(f.newest, f.version) {
			f.newest = f.version
		}
	}
	return nil
}

// wentBack tells who follows the feed if a list that was read anew is older than
// what was told before. Lists are read as etcd has them, so none is old by chance.
func (f *feed) wentBack(version string) {
	if !Older(version, f.newest) {
		return
	}
	f.x.complaints.Log(f.x.log, slog.LevelWarn, "the API server has forgotten changes: its etcd was restored from a backup, or has lost data",
		"resource", f.whole.Path(), "version", version, "before", f.newest)
	f.newest = version
	for slice, subs := range f.subs {
		for s := range subs {
			if slice == s.first() {
				s.listener.WentBack()
			}
		}
	}
}

func (f *feed) put(k Key, m *kube.Meta, object []byte) error {
	delete(f.unseen, k)
	slice := intern(f.by.of(m, object))
	before, known := f.objects[k]
	if known && before.uid == m.Metadata.UID && before.version == m.Metadata.ResourceVersion {
		return nil
	}
	if !known && !f.count(1) {
		return errFull
	}
	n := entry{uid: m.Metadata.UID, version: m.Metadata.ResourceVersion, slice: slice}
	if f.own != nil && f.own.Keep != nil {
		n.note = f.own.Keep(object)
	}
	f.objects[k] = n
	f.digest = nil
	if known && before.slice != slice {
		for _, left := range missing(before.slice, slice) {
			f.leave(k, left)
			if left != "" { // those who follow all still have it
				f.tellOne(left, k, before.uid)
			}
		}
	}
	if f.slices != nil {
		for one := range strings.SplitSeq(slice, separator) {
			s := f.slices[one]
			if s == nil {
				s = map[Key]struct{}{}
				f.slices[one] = s
			}
			s[k] = struct{}{}
		}
	}
	if f.followed(slice) {
		f.x.cache.put(f, k, n.version, object)
	}
	f.tell(slice, k, "")
	return nil
}

// followed tells whether somebody will want the bytes of a slice's objects. Who
// follows all of a feed of cloudcore's own looks at a few only.
func (f *feed) followed(slice string) bool {
	for one := range strings.SplitSeq(slice, separator) {
		if len(f.subs[one]) > 0 && (f.own == nil || one != "") {
			return true
		}
	}
	return false
}

func (f *feed) gone(k Key) {
	before, known := f.objects[k]
	if !known {
		return
	}
	delete(f.objects, k)
	delete(f.unseen, k)
	f.count(-1)
	f.digest = nil
	f.leave(k, before.slice)
	f.x.cache.drop(f, k)
	f.tell(before.slice, k, before.uid)
}

// leave takes an object out of slices.
func (f *feed) leave(k Key, slice string) {
	for one := range strings.SplitSeq(slice, separator) {
		if s := f.slices[one]; s != nil {
			if delete(s, k); len(s) == 0 {
				delete(f.slices, one)
			}
		}
	}
}

// endList ends the reading of the list: what it did not have is gone.
func (f *feed) endList() {
	missing := f.unseen
	f.unseen = nil
	for k := range missing {
		f.gone(k)
	}
	if f.synced {
		return
	}
	f.synced = true
	for slice, subs := range f.subs {
		for s := range subs {
			if slice == s.first() {
				s.listener.Synced()
			}
		}
	}
}

// tell tells those who follow slices, and those who follow all, of a change.
func (f *feed) tell(slice string, k Key, gone string) {
	for one := range strings.SplitSeq(slice, separator) {
		f.tellOne(one, k, gone)
	}
	if slice != "" {
		f.tellOne("", k, gone)
	}
}

func (f *feed) tellOne(slice string, k Key, gone string) {
	for s := range f.subs[slice] {
		s.listener.Changed(k, gone)
	}
}

// keys calls each with the objects of slices, "" being all.
func (f *feed) keys(slice string, each func(Key, entry)) {
	if slice == "" {
		for k, e := range f.objects {
			each(k, e)
		}
		return
	}
	done := ""
	for one := range strings.SplitSeq(slice, separator) {
		for k := range f.slices[one] {
			if e := f.objects[k]; done == "" || !share(e.slice, done) { // it was in none of those before
				each(k, e)
			}
		}
		done = strings.TrimPrefix(done+separator+one, separator)
	}
}

// intern returns the one copy of a text that many objects have.
func intern(s string) string { return unique.Make(s).Value() }
