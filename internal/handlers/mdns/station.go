package mdns

import (
	"fmt"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/akri-go/akri/internal/handlers/mdns/air"
	"github.com/akri-go/akri/internal/handlers/mdns/browse"
	"github.com/akri-go/akri/internal/handlers/mdns/details"
	"github.com/akri-go/akri/internal/handlers/mdns/dnsmsg"
	"github.com/akri-go/akri/internal/handlers/multicast"
)

const (
	// maxHeard is how many answers wait to be taken; the kernel keeps the rest, as
	// far as it has room.
	maxHeard = 64
	// settle is how long it takes until the network interfaces are looked at after
	// the kernel has told of a change: several come at once.
	settle = 50 * time.Millisecond
	// fullNoted is how long it is said that there was no room.
	fullNoted = 10 * time.Minute
	// listenRetry is after how long an interface that cannot be used is tried again.
	listenRetry = 10 * time.Second
)

// station listens and asks, for all requests. One goroutine does all of it.
type station struct {
	options Options
	air     Air
	heard   chan air.Heard
	changed chan struct{} // the interfaces may have
	asked   chan struct{} // the requests have changed
	done    chan struct{}
	running sync.WaitGroup
	lines   *rate.Limiter // of the log, for what was dropped

	mu       sync.Mutex
	requests map[*request]struct{}
	all      []multicast.Interface
	links    map[int]*link // by the interface's index
	census   browse.Census
	listen   string    // what is wrong with listening
	look     time.Time // when to look at the interfaces; zero if there is no cause
	full     int       // services for which there was no room
	fullAt   time.Time // the last of them
	dropped  int       // messages since the last line in the log
}

// link is an interface that some request looks on.
type link struct {
	multicast.Interface
	*browse.Link
	send string // what is wrong with sending
}

// request is what one Configuration looks for.
type request struct {
	types    []browse.Wanted
	names    []dnsmsg.Name
	patterns []string
	news     chan struct{} // holds one value if there may be something to report
	cause    time.Time     // when the first message came of what is not reported
}

// known is what a request can know.
type known struct {
	services []browse.Service
	mute     int           // services whose hosts do not answer
	problems []string      // that keep services from being known
	again    time.Duration // after this they may be others; 0 is never
}

func newStation(o Options) *station {
	s := &station{
		options: o, heard: make(chan air.Heard, maxHeard), changed: make(chan struct{}, 1), asked: make(chan struct{}, 1),
		done: make(chan struct{}), requests: map[*request]struct{}{}, links: map[int]*link{},
		lines: rate.NewLimiter(rate.Every(10*time.Second), 3),
	}
	s.air = o.NewAir(air.Options{
		Heard: func(h air.Heard) {
			select {
			case s.heard <- h:
			case <-s.done:
			}
		},
		Changed: func() { poke(s.changed) },
		Dropped: s.drop,
		Log:     o.Log,
	})
	s.running.Go(s.run)
	return s
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (s *station) close() {
	close(s.done)
	s.air.Close()
	s.running.Wait()
}

// begin adds a request.
func (s *station) begin(d details.Details) *request {
	r := &request{patterns: d.Interfaces, news: make(chan struct{}, 1)}
	for _, t := range d.Types {
		w := wanted(t)
		r.types = append(r.types, w)
		r.names = append(r.names, w.Name)
	}
	s.mu.Lock()
	s.requests[r] = struct{}{}
	s.mu.Unlock()
	poke(s.asked)
	poke(r.news) // all may be known already
	return r
}

// wanted returns what to look for by a type of discoveryDetails.
func wanted(t string) browse.Wanted {
	domain := "." + details.Domain
	name, _ := dnsmsg.ParseName(t + domain) // details has checked them
	base, _ := dnsmsg.ParseName(details.Base(t) + domain)
	return browse.Wanted{Name: name, Base: base}
}

func (s *station) end(r *request) {
	s.mu.Lock()
	delete(s.requests, r)
	s.mu.Unlock()
	poke(s.asked)
}

// run does what is due until the station is closed.
func (s *station) run() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		timer.Reset(s.due(time.Now()))
		select {
		case <-s.done:
			return
		case <-timer.C:
		case h := <-s.heard:
			s.hear(h)
		case <-s.changed:
			s.mu.Lock()
			if at := time.Now().Add(settle); s.look.IsZero() || s.look.After(at) {
				s.look = at
			}
			s.mu.Unlock()
		case <-s.asked:
			s.mu.Lock()
			s.look = time.Now()
			s.mu.Unlock()
		}
	}
}

