package main

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/akri-go/akri/samples/pages"
	"github.com/akri-go/akri/samples/services"
)

// hub follows the brokers and has what they say. Viewers look at it.
type hub struct {
	ctx      context.Context
	training training
	log      *slog.Logger
	running  sync.WaitGroup // what follows brokers
	viewers  pages.Viewers

	mu       sync.Mutex
	followed []*followed
	problem  string
}

// followed is a source with the servers that are behind it: one, or several if it
// is the Service of all brokers.
type followed struct {
	source  services.Source
	servers []*server
	stop    context.CancelFunc
}

func newHub(ctx context.Context, t training, log *slog.Logger) *hub {
	return &hub{ctx: ctx, training: t, log: log}
}

// watched takes the sources that the Services show. Where each Instance has a
// Service, that of all is not needed. Until the Services are known, what was known
// before stays.
func (h *hub) watched(list []services.Source, problem error) {
	if problem != nil && len(list) == 0 {
		h.mu.Lock()
		for _, f := range h.followed {
			list = append(list, f.source)
		}
		h.mu.Unlock()
	}
	instances := slices.DeleteFunc(slices.Clone(list), func(s services.Source) bool { return s.ID == services.Main })
	if len(instances) > 0 {
		list = instances
	}
	h.set(list, problem)
}

// set says which sources there are. One that stays is followed on.
func (h *hub) set(list []services.Source, problem error) {
	h.mu.Lock()
	before := h.followed
	h.followed, h.problem = nil, ""
	if problem != nil {
		h.problem = problem.Error()
	}
	for _, s := range list {
		at := slices.IndexFunc(before, func(f *followed) bool { return f.source == s })
		if at >= 0 {
			h.followed = append(h.followed, before[at])
		} else {
			h.followed = append(h.followed, h.begin(s))
		}
	}
	for _, f := range before {
		if !slices.Contains(h.followed, f) {
			f.stop()
		}
	}
	h.mu.Unlock()
	h.viewers.Wake()
}

// begin follows a source. h.mu is held.
func (h *hub) begin(s services.Source) *followed {
	ctx, stop := context.WithCancel(h.ctx)
	f := &followed{source: s, stop: stop, servers: []*server{{id: s.ID, detector: detector{training: h.training}}}}
	h.running.Go(func() { follow(ctx, s, func(n news) { h.take(f, n, time.Now()) }) })
	return f
}

// close ends everything and waits for it.
func (h *hub) close() {
	h.set(nil, nil)
	h.running.Wait()
}

// take takes what a broker says.
func (h *hub) take(f *followed, n news, now time.Time) {
	h.mu.Lock()
	if s := h.serverOf(f, n); s != nil {
		if n.server != "" {
			s.name = n.server
		}
		if n.reason != "" {
			s.reason = n.reason
		} else {
			s.add(n.value, now)
		}
	}
	h.mu.Unlock()
	h.viewers.Wake()
}

// serverOf returns the server that the news are of; nil for none. Behind a Service
// of all brokers, it is told by its name.
func (h *hub) serverOf(f *followed, n news) *server {
	first := f.servers[0]
	if f.source.ID != services.Main {
		return first
	}
	first.shared = true
	switch {
	case n.server == "" && first.name == "":
		return first
	case n.server == "":
		return nil // a broker that does not answer, and it is not known which
	case first.name == "":
		first.id = n.server
		return first
	}
	for _, s := range f.servers {
		if s.name == n.server {
			return s
		}
	}
	if len(f.servers) >= services.MaxInstances {
		return nil
	}
	s := &server{id: n.server, shared: true, detector: detector{training: h.training}}
	f.servers = append(f.servers, s)
	return s
}

// run counts values again that do not change, until ctx is done.
func (h *hub) run(ctx context.Context) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			h.repeat(now)
		case <-ctx.Done():
			return
		}
	}
}

func (h *hub) repeat(now time.Time) {
	h.mu.Lock()
	for _, f := range h.followed {
		for _, s := range f.servers {
			s.repeat(now)
		}
	}
	h.mu.Unlock()
	h.viewers.Wake() // also for states that change with time
}

// maxLog is how many values upstream's list has at most.
const maxLog = 1000

// valuesLog is what upstream's /values_log answers: "server, value, time" and Y for
// an outlier or N, one after the other with semicolons between them, oldest first.
func (h *hub) valuesLog() string {
	type line struct {
		at   time.Time
		text string
	}
	var lines []line
	clean := strings.NewReplacer(";", " ", "\n", " ", "\r", " ")
	h.mu.Lock()
	for _, f := range h.followed {
		for _, s := range f.servers {
			for _, p := range s.points {
				mark := "N"
				if p.verdict == outlier {
					mark = "Y"
				}
				lines = append(lines, line{p.at, fmt.Sprintf("%s, %g, %s%s", clean.Replace(s.name), p.value, p.at.Format("2006-01-02 15:04:05.000000"), mark)})
			}
		}
	}
	h.mu.Unlock()
	slices.SortStableFunc(lines, func(a, b line) int { return a.at.Compare(b.at) })
	lines = lines[max(0, len(lines)-maxLog):]
	texts := make([]string, len(lines))
	for i, l := range lines {
		texts[i] = l.text
	}
	return strings.Join(texts, ";")
}
