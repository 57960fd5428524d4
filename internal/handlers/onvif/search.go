package onvif

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/time/rate"

	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/internal/backoff"
	"github.com/akri-go/akri/internal/handlers/onvif/camera"
	"github.com/akri-go/akri/internal/handlers/onvif/details"
	"github.com/akri-go/akri/internal/handlers/onvif/wsdiscovery"
	"github.com/akri-go/akri/internal/handlers/schedule"
	"github.com/akri-go/akri/internal/onvif/users"
	"github.com/akri-go/akri/internal/pace"
)

const (
	// theProbe is the probe's key in its schedule.
	theProbe = ""
	// maxAsking is how many cameras one Configuration asks at a time, those that
	// wait for the handler's gate among them. Of one address there are at most
	// perHost: so a flood from a whole /24 keeps no camera from being asked.
	maxAsking = 1024
	// crowd is so many cameras that are new to a probe that others' answers may have
	// been lost among theirs: then there is another probe at once.
	crowd = 32
	// firstWait is how long the first report waits for cameras that are slow.
	firstWait = 8 * time.Second
)

// asking is the rhythm in which a camera is asked again: now and then, since its
// name or its firmware may change without an announcement.
func asking() schedule.Rhythm {
	return schedule.Rhythm{
		Interval: 10 * time.Minute, Slowest: time.Hour, Least: time.Second, Jitter: 0.2,
		Retry: backoff.Backoff{First: 3 * time.Second, Max: 5 * time.Minute, Jitter: 0.2},
	}
}

// askingRefused is that of a camera that refuses the user: each time may count
// towards locking the account.
func askingRefused() schedule.Rhythm {
	r := asking()
	r.Retry = backoff.Backoff{First: 10 * time.Minute, Max: 2 * time.Hour, Jitter: 0.2}
	r.Least = time.Minute // whatever is announced
	return r
}

// search answers one request. All of it is for one goroutine, but for what it
// starts in go statements, which tells it by its channels.
type search struct {
	details    details.Details
	users      users.Users
	configured []netip.Prefix
	where      wsdiscovery.Where
	handler    *Handler
	log        *slog.Logger
	report     func(discovery.Report) error

	probes     schedule.Schedule[string] // of the probe alone, so that no camera holds it up
	schedule   schedule.Schedule[string] // of the cameras
	population *population
	busy       map[netip.Addr]*busySource // the addresses whose cameras are asked
	probing    bool
	began      time.Time // the last probe
	found      bool      // something changed since then
	fresh      int       // cameras that are new since then
	asking     int
	looked     bool      // the first probe is over
	check      time.Time // when to probe because of a Bye; zero if there is none to check
	first      time.Time // when the first report is due whatever is missing
	reported   bool
	since      time.Time // when the first message came that is not reported; zero if none is
	dirty      bool
	pace       pace.Pace
	problem    string    // of the probes
	full       int       // sightings for which there was no room
	fullAt     time.Time // the last of them
	lines      *rate.Limiter

	probed chan error
	asked  chan *reply // there may be many
}

// reply is what a camera has answered.
type reply struct {
	uuid  string
	from  netip.Addr
	facts camera.Facts
	err   error
}

func newSearch(d details.Details, u users.Users, h *Handler, report func(discovery.Report) error) *search {
	s := &search{
		details: d, users: u, handler: h, report: report, log: h.options.Log,
		population: newPopulation(), busy: make(map[netip.Addr]*busySource),
		pace:   pace.Pace{MinInterval: 2 * time.Millisecond, MaxInterval: 100 * time.Millisecond, Share: 10},
		lines:  rate.NewLimiter(rate.Every(time.Second), 20),
		probed: make(chan error, 1),
		asked:  make(chan *reply, maxAsking),
	}
	s.where, s.configured = where(d)
	return s
}

// where returns what to probe, and the networks in which the user says that
// cameras are.
func where(d details.Details) (w wsdiscovery.Where, configured []netip.Prefix) {
	w.Interfaces = d.Interfaces
	for _, a := range d.Addresses {
		configured = append(configured, netip.PrefixFrom(a, a.BitLen()))
		w.Addresses = append(w.Addresses, a)
	}
	for _, p := range d.Networks {
		configured = append(configured, p)
		for a := p.Addr(); p.Contains(a); a = a.Next() {
			edge := a == p.Addr() || !p.Contains(a.Next()) // of IPv4: the network, and all in it
			if a.Is4() && p.Bits() < 31 && edge {
				continue
			}
			w.Addresses = append(w.Addresses, a)
		}
	}
	return w, configured
}

// run answers until ctx is done or report fails.
func (s *search) run(ctx context.Context, b *box) error {
	ctx, cancel := context.WithCancel(ctx)
	defer s.wait()
	defer cancel()
	now := time.Now()
	s.first = now.Add(s.details.Timeout + firstWait)
	s.probes.Set(theProbe, schedule.Every(s.details.Interval), now)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		now := time.Now()
		s.start(ctx, now)
		if err := s.maybeReport(now); err != nil {
			return err
		}
		timer.Reset(max(0, s.wake(now)))
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
		case <-b.filled:
			for _, h := range b.take() {
				s.hear(h)
			}
		case err := <-s.probed:
			s.probing = false
			s.round(err)
		case r := <-s.asked:
			s.asking--
			s.next(ctx, r.from)
			s.answered(r)
		}
	}
}

