package onvif

import (
	"slices"

	"github.com/akri-go/akri/internal/handlers/multicast"
	"github.com/akri-go/akri/internal/handlers/onvif/camera"
	"github.com/akri-go/akri/internal/handlers/onvif/wsdiscovery"
)

// hear takes a message.
func (s *search) hear(h wsdiscovery.Heard) {
	if !s.concerns(h) {
		return
	}
	for _, e := range h.Endpoints {
		if h.Kind == wsdiscovery.Bye {
			if s.population.bye(e.UUID, h.From, h.At) {
				if s.lines.Allow() {
					s.log.Info("camera has said good-bye", "uuid", e.UUID, "from", h.From)
				}
				s.schedule.Remove(e.UUID)
				s.doubt(h.At)
				s.changed(h.At)
			}
			continue
		}
		if !e.IsCamera() || !worthAsking(s.details, e.UUID) {
			continue
		}
		sighting := camera.Sighting{
			UUID: e.UUID, XAddrs: e.XAddrs, Scopes: e.Scopes, Version: e.Version,
			From: h.From, Interface: h.Interface, Local: h.Local,
		}
		_, met := s.population.cameras[e.UUID]
		switch s.population.hear(sighting, h.Kind == wsdiscovery.Hello, h.At) {
		case nothing:
			continue
		case dropped:
			s.noRoom(h)
			continue
		case confirm:
			s.probes.Now(theProbe, h.At)
		}
		if !met {
			s.fresh++
			s.schedule.Set(e.UUID, asking(), h.At)
		}
		s.schedule.Now(e.UUID, h.At)
	}
}

// noRoom says that there are more cameras than can be, which is what a flood of
// false ones looks like.
func (s *search) noRoom(h wsdiscovery.Heard) {
	s.handler.count(dropFull)
	s.fullAt = h.At
	if s.full++; s.full&(s.full-1) == 0 { // 1, 2, 4, 8 …
		s.log.Warn("a camera is left out: too many were heard, from one address or in all", "uuid", h.Endpoints[0].UUID,
			"from", h.From, "perAddress", maxPerSource, "inAll", maxCameras, "leftOut", s.full)
	}
}

// concerns tells whether a message came from where this request looks: it may be
// the answer to the probe of another.
func (s *search) concerns(h wsdiscovery.Heard) bool {
	from := h.From.Unmap().WithZone("")
	for _, p := range s.configured {
		if p.Contains(from) {
			return true
		}
	}
	if h.Interface != "" {
		return multicast.Wanted(h.Interface, s.details.Interfaces)
	}
	for _, k := range s.population.cameras { // that was missing and was probed
		if slices.ContainsFunc(k.sightings, func(o sighting) bool { return o.From == h.From }) {
			return true
		}
	}
	return false
}
