package main

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// maxViewers bounds how many pages are served at once.
const maxViewers = 100

// keepAliveInterval is the longest time between two messages of the feed.
const keepAliveInterval = 15 * time.Second

// feed looks at the cluster only while there are viewers.
type feed struct {
	look     func(context.Context) State
	interval time.Duration

	mu      sync.Mutex
	latest  []byte                     // JSON of the last State
	viewers map[chan struct{}]struct{} // told when latest changes
	stop    context.CancelFunc         // of the loop; nil without viewers
}

func newFeed(look func(context.Context) State, every time.Duration) *feed {
	return &feed{look: look, interval: every, viewers: map[chan struct{}]struct{}{}}
}

// join adds a viewer and returns what tells it of changes; false if there are
// too many already. The first viewer starts the loop.
func (f *feed) join() (chan struct{}, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.viewers) >= maxViewers {
		return nil, false
	}
	changed := make(chan struct{}, 1)
	f.viewers[changed] = struct{}{}
	if f.stop == nil {
		f.latest = nil
		ctx, cancel := context.WithCancel(context.Background())
		f.stop = cancel
		go f.loop(ctx)
	} else if f.latest != nil {
		changed <- struct{}{}
	}
	return changed, true
}

// leave removes a viewer; the last one stops the loop.
func (f *feed) leave(changed chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.viewers, changed)
	if len(f.viewers) == 0 && f.stop != nil {
		f.stop()
		f.stop = nil
	}
}

func (f *feed) loop(ctx context.Context) {
	tick := time.NewTicker(f.interval)
	defer tick.Stop()
	for {
		data, err := json.Marshal(f.look(ctx))
		if err == nil {
			f.publish(ctx, data)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (f *feed) publish(ctx context.Context, data []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if ctx.Err() != nil || bytes.Equal(data, f.latest) {
		return
	}
	f.latest = data
	for changed := range f.viewers {
		select {
		case changed <- struct{}{}:
		default: // it has not read the one before yet
		}
	}
}

func (f *feed) current() []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.latest
}

//go:embed page.html
var page []byte

//go:embed page.js
var script []byte

func handler(f *feed) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /api/events", f.serve)
	mux.HandleFunc("GET /api/state", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		json.NewEncoder(w).Encode(f.look(r.Context()))
	})
	static := func(kind string, data []byte) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind+"; charset=utf-8")
			w.Header().Set("Content-Security-Policy", "default-src 'self'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; frame-ancestors 'none'")
			w.Write(data)
		}
	}
	mux.HandleFunc("GET /{$}", static("text/html", page))
	mux.HandleFunc("GET /page.js", static("text/javascript", script))
	return mux
}

// serve sends the state as a server-sent event, now and whenever it changes.
func (f *feed) serve(w http.ResponseWriter, r *http.Request) {
	changed, ok := f.join()
	if !ok {
		http.Error(w, "too many viewers", http.StatusServiceUnavailable)
		return
	}
	defer f.leave(changed)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	out := http.NewResponseController(w)
	_ = out.SetReadDeadline(time.Time{}) // it lasts as long as the page is open
	quiet := time.NewTicker(keepAliveInterval)
	defer quiet.Stop()
	err := out.Flush() // the page shows that it is connected
	for err == nil {
		_ = out.SetWriteDeadline(time.Now().Add(2 * keepAliveInterval)) // for one message
		select {
		case <-r.Context().Done():
			return
		case <-changed:
			_, err = fmt.Fprintf(w, "data: %s\n\n", f.current())
		case <-quiet.C:
			_, err = fmt.Fprint(w, ": still here\n\n")
		}
		if err == nil {
			err = out.Flush()
		}
	}
}
