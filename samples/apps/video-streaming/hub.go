package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/akri-go/akri/internal/shorten"
	"github.com/akri-go/akri/samples/pages"
)

// hub has the feeds, and the viewers that look at them.
type hub struct {
	ctx      context.Context
	interval time.Duration // between two pictures of a camera for a viewer
	log      *slog.Logger

	group   sync.WaitGroup // of what feeds have started
	viewers pages.Viewers

	mu      sync.Mutex
	feeds   []*feed // the main one first
	problem string
	listed  listed
}

// listed is a listing as it is sent, for all viewers.
type listed struct {
	data []byte // nil: it is to be made
	at   time.Time
}

func newHub(ctx context.Context, perSecond int, log *slog.Logger) *hub {
	return &hub{ctx: ctx, interval: time.Second / time.Duration(perSecond), log: log}
}

// set says which feeds there are. A feed whose source stays goes on.
func (h *hub) set(list []source, problem error) {
	h.mu.Lock()
	before := h.feeds
	h.feeds, h.problem, h.listed = nil, "", listed{}
	if problem != nil {
		h.problem = problem.Error()
	}
	for _, s := range list {
		at := slices.IndexFunc(before, func(f *feed) bool { return f.source == s })
		if at >= 0 {
			h.feeds = append(h.feeds, before[at])
		} else {
			f := &feed{source: s, hub: h, group: &h.group}
			f.gone, f.remove = context.WithCancel(h.ctx)
			h.feeds = append(h.feeds, f)
		}
	}
	now := h.feeds
	h.mu.Unlock()
	for _, f := range before {
		if !slices.Contains(now, f) {
			f.remove()
		}
	}
	h.viewers.Wake()
}

// close ends all feeds and waits for them.
func (h *hub) close() {
	h.set(nil, nil)
	h.group.Wait()
}

// list returns the feeds.
func (h *hub) list() []*feed {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.feeds
}

// changed tells all viewers that a feed does otherwise than before.
func (h *hub) changed() {
	h.mu.Lock()
	h.listed = listed{}
	h.mu.Unlock()
	h.viewers.Wake()
}

// find returns a feed by its id, or by upstream's numbers: 0 is the main feed, and
// 1 the first camera.
func (h *hub) find(id string) *feed {
	feeds := h.list()
	for _, f := range feeds {
		if f.source.id == id {
			return f
		}
	}
	n, err := strconv.Atoi(id)
	if err != nil || n < 0 {
		return nil
	}
	if len(feeds) == 0 || feeds[0].source.id != mainID {
		n-- // there is no main feed
	}
	if n < 0 || n >= len(feeds) {
		return nil
	}
	return feeds[n]
}

// addresses is what upstream's /camera_list answers: addresses, which change when
// the cameras do.
func (h *hub) addresses() string {
	var main string
	var others []string
	for _, f := range h.list() {
		if f.source.id == mainID {
			main = f.source.address + "+"
		} else {
			others = append(others, f.source.address)
		}
	}
	return main + strings.Join(others, ",")
}

// Listing is what the page is told of the feeds.
type Listing struct {
	// Problem is why it may be out of date.
	Problem string  `json:"problem,omitempty"`
	Feeds   []Entry `json:"feeds"`
}

// Entry is one feed.
type Entry struct {
	ID     string `json:"id"`
	Camera string `json:"camera,omitempty"` // what its broker calls it
	State  State  `json:"state"`
	Reason string `json:"reason,omitempty"` // why there is no picture
}

// maxText is how much of a text of a broker is shown.
const maxText = 200

// listing says how the feeds do at a time.
func listing(feeds []*feed, problem string, now time.Time) Listing {
	l := Listing{Problem: problem, Feeds: []Entry{}}
	for _, f := range feeds {
		p := f.now()
		l.Feeds = append(l.Feeds, Entry{ID: f.source.id, Camera: shorten.Text(p.camera, maxText), State: p.state(now),
			Reason: shorten.Text(p.why(now), maxText)})
	}
	return l
}

// listing is the listing in JSON, with the feeds in it. It is made when something
// has changed, and now and then, since some states change with time.
func (h *hub) listing(now time.Time) ([]byte, []*feed, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.listed.data == nil || now.Sub(h.listed.at) >= stateInterval {
		data, err := json.Marshal(listing(h.feeds, h.problem, now))
		if err != nil {
			return nil, nil, fmt.Errorf("list the cameras: %w", err)
		}
		h.listed = listed{data, now}
	}
	return h.listed.data, h.feeds, nil
}
