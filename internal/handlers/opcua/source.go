package opcua

import (
	"cmp"
	"context"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/akri-go/akri/internal/handlers/opcua/details"
	"github.com/akri-go/akri/internal/handlers/opcua/ua"
	"github.com/akri-go/akri/internal/handlers/schedule"
)

const (
	// lostAfterLooks is after how many looks in a row that failed the servers of a
	// discovery URL are lost.
	lostAfterLooks = 3
	// maxAsked is how many servers of a discovery URL are asked at once.
	maxAsked = 4
	// endpointsSlowdown is how many times rarer than a discovery URL its servers
	// are asked what they offer.
	endpointsSlowdown = 6
	// stateInterval is the least time between two states that are told while not
	// all that is known was asked once.
	stateInterval = 200 * time.Millisecond
	// deafInterval is for how long a discovery URL that cannot tell of the network
	// is not asked for it.
	deafInterval = 10 * time.Minute
	// unlistedTimeout is for how long a server stays that answers, and that its
	// discovery server does not list any more, or does not answer for: one that
	// has restarted knows nobody until the servers register again, which they do
	// at least every 10 minutes (OPC 10000-4, 5.5.5).
	unlistedTimeout = 15 * time.Minute
)

// source is what is known by one discovery URL. It has one goroutine.
type source struct {
	url     details.URL
	details details.Details
	asker   *asker
	rhythm  func(time.Duration) schedule.Rhythm
	timed   func(took time.Duration) // is told of each look

	own       schedule.Schedule[string] // of the discovery URL alone, so that no server holds it up
	plan      schedule.Schedule[string] // of the servers
	hosts     hosts                     // of the look that is under way
	looked    bool
	missed    int // looks in a row
	problem   string
	leftOut   []string
	filtered  int
	servers   map[string]*server // by the key of the URL
	misheard  int                // looks in a row
	deafUntil time.Time
}

// state is what a source has to say.
type state struct {
	settled bool // there is nothing that was not asked once
	servers []server
	problem string
	leftOut []string
	// filtered is how many servers it tells of that do not pass the filters.
	filtered int
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
	s.own.Set("", s.rhythm(s.details.Interval), time.Now())
	ends := make(chan ended)
	timer := time.NewTimer(0)
	defer timer.Stop()
	looking, asking := 0, 0 // at the discovery URL, its servers
	defer func() {
		for range looking + asking {
			<-ends
		}
	}()
	var news bool      // there are some to tell
	var told time.Time // the last ones
	for {
		if _, ok := s.own.Take(time.Now()); ok {
			looking++
			s.look(ctx, ends)
		}
		for asking < maxAsked {
			key, ok := s.plan.Take(time.Now())
			if !ok {
				break
			}
			asking++
			s.ask(ctx, key, ends)
		}
		wait := time.Hour
		if at, ok := s.own.Next(); ok {
			wait = time.Until(at)
		}
		if at, ok := s.plan.Next(); ok && asking < maxAsked {
			wait = min(wait, time.Until(at))
		}
		if news {
			st := s.state()
			// While many servers are asked for the first time, not each alone.
			if next := time.Until(told.Add(stateInterval)); st.settled || next <= 0 {
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
			plan := &s.plan
			if e.key == "" {
				plan = &s.own
				looking--
			} else {
				asking--
			}
			if ctx.Err() != nil {
				return
			}
			outcome, changed := s.take(e)
			plan.Done(e.key, time.Now(), outcome)
			news = news || changed
		}
	}
}

// look begins a look at the discovery URL.
func (s *source) look(ctx context.Context, ends chan<- ended) {
	network := !time.Now().Before(s.deafUntil)
	go func() {
		began := time.Now()
		found, err := s.asker.look(ctx, s.url, s.details, &s.hosts, network)
		s.timed(time.Since(began))
		ends <- ended{looked: found, err: err}
	}()
}

// ask begins to ask a server what it offers.
func (s *source) ask(ctx context.Context, key string, ends chan<- ended) {
	c := s.servers[key].candidate
	go func() {
		offers, err := s.asker.endpoints(ctx, c, s.url)
		ends <- ended{key: key, offers: offers, err: err}
	}()
}

// take notes what a look has found, and tells whether that is news.
func (s *source) take(e ended) (outcome schedule.Outcome, news bool) {
	if e.key != "" {
		v := s.servers[e.key]
		switch {
		case v == nil: // it is gone meanwhile
			return schedule.Same, false
		case !v.unlisted.IsZero() && (e.err != nil || !v.same(e.offers.Server)):
			s.drop(e.key)
			return schedule.Changed, true
		}
		return v.take(e)
	}
	problem, leftOut, filtered, first := s.problem, s.leftOut, s.filtered, !s.looked
	s.looked = true
	if e.err != nil {
		s.missed++
		s.problem = explain(s.url, e.err)
		outcome = schedule.Failed
		if s.missed >= lostAfterLooks && s.keep(nil) == schedule.Changed {
			news = true
		}
	} else {
		s.missed, s.problem, s.leftOut = 0, "", e.looked.leftOut
		s.filtered = e.looked.filtered
		outcome = s.keep(s.withHeard(e.looked))
	}
	news = news || first || outcome == schedule.Changed || s.problem != problem || !slices.Equal(s.leftOut, leftOut) ||
		s.filtered != filtered
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
		if l.network != cannotHear && hears && s.misheard < lostAfterLooks {
			for key, v := range s.servers {
				if _, told := all[key]; !told && v.heard() {
					all[key] = v.candidate
				}
			}
		} else if l.network != notAsked {
			s.deafUntil = time.Now().Add(deafInterval)
		}
	}
	return all
}

// keep makes the servers those given, with those that may stay without being
// told of.
func (s *source) keep(now map[string]candidate) schedule.Outcome {
	outcome := schedule.Same
	for key, v := range s.servers {
		_, told := now[key]
		switch {
		case told:
		case v.offers == nil || v.problem != "" || !v.unlisted.IsZero() && time.Since(v.unlisted) >= unlistedTimeout:
			s.drop(key)
			outcome = schedule.Changed
		case v.unlisted.IsZero():
			v.unlisted = time.Now()
			s.plan.Set(key, s.rhythm(s.details.Interval), time.Now())
			s.plan.Now(key, time.Now())
			outcome = schedule.Changed
		}
	}
	for key, c := range now {
		v := s.servers[key]
		if v == nil {
			s.servers[key] = &server{candidate: c}
			s.plan.Set(key, s.whileTold(), time.Now())
			outcome = schedule.Changed
			continue
		}
		if !v.unlisted.IsZero() {
			v.unlisted = time.Time{}
			s.plan.Set(key, s.whileTold(), time.Now())
		}
		if !reflect.DeepEqual(v.app, c.app) {
			outcome = schedule.Changed
			s.plan.Now(key, time.Now()) // it may be another server
		}
		v.candidate = c
	}
	return outcome
}

func (s *source) drop(key string) {
	delete(s.servers, key)
	s.plan.Remove(key)
}

// whileTold is the rhythm in which a server is asked that the source is told of.
func (s *source) whileTold() schedule.Rhythm {
	r := s.rhythm(endpointsSlowdown * s.details.Interval)
	r.Retry.First = s.rhythm(s.details.Interval).Interval // it may just be starting
	return r
}

// state returns what the source has to say.
func (s *source) state() state {
	st := state{settled: s.looked, problem: s.problem, leftOut: s.leftOut, filtered: s.filtered}
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
