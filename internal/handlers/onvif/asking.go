package onvif

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/akri-go/akri/internal/backoff"
	"github.com/akri-go/akri/internal/handlers/onvif/wsdiscovery"
	"github.com/akri-go/akri/internal/onvif/soap"
)

// busySource is an address whose cameras are asked.
type busySource struct {
	asking  int
	waiting []string // cameras that are due
}

// start starts what is due.
func (s *search) start(ctx context.Context, now time.Time) {
	if !s.check.IsZero() && !now.Before(s.check) {
		s.check = time.Time{}
		s.probes.Now(theProbe, now)
	}
	if _, ok := s.probes.Take(now); ok {
		s.began, s.found, s.fresh, s.probing = now, false, 0, true
		w := s.where
		w.Addresses = append(slices.Clip(w.Addresses), s.missing()...)
		go func() { s.probed <- s.probe(ctx, w) }()
	}
	for s.asking < maxAsking {
		uuid, ok := s.schedule.Take(now)
		if !ok {
			return
		}
		k := s.population.cameras[uuid]
		if k == nil {
			s.over(uuid, now) // it has given way to another
			continue
		}
		from := k.sightings[0].From.WithZone("") // as the gate counts
		b := s.busy[from]
		if b == nil {
			b = &busySource{}
			s.busy[from] = b
		}
		if b.asking < perHost {
			b.asking++
			s.ask(ctx, uuid, from)
		} else {
			b.waiting = append(b.waiting, uuid)
		}
	}
}

// ask asks a camera that was heard from an address.
func (s *search) ask(ctx context.Context, uuid string, from netip.Addr) {
	s.asking++
	q := s.population.question(uuid)
	q.Configured, q.Names = s.configured, s.handler.options.Names
	q.Options = soap.Options{
		Credentials: s.users.Of(uuid), RootCAs: s.users.Roots, SkipTLSVerify: s.details.SkipTLSVerify,
	}
	go func() {
		f, err := s.handler.ask(ctx, q)
		s.asked <- &reply{uuid, from, f, err}
	}()
}

// next asks the camera of an address that has waited longest, when another has
// answered.
func (s *search) next(ctx context.Context, from netip.Addr) {
	b := s.busy[from]
	for len(b.waiting) > 0 {
		uuid := b.waiting[0]
		b.waiting = b.waiting[1:]
		if s.population.cameras[uuid] != nil {
			s.ask(ctx, uuid, from)
			return
		}
		s.over(uuid, time.Now())
	}
	if b.asking--; b.asking == 0 {
		delete(s.busy, from)
	}
}

// doubt has a camera probed that has said good-bye at a time: its Bye may be
// another's. What it sent before may arrive until then.
func (s *search) doubt(at time.Time) {
	if s.check.IsZero() {
		s.check = at.Add(afterBye)
	}
}

// missing are the addresses of cameras that did not answer the last probe, or
// have said good-bye: they are probed one by one too.
func (s *search) missing() (list []netip.Addr) {
	list, _ = s.population.doubted()
	for _, k := range s.population.cameras {
		if k.missed > 0 && k.facts != nil {
			list = append(list, k.sightings[0].From)
		}
	}
	return list
}

// probe probes and waits for answers.
func (s *search) probe(ctx context.Context, w wsdiscovery.Where) error {
	err := s.handler.probe(ctx, w)
	if sleep := backoff.Sleep(ctx, s.details.Timeout); sleep != nil {
		return sleep
	}
	return err
}
