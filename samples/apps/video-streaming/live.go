package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net/http"
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
	// sendTimeout is how long a browser may take for one write.
	sendTimeout = 10 * time.Second
)

// writeRecord writes a record, with its content in several parts.
func writeRecord(w io.Writer, kind byte, id string, content ...[]byte) error {
	id = id[:min(len(id), 255)]
	size := 0
	for _, c := range content {
		size += len(c)
	}
	head := append([]byte{kind, byte(len(id))}, id...)
	head = binary.BigEndian.AppendUint32(head, uint32(size))
	for _, part := range append([][]byte{head}, content...) {
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
	v := &viewer{hub: h, w: brokers.NewPatientWriter(w, sendTimeout), sent: map[*feed]uint64{}}
	defer v.leave()
	states := time.NewTicker(stateInterval)
	defer states.Stop()
	pace := time.NewTicker(h.interval)
	defer pace.Stop()
	for v.pass(time.Now()) == nil {
		select {
		case <-pace.C: // not more often than this
		case <-r.Context().Done():
			return
		}
		select {
		case <-changed:
		case <-states.C:
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
	last   time.Time        // when something was sent
	joined []*feed          // those that are followed for it
	sent   map[*feed]uint64 // numbers of pictures
}

// pass sends what is new.
func (v *viewer) pass(now time.Time) error {
	list, feeds, err := v.hub.listing(now)
	if err != nil {
		return err
	}
	v.follow(feeds)
	wrote := false
	if !bytes.Equal(list, v.listed) {
		if err := writeRecord(v.w, listRecord, "", list); err != nil {
			return err
		}
		v.listed, wrote = list, true
	}
	for _, f := range feeds {
		p, ok := f.latest.Last()
		if !ok || p.Number == v.sent[f] {
			continue
		}
		taken := binary.BigEndian.AppendUint64(nil, uint64(p.Taken.UnixMicro()))
		if err := writeRecord(v.w, pictureRecord, f.source.id, taken, p.JPEG); err != nil {
			return err
		}
		v.sent[f], wrote = p.Number, true
	}
	if !wrote && now.Sub(v.last) < keepInterval {
		return nil
	}
	if !wrote {
		if err := writeRecord(v.w, keepRecord, ""); err != nil {
			return err
		}
	}
	v.last = now
	return http.NewResponseController(v.w).Flush()
}

// follow has all feeds followed that there are, and no others.
func (v *viewer) follow(feeds []*feed) {
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
