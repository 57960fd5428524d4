package modbus

import (
	"log/slog"
	"slices"
	"time"

	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/internal/handlers/modbus/details"
	"github.com/akri-go/akri/internal/handlers/schedule"
)

// survey is what is known for one request.
type survey struct {
	details details.Details
	servers []server
	plan    schedule.Schedule[int] // of the servers, by their indices
	log     *slog.Logger

	news     bool // there are some to report
	reported time.Time
	last     discovery.Report
}

// reportInterval is the least time between two reports: of many servers not each
// causes one.
const reportInterval = 100 * time.Millisecond

// ended is the end of a look at a server, by its index.
type ended struct {
	server int
	looked looked
}

func newSurvey(d details.Details, o Options, now time.Time) *survey {
	s := &survey{details: d, log: o.Log, news: true}
	for i, at := range d.Servers {
		s.servers = append(s.servers, newServer(at))
		s.plan.Set(i, o.rhythm(d.Interval), now)
	}
	return s
}

// copy returns a server that shares nothing that changes.
func (s *server) copy() server {
	c := *s
	c.units = slices.Clone(s.units)
	return c
}

// take notes the end of a look.
func (s *survey) take(e ended, now time.Time) {
	v := &s.servers[e.server]
	was := v.problem
	outcome, news := v.take(e.looked)
	s.plan.Done(e.server, now, outcome)
	if v.pressing {
		s.plan.Now(e.server, now)
	}
	s.news = s.news || news
	switch {
	case v.Network != "" || v.problem == was: // in a network nobody need be there
	case v.problem != "":
		s.log.Warn("a Modbus server does not answer as it should", "server", v.Address(), "problem", v.problem)
	default:
		s.log.Info("a Modbus server answers again", "server", v.Address())
	}
}

// report returns what there is to report, and whether it is due; in is when to ask
// again, 0 if only after what happens next. The first report waits for all servers,
// until patience.
func (s *survey) report(now, patience time.Time) (r discovery.Report, due bool, in time.Duration) {
	if !s.news {
		return r, false, 0
	}
	first, next := s.reported.IsZero(), s.reported.Add(reportInterval)
	if first && slices.ContainsFunc(s.servers, func(v server) bool { return !v.settled() }) {
		next = patience
	}
	if now.Before(next) {
		return r, false, next.Sub(now)
	}
	s.news = false
	r = Plan(s.details, s.servers, s.last.Devices)
	if !first && r.Note == s.last.Note && discovery.Same(r.Devices, s.last.Devices) {
		return r, false, 0
	}
	s.reported, s.last = now, r
	return r, true, 0
}
