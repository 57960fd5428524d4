package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/akri-go/akri/samples/brokers"
	"github.com/akri-go/akri/samples/camera"
)

// The page has one connection for everything, since browsers open only six to a
// server. It is one answer of records:
//
//	kind      1 byte: 'L' for a [Listing] in JSON, 'P' for a picture, 'K' for nothing
//	id        1 byte: how long the feed's id is, of a picture, and the id
//	content   4 bytes, big-endian: its length; and the content
//
// The content of a picture is 8 bytes, when it was taken in microseconds since
// 1970, and the JPEG.
const (
	listRecord    = 'L'
	pictureRecord = 'P'
	keepRecord    = 'K'
)

const (
	// keepInterval is the longest time between two records.
	keepInterval = 10 * time.Second
	// stateInterval is how often the states are looked at while nothing comes.
	stateInterval = time.Second
	// passInterval is the least time between two looks for what is new: what comes
	// from several cameras within it is sent together.
	passInterval = 10 * time.Millisecond
	// sendTimeout is how long a browser may take for one write.
	sendTimeout = 10 * time.Second
)

// writeRecord writes a record. Its content may begin with a prefix, so that a
// picture is written as it came.
func writeRecord(w io.Writer, kind byte, id string, prefix, content []byte) error {
	id = id[:min(len(id), 255)]
	head := append([]byte{kind, byte(len(id))}, id...)
	head = binary.BigEndian.AppendUint32(head, uint32(len(prefix)+len(content)))
	for _, part := range [][]byte{append(head, prefix...), content} {
		if _, err := w.Write(part); err != nil {
			return err
		}
	}
	return nil
}

// live sends the listing and pictures until the browser is gone: of each feed the
// newest when there is room for it.
func (h *hub) live(w http.ResponseWriter, r *http.Request) {
	changed, leave := h.viewers.Join(w)
	if leave == nil {
		return
	}
	defer leave()
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Accel-Buffering", "no") // for nginx, which would collect pictures
	v := &viewer{hub: h, w: brokers.NewPatientWriter(w, sendTimeout), sent: map[*feed]shot{}}
	defer v.leave()
	pace := time.NewTicker(passInterval)
	defer pace.Stop()
	wait := time.NewTimer(0)
	defer wait.Stop()
	for {
		held, err := v.pass(time.Now())
		if err != nil {
			return
		}
		select {
		case <-pace.C: // not more often than this
		case <-r.Context().Done():
			return
		}
		wait.Reset(held)
		select {
		case <-changed:
		case <-wait.C:
		case <-r.Context().Done():
			return
		}
	}
}

// viewer is what one page was sent.
type viewer struct {
	hub    *hub
	w      http.ResponseWriter
	listed []byte
	last   time.Time      // when something was sent
	feeds  []*feed        // that there were the last time
	joined []*feed        // those that are followed for it
	sent   map[*feed]shot // the last picture of each
}

// shot is a picture that was sent.
type shot struct {
	number uint64
	at     time.Time
}

// pass sends what is new: of each feed at most one picture in the hub's interval. It
// returns after how long to look again at the latest.
func (v *viewer) pass(now time.Time) (again time.Duration, err error) {
	again = stateInterval
	v.follow(v.hub.list())
	list, feeds, err := v.hub.listing(now)
	if err != nil {
		return 0, err
	}
	wrote := false
	if !bytes.Equal(list, v.listed) {
		if err := writeRecord(v.w, listRecord, "", nil, list); err != nil {
			return 0, err
		}
		v.listed, wrote = list, true
	}
	for _, f := range feeds {
		p, ok := f.latest.Last()
		last := v.sent[f]
		if !ok || p.Number == last.number {
			continue
		}
		if early := v.hub.interval - now.Sub(last.at); early > 0 {
			again = min(again, early)
			continue
		}
		taken := binary.BigEndian.AppendUint64(nil, uint64(p.Taken.UnixMicro()))
		if err := writeRecord(v.w, pictureRecord, f.source.id, taken, p.JPEG); err != nil {
			return 0, err
		}
		v.sent[f], wrote = shot{p.Number, now}, true
	}
	if !wrote && now.Sub(v.last) < keepInterval {
		return again, nil
	}
	if !wrote {
		if err := writeRecord(v.w, keepRecord, "", nil, nil); err != nil {
			return 0, err
		}
	}
	v.last = now
	return again, http.NewResponseController(v.w).Flush()
}

// follow has all feeds followed that there are, and no others.
func (v *viewer) follow(feeds []*feed) {
	if slices.Equal(feeds, v.feeds) {
		return
	}
	v.feeds = feeds
	there := map[*feed]bool{}
	for _, f := range feeds {
		there[f] = true
	}
	kept := v.joined[:0]
	for _, f := range v.joined {
		if there[f] {
			kept = append(kept, f)
			delete(there, f)
		} else {
			f.leave()
			delete(v.sent, f)
		}
	}
	v.joined = kept
	for _, f := range feeds {
		if there[f] && f.join() {
			v.joined = append(v.joined, f)
		}
	}
}

func (v *viewer) leave() {
	for _, f := range v.joined {
		f.leave()
	}
}

// frames sends the pictures of one feed, as upstream's application does.
func (h *hub) frames(w http.ResponseWriter, r *http.Request) {
	f := h.find(r.PathValue("id"))
	if f == nil {
		http.Error(w, "there is no such camera", http.StatusNotFound)
		return
	}
	_, leave := h.viewers.Join(w)
	if leave == nil {
		return
	}
	defer leave()
	if !f.join() {
		http.Error(w, "the camera has just gone", http.StatusNotFound)
		return
	}
	defer f.leave()
	w = brokers.NewPatientWriter(w, sendTimeout)
	w.Header().Set("Content-Type", camera.StreamType)
	w.Header().Set("Cache-Control", "no-store")
	if camera.BeginParts(w) != nil {
		return
	}
	// When the camera has gone, the browser goes on showing its last picture.
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(f.gone, cancel)()
	pace := time.NewTicker(h.interval)
	defer pace.Stop()
	var last uint64
	for {
		p, err := f.latest.Next(ctx, last)
		if err != nil {
			return
		}
		last = p.Number
		if p.JPEG != nil && camera.WritePart(w, p) != nil {
			return
		}
		select {
		case <-pace.C:
		case <-ctx.Done():
			return
		}
	}
}
