package opcua

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"reflect"
	"slices"
	"syscall"
	"time"

	"github.com/akri-go/akri/internal/handlers/opcua/details"
	"github.com/akri-go/akri/internal/handlers/opcua/ua"
	"github.com/akri-go/akri/internal/handlers/schedule"
	"github.com/akri-go/akri/internal/shorten"
)

const (
	// lostAfter is after how many looks in a row that failed the servers of a
	// discovery URL are lost.
	lostAfter = 3
	// maxAsked is how many servers of a discovery URL are asked at once, itself
	// included.
	maxAsked = 4
	// rarely is how many times rarer than a discovery URL its servers are asked
	// what they offer.
	rarely = 6
	// pause is the least time between two states that are told while not all that
	// is known was asked once.
	pause = 200 * time.Millisecond
	// deaf is for how long a discovery URL that cannot tell of the network is not
	// asked for it.
	deaf = 10 * time.Minute
)

// source is what is known by one discovery URL. It has one goroutine.
type source struct {
	url     details.URL
	details details.Details
	asker   *asker
	rhythm  func(time.Duration) schedule.Rhythm

	plan      schedule.Schedule[string]
	hosts     hosts // of the look that is under way
	looked    bool
	missed    int // looks in a row
	problem   string
	leftOut   []string
	servers   map[string]*server // by the key of the URL
	misheard  int                // looks in a row
	deafUntil time.Time
}

// server is a server that the source tells of.
type server struct {
	candidate
	asked   bool // at least once
	offers  *ua.Endpoints
	problem string // of the last time that it was asked
}

// state is what a source has to say.
type state struct {
	settled bool // there is nothing that was not asked once
	servers []server
	problem string
	leftOut []string
}

// ended is the end of a look.
type ended struct {
	key    string // "" for the discovery URL itself
	looked looked
	offers ua.Endpoints
	err    error
}

// run looks again and again until ctx is done, and tells each state that is new.
func (s *source) run(ctx context.Context, tell func(state)) {
	s.servers = map[string]*server{}
	s.plan.Set("", s.rhythm(s.details.Interval), time.Now())
	ends := make(chan ended)
	timer := time.NewTimer(0)
	defer timer.Stop()
	running := 0
	defer func() {
		for ; running > 0; running-- {
			<-ends
		}
	}()
	var news bool      // there are some to tell
	var told time.Time // the last ones
	for {
		for running < maxAsked {
			key, ok := s.plan.Take(time.Now())
			if !ok {
				break
			}
			running++
			s.start(ctx, key, ends)
		}
		wait := time.Hour
		if at, ok := s.plan.Next(); ok && running < maxAsked {
			wait = time.Until(at)
		}
		if news {
			st := s.state()
			// While many servers are asked for the first time, not each alone.
			if next := time.Until(told.Add(pause)); st.settled || next <= 0 {
				tell(st)
				news, told = false, time.Now()
			} else {
				wait = min(wait, next)
			}
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case e := <-ends:
			running--
			if ctx.Err() != nil {
				return
			}
			outcome, changed := s.take(e)
			s.plan.Done(e.key, time.Now(), outcome)
			news = news || changed
		}
	}
}

// start begins a look.
func (s *source) start(ctx context.Context, key string, ends chan<- ended) {
	if key == "" {
		network := !time.Now().Before(s.deafUntil)
		go func() {
			found, err := s.asker.look(ctx, s.url, s.details, &s.hosts, network)
			ends <- ended{looked: found, err: err}
		}()
		return
	}
	c := s.servers[key].candidate
	go func() {
		offers, err := s.asker.endpoints(ctx, c)
		ends <- ended{key: key, offers: offers, err: err}
	}()
}

// take notes what a look has found, and tells whether that is news.
func (s *source) take(e ended) (outcome schedule.Outcome, news bool) {
	if e.key != "" {
		if server := s.servers[e.key]; server != nil {
			return server.take(e)
		}
		return schedule.Same, false // it is gone meanwhile
	}
	problem, leftOut, first := s.problem, s.leftOut, !s.looked
	s.looked = true
	if e.err != nil {
		s.missed++
		s.problem = explain(s.url, e.err)
		outcome = schedule.Failed
		if s.missed >= lostAfter && s.keep(nil) == schedule.Changed {
			news = true
		}
	} else {
		s.missed, s.problem, s.leftOut = 0, "", e.looked.leftOut
		outcome = s.keep(s.withHeard(e.looked))
	}
	news = news || first || outcome == schedule.Changed || s.problem != problem || !slices.Equal(s.leftOut, leftOut)
	return outcome, news
}

