package edgecontroller

import (
	"bytes"
	"log/slog"
	"time"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
	"github.com/akri-go/akri/internal/backoff"
	"github.com/akri-go/akri/internal/cloud/edgecontroller/grant"
	"github.com/akri-go/akri/internal/cloud/edgecontroller/index"
	"github.com/akri-go/akri/internal/cloud/edgecontroller/kube"
)

const (
	// maxDirty is how many changed objects of an interest are kept in mind. With
	// more the edge node is asked what it has, as at the beginning.
	maxDirty = 10_000
	// maxObjectBytes is how large an object can be that is sent: a message with
	// its header has 4 MiB.
	maxObjectBytes = edgev1.MaxMessageBytes - 64<<10
	// readTimeout bounds the reading of an object that is not followed.
	readTimeout = 15 * time.Second
	// maxReadRefusals is how often an object cannot be read before the interest is
	// refused.
	maxReadRefusals = 5
)

// retry is when what failed because of the API server is tried again.
var retry = backoff.Backoff{First: 500 * time.Millisecond, Max: 15 * time.Second, Jitter: 0.5}

// interest is one interest of a session. The session's lock guards it.
type interest struct {
	s    *Session
	spec edgev1.Interest
	as   kube.User
	sub  *index.Subscription // nil until it is granted, and with Get

	granted time.Time
	asking  bool // waits for a grant
	queued  bool // is in the session's ready
	ended   bool
	moved   bool // the nodes that this one reaches have changed
	back    bool // the cluster has forgotten what it had told of

	has     *edgev1.Have // what the edge node has, not looked at yet
	asked   bool         // with Differ; the next Have has all items
	live    bool         // changes are kept in mind
	syncing bool         // Synced is to be sent when nothing is dirty
	version string       // to be sent with Synced
	dirty   map[index.Key]change
	// What was put last. A reading may be newer than the index, which tells of the
	// same version a moment later.
	last    index.Key
	lastPut string
	limit   int // of dirty, if more than that was dirty at the beginning
	refused int // readings in a row
}

// change is what is to be sent of an object.
type change struct {
	gone string    // the UID that it had, if it is gone
	at   time.Time // when it was heard of; zero: at the beginning
}

// Changed is called by the index.
func (i *interest) Changed(k index.Key, gone string) {
	i.s.mu.Lock()
	defer i.s.mu.Unlock()
	if !i.live || i.ended {
		return
	}
	i.mark(k, change{gone: gone, at: time.Now()})
	i.s.queue(i)
}

// mark notes a change that is to be sent.
func (i *interest) mark(k index.Key, c change) {
	if i.dirty == nil {
		i.dirty = map[index.Key]change{}
	}
	if old, there := i.dirty[k]; there {
		c.at = old.at
		if c.gone == "" {
			c.gone = old.gone
		}
	} else {
		i.s.c.metrics.dirty.Inc()
	}
	i.dirty[k] = c
}

// clean forgets all changes.
func (i *interest) clean() {
	i.s.c.metrics.dirty.Sub(float64(len(i.dirty)))
	i.dirty = nil
}

// Synced is called by the index.
func (i *interest) Synced() {
	i.s.mu.Lock()
	defer i.s.mu.Unlock()
	if i.has != nil {
		i.s.queue(i)
	}
}

// Failed is called by the index.
func (i *interest) Failed(err error) {
	i.s.mu.Lock()
	defer i.s.mu.Unlock()
	i.s.end(i, err)
}

// WentBack is called by the index.
func (i *interest) WentBack() {
	i.s.mu.Lock()
	defer i.s.mu.Unlock()
	if i.ended {
		return
	}
	i.back = true
	i.s.queue(i)
	i.s.tellRestored()
}

// close ends the interest's part in the index. s.mu is not held.
func (i *interest) close() {
	i.s.mu.Lock()
	sub := i.sub
	i.clean()
	i.has, i.live = nil, false
	i.s.mu.Unlock()
	if sub != nil {
		sub.Close()
	}
}

// byName tells whether the interest is in one object of a Namespace: what the
// Node authorizer decides by the node's Pods.
func (i *interest) byName() bool {
	sel, err := grant.SelectionOf(&i.spec)
	_, named := grant.NameOf(sel)
	return err == nil && named && sel.Namespace != "" && i.spec.As.ServiceAccount == ""
}

// grant asks whether the edge node may have the interest, until it is known.
func (i *interest) grant() {
	s := i.s
	if s.c.grantRoom.Acquire(s.ctx, 1) != nil {
		return
	}
	defer s.c.grantRoom.Release(1)
	began := time.Now()
	selection, err := grant.SelectionOf(&i.spec)
	var as kube.User
	for failures := 0; err == nil; {
		if as, err = s.c.userOf(s.node, i.spec.As); err == nil {
			err = s.c.grants.Allow(s.ctx, as, selection, i.spec.Get)
		}
		if err == nil || kube.Refused(err) {
			break
		}
		s.mu.Lock()
		ended := i.ended
		s.mu.Unlock()
		if ended || s.ctx.Err() != nil {
			return
		}
		failures++
		s.c.complaints.Log(s.c.Log, slog.LevelWarn, "cannot decide about an interest; trying again", "node", s.node,
			"error", err)
		if backoff.Sleep(s.ctx, retry.Delay(failures)) != nil {
			return
		}
		err = nil
	}
	s.c.metrics.grants.Observe(time.Since(began).Seconds())
	var sub *index.Subscription
	s.mu.Lock()
	first := i.granted.IsZero()
	s.mu.Unlock()
	if err == nil && first && !i.spec.Get {
		sub, err = s.c.index.Follow(selection, s.node, as, i)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case err != nil:
		s.end(i, err)
	case i.ended:
		if sub != nil {
			go sub.Close()
		}
	default:
		i.granted, i.as = time.Now(), as
		if first {
			i.take(sub)
		}
	}
}