// wait waits for what was started. Its context is done.
func (s *search) wait() {
	for ; s.asking > 0; s.asking-- {
		<-s.asked
	}
	if s.probing {
		<-s.probed
	}
}

// wake returns how long nothing is to be done.
func (s *search) wake(now time.Time) time.Duration {
	wait := time.Hour
	if at, ok := s.probes.Next(); ok {
		wait = min(wait, at.Sub(now))
	}
	if at, ok := s.schedule.Next(); ok && s.asking < maxAsking {
		wait = min(wait, at.Sub(now))
	}
	if !s.check.IsZero() {
		wait = min(wait, s.check.Sub(now))
	}
	if !s.reported && s.looked {
		wait = min(wait, s.first.Sub(now))
	}
	if s.reported && s.dirty {
		wait = min(wait, s.pace.Wait(now))
	}
	return wait
}

// round ends a probe.
func (s *search) round(err error) {
	s.looked = true
	now := time.Now()
	if s.population.depart(s.began, now) {
		s.changed(time.Time{})
	}
	if _, since := s.population.doubted(); !since.IsZero() {
		s.doubt(since)
	}
	lost, missing, moved := s.population.round(s.began)
	if n := len(lost); n > 0 { // one line, however many: most may be false ones
		s.log.Info("cameras are lost: they have not answered several probes", "probes", maxMissed, "cameras", n,
			"uuids", lost[:min(n, maxNoted)])
	}
	for _, uuid := range lost {
		s.schedule.Remove(uuid)
		s.changed(time.Time{})
	}
	for _, uuid := range moved {
		s.schedule.Now(uuid, now)
	}
	outcome := schedule.Same
	if s.found || len(moved) > 0 {
		outcome = schedule.Changed
	}
	s.probes.Done(theProbe, now, outcome)
	if len(missing) > 0 || s.fresh >= crowd {
		s.probes.Now(theProbe, now)
	}
	problem := ""
	if err != nil {
		problem = err.Error()
	}
	if problem != s.problem {
		if s.problem = problem; problem != "" {
			s.log.Warn("not everything could be probed", "error", problem)
		}
		s.dirty = true
	}
}

// answered takes what a camera says.
func (s *search) answered(r *reply) {
	before := ""
	k := s.population.cameras[r.uuid]
	if k == nil {
		s.over(r.uuid, time.Now())
		return
	}
	if k.problem != "" {
		before = faultyOf(r.uuid, k).String()
	}
	now, outcome, rhythm, cause := time.Now(), schedule.Failed, asking(), k.cause
	k.cause = time.Time{}
	switch s.population.answered(r.uuid, r.facts, r.err) {
	case asBefore:
		outcome = schedule.Same
	case changed:
		outcome = schedule.Changed
		s.changed(cause)
	case refused:
		rhythm = askingRefused()
		s.changed(cause)
	case unanswered:
		s.dirty = true
	}
	s.schedule.Set(r.uuid, rhythm, now)
	s.schedule.Done(r.uuid, now, outcome)
	if k.problem == "" {
		s.dirty = s.dirty || before != ""
	} else if p := faultyOf(r.uuid, k).String(); p != before && s.lines.Allow() {
		s.log.Warn("not all is well with a camera", "problem", p)
	}
}

// over ends the look at a camera that is gone.
func (s *search) over(uuid string, now time.Time) {
	s.schedule.Done(uuid, now, schedule.Failed)
	s.schedule.Remove(uuid)
}

// changed notes that the list of devices may be another; at is when the message
// came that has caused it, zero if none has.
func (s *search) changed(at time.Time) {
	s.found, s.dirty = true, true
	if s.since.IsZero() {
		s.since = at
	}
}

// maybeReport reports if there is something to report and it is time.
func (s *search) maybeReport(now time.Time) error {
	if s.full > 0 && now.Sub(s.fullAt) >= fullNoted {
		s.full, s.dirty = 0, true
	}
	if !s.reported {
		if !s.looked || s.asking > 0 && now.Before(s.first) {
			return nil
		}
	} else if !s.dirty || s.pace.Wait(now) > 0 {
		return nil
	}
	r := report(s.details, s.population)
	r.Departed = s.population.departed(now)
	r.Note = note(nonempty(s.problem, r.Note, s.leftOut()))
	if err := s.report(r); err != nil {
		return err
	}
	if s.reported && !s.since.IsZero() {
		s.handler.options.Reported(time.Since(s.since))
	}
	s.reported, s.dirty, s.since = true, false, time.Time{}
	s.pace.Done(now, time.Now())
	return nil
}

// leftOut says that there are more cameras than can be; "" if there are not.
func (s *search) leftOut() string {
	if s.full == 0 {
		return ""
	}
	return fmt.Sprintf("there are more than %d cameras, or more than %d at one address: the rest is left out",
		maxCameras, maxPerSource)
}

func nonempty(texts ...string) []string {
	return slices.DeleteFunc(texts, func(s string) bool { return s == "" })
}