// withHeard returns the candidates, with those that the network told of earlier
// if it was not or could not be asked this time.
func (s *source) withHeard(l looked) map[string]candidate {
	all := map[string]candidate{}
	for _, c := range l.candidates {
		all[c.url.Key()] = c
	}
	switch l.network {
	case heardAll:
		s.misheard = 0
	case notAsked, cannotHear, heardBadly:
		if l.network != notAsked {
			s.misheard++
		}
		hears := slices.ContainsFunc(slices.Collect(maps.Values(s.servers)), func(v *server) bool { return v.heard() })
		if l.network != cannotHear && hears && s.misheard < lostAfter {
			for key, v := range s.servers {
				if _, told := all[key]; !told && v.heard() {
					all[key] = v.candidate
				}
			}
		} else if l.network != notAsked {
			s.deafUntil = time.Now().Add(deaf)
		}
	}
	return all
}

// keep makes the servers those given.
func (s *source) keep(now map[string]candidate) schedule.Outcome {
	outcome := schedule.Same
	for key := range s.servers {
		if _, still := now[key]; !still {
			delete(s.servers, key)
			s.plan.Remove(key)
			outcome = schedule.Changed
		}
	}
	for key, c := range now {
		old := s.servers[key]
		if old == nil {
			s.servers[key] = &server{candidate: c}
			rhythm := s.rhythm(rarely * s.details.Interval)
			rhythm.Retry.First = s.rhythm(s.details.Interval).Interval // it may just be starting
			s.plan.Set(key, rhythm, time.Now())
			outcome = schedule.Changed
			continue
		}
		if !reflect.DeepEqual(old.app, c.app) {
			outcome = schedule.Changed
			s.plan.Now(key, time.Now()) // it may be another server
		}
		old.candidate = c
	}
	return outcome
}

// take notes what a server says that it offers, and tells whether that is news.
// What it has said stays when it does not answer.
func (v *server) take(e ended) (outcome schedule.Outcome, news bool) {
	first, problem := !v.asked, v.problem
	v.asked, v.problem = true, ""
	switch {
	case e.err != nil:
		v.problem = explain(v.url, e.err)
		outcome = schedule.Failed
	case v.offers == nil || !reflect.DeepEqual(*v.offers, e.offers):
		v.offers = &e.offers
		outcome = schedule.Changed
	}
	return outcome, first || outcome == schedule.Changed || v.problem != problem
}

// state returns what the source has to say.
func (s *source) state() state {
	st := state{settled: s.looked, problem: s.problem, leftOut: s.leftOut}
	for _, v := range s.servers {
		if v.asked {
			st.servers = append(st.servers, *v)
		} else {
			st.settled = false
		}
	}
	slices.SortFunc(st.servers, func(a, b server) int { return cmp.Compare(a.url.Key(), b.url.Key()) })
	return st
}

// explain says what went wrong at a URL and what can be done.
func explain(u details.URL, err error) string {
	text := shorten.Text(err.Error(), 160)
	var dns *net.DNSError
	switch {
	case notFound(err):
		text = "there is no such host: is the name right, and can Pods look it up?"
	case errors.As(err, &dns):
		text = fmt.Sprintf("the host cannot be looked up (%s): does the name server answer?", shorten.Text(dns.Err, 80))
	case errors.Is(err, syscall.ECONNREFUSED):
		text = "connection refused: does an OPC UA server run there, on this port?"
	case errors.Is(err, errSilent):
	case errors.Is(err, context.DeadlineExceeded):
		text = "no answer in time: is it running, and does a firewall or network policy let this node reach it?"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		text = "not reachable from this node: is there a route to it?"
	}
	return fmt.Sprintf("%s: %s", shorten.Text(u.Text(), 100), text)
}