// step does one thing of what there is to do, and comes again if there is more.
func (i *interest) step() {
	s := i.s
	s.mu.Lock()
	if i.ended || i.granted.IsZero() {
		s.mu.Unlock()
		return
	}
	if i.moved {
		i.moved = false
		as := i.as
		s.mu.Unlock()
		i.again(as)
		return
	}
	if i.back {
		i.clean()
		i.back, i.has, i.live, i.syncing, i.asked = false, nil, false, false, true
		s.mu.Unlock()
		s.send(&edgev1.Differ{ID: i.spec.ID, Back: true})
		return
	}
	has := i.has
	if has != nil {
		s.mu.Unlock()
		if i.spec.Get {
			i.get(has)
		} else {
			i.compare(has)
		}
		return
	}
	if len(i.dirty) > max(s.c.maxDirty, i.limit) {
		i.clean()
		i.live, i.syncing, i.asked = false, false, true
		s.mu.Unlock()
		s.c.metrics.overflows.Inc()
		s.send(&edgev1.Differ{ID: i.spec.ID})
		return
	}
	for k, c := range i.dirty {
		delete(i.dirty, k)
		if len(i.dirty) == 0 {
			i.dirty = nil // an empty map has room for eight, and most nodes are idle
		}
		s.c.metrics.dirty.Dec()
		s.mu.Unlock()
		i.put(k, c)
		s.mu.Lock()
		if len(i.dirty) > 0 || i.syncing {
			s.queue(i)
		}
		s.mu.Unlock()
		return
	}
	if !i.syncing {
		s.mu.Unlock()
		return
	}
	i.syncing = false
	s.mu.Unlock()
	s.send(&edgev1.Synced{ID: i.spec.ID, Version: i.version})
}

// take makes a subscription the interest's. The session's lock is held.
func (i *interest) take(sub *index.Subscription) {
	i.sub = sub
	// The site may have changed while the subscription began.
	i.moved = sub != nil && sub.Stale()
	i.s.queue(i)
}

// again follows anew a selection that depends on the node's site, and asks the
// edge node what it has.
func (i *interest) again(as kube.User) {
	s := i.s
	selection, err := grant.SelectionOf(&i.spec)
	var sub *index.Subscription
	if err == nil {
		sub, err = s.c.index.Follow(selection, s.node, as, i)
	}
	s.mu.Lock()
	if err != nil || i.ended {
		if err != nil {
			s.end(i, err)
		} else {
			go sub.Close()
		}
		s.mu.Unlock()
		return
	}
	before := i.sub
	i.clean()
	i.has, i.live, i.syncing, i.asked = nil, false, false, true
	i.take(sub)
	s.mu.Unlock()
	before.Close()
	s.send(&edgev1.Differ{ID: i.spec.ID})
}

// compare finds out what the edge node must be sent.
func (i *interest) compare(has *edgev1.Have) {
	s := i.s
	s.mu.Lock()
	// From now on changes are kept in mind, so that none is lost between this
	// reading and the next.
	i.clean()
	i.live, i.syncing, i.lastPut = true, false, ""
	items := i.asked || len(has.Items) > 0 || len(has.Digest) == 0
	s.mu.Unlock()
	var should []edgev1.Item
	var digest []byte
	var version string
	var synced bool
	if items {
		should, version, synced = i.sub.Items()
	} else {
		digest, version, synced = i.sub.Digest()
	}
	s.mu.Lock()
	if i.ended || i.has != has || !synced {
		// Synced tells when it is; a newer Have comes in turn.
		if i.has != has {
			s.queue(i)
		}
		s.mu.Unlock()
		return
	}
	i.has, i.version = nil, version
	switch {
	case items:
		i.asked = false
		put, gone := Plan(has.Items, should)
		if certain, ahead := forgotten(has.Items, should, version); certain {
			s.tellRestored()
		} else if ahead != "" && !s.restored && !s.doubted {
			s.doubted = true
			go i.doubt(i.sub, ahead)
		}
		for _, k := range put {
			i.mark(k, change{})
		}
		for _, g := range gone {
			i.mark(keyOf(g), change{gone: g.UID})
		}
		i.syncing, i.limit = true, 2*len(i.dirty)
		s.queue(i)
		s.mu.Unlock()
	case bytes.Equal(digest, has.Digest):
		i.syncing = true
		s.queue(i)
		s.mu.Unlock()
		s.c.metrics.equal.Inc()
	default:
		i.clean()
		i.live, i.asked = false, true
		s.mu.Unlock()
		s.send(&edgev1.Differ{ID: i.spec.ID})
	}
}

// doubt looks whether the cluster has not yet come to a version that the edge node
// has seen: then it was there before, and forgot.
func (i *interest) doubt(sub *index.Subscription, seen string) {
	version, err := sub.Present(i.s.ctx)
	i.s.mu.Lock()
	defer i.s.mu.Unlock()
	if i.s.doubted = false; err == nil && index.Older(version, seen) {
		i.s.tellRestored()
	}
}