// due does what is due, and returns how long there is nothing then.
func (s *station) due(now time.Time) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.look.IsZero() && !s.look.After(now) {
		s.look = time.Time{}
		s.lookAround(now)
	}
	wait := time.Hour
	if !s.look.IsZero() {
		wait = s.look.Sub(now)
	}
	for _, l := range s.links {
		questions, changed := l.Due(now)
		if problem := s.ask(l, questions); problem != l.send && len(questions) > 0 {
			if l.send = problem; problem != "" {
				s.options.Log.Warn("not everything could be asked", "interface", l.Name, "error", problem)
			}
			changed = true
		}
		if changed {
			s.tell(l.Interface, time.Time{})
		}
		if next := l.Next(); !next.IsZero() {
			wait = min(wait, next.Sub(now))
		}
	}
	return max(wait, 0)
}

// ask sends questions on a link, and returns what is wrong if none could be sent:
// an address of IPv6 is of no use for some seconds after it has come.
func (s *station) ask(l *link, questions []browse.Question) (problem string) {
	var speaks browse.Family
	for _, via := range []browse.Family{browse.V4, browse.V6} {
		if s.air.Speaks(l.Index, via) {
			speaks |= via
		}
	}
	ok := false
	for _, via := range []browse.Family{browse.V4, browse.V6} {
		var list []dnsmsg.Question
		for _, q := range questions {
			over := q.Over & speaks
			if over == 0 {
				over = speaks // the one over which it was heard is no longer there
			}
			if over&via == 0 {
				continue
			}
			q.Unicast = q.First && s.air.Private(l.Index, via)
			list = append(list, q.Question)
		}
		for _, message := range dnsmsg.Queries(list, air.MaxQuery) {
			if err := s.air.Send(l.Index, via, message); err != nil {
				problem = fmt.Sprintf("interface %s: questions cannot be sent: %v", l.Name, err)
				break
			}
			s.options.Passed(sent)
			ok = true
		}
	}
	if ok {
		return ""
	}
	return problem
}

// hear takes an answer.
func (s *station) hear(h air.Heard) {
	s.options.Passed(heard)
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.links[h.Interface]
	if l == nil {
		return
	}
	result := l.Hear(h.Records, h.From, h.Via, h.At)
	if result.Full > 0 {
		s.noRoom(result.Full, h.From)
	}
	if result.Changed {
		s.tell(l.Interface, h.At)
	}
}

// noRoom says that there are more services than can be, which is what a flood of
// false ones looks like.
func (s *station) noRoom(n int, from netip.Addr) {
	s.fullAt = time.Now()
	for range n {
		s.options.Dropped(dropFull)
		if s.full++; s.full&(s.full-1) == 0 { // 1, 2, 4, 8 …
			s.options.Log.Warn("a service is left out: too many were heard, from one address, on one interface or in all",
				"from", from, "perAddress", browse.MaxPerSource, "perInterface", browse.MaxPerLink,
				"inAll", browse.MaxInstances, "leftOut", s.full)
		}
	}
}

// drop says that a message was dropped: to the metrics each, to the log some.
func (s *station) drop(from netip.Addr, why air.Drop, err error) {
	s.options.Dropped(string(why))
	s.mu.Lock()
	s.dropped++
	n, tell := s.dropped, s.lines.Allow()
	if tell {
		s.dropped = 0
	}
	s.mu.Unlock()
	if tell {
		s.options.Log.Warn("messages of Multicast DNS were dropped", "from", from, "why", string(why), "sinceLastLine", n, "error", err)
	}
}

// tell has the requests that look on an interface report. at is when the message
// came that is the cause.
func (s *station) tell(i multicast.Interface, at time.Time) {
	for r := range s.requests {
		if !multicast.Wanted(i.Name, r.patterns) {
			continue
		}
		if r.cause.IsZero() {
			r.cause = at
		}
		poke(r.news)
	}
}
