package mqtt

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/internal/handlers/departures"
	"github.com/akri-go/akri/internal/handlers/mqtt/announced"
	"github.com/akri-go/akri/internal/handlers/mqtt/details"
	"github.com/akri-go/akri/internal/handlers/mqtt/wire"
)

const (
	// reportInterval is the least time between two reports.
	reportInterval = 100 * time.Millisecond
	// reportShare is how much longer than making a report the time to the next one
	// is, so that whoever changes something all the time does not keep a core busy.
	reportShare = 10
	// maxFilters is how many topic filters are in one SUBSCRIBE, and maxAsking is
	// how many of these wait for an answer before there is another.
	maxFilters = 64
	maxAsking  = 4
)

// follower follows what one broker says for one request.
type follower struct {
	handler     *Handler
	details     details.Details
	credentials credentials
	book        *announced.Book
	conn        *wire.Conn // nil while there is none
	ended       error      // why this side has ended it
	standing    standing
	refused     map[string]string // topic filters, and why
	explained   string            // the problem that was logged last

	patient   time.Time // until when the first report waits
	listening time.Time // for at least so long
	reported  bool
	last      discovery.Report
	gone      *departures.Devices
	certain   time.Time // when one of them may have departed; zero if never
	news      bool      // since the last report
	heard     time.Time // of the first message that was news
	notBefore time.Time // the next report
}

func newFollower(h *Handler, d details.Details, c credentials) *follower {
	f := &follower{handler: h, details: d, credentials: c,
		standing: standing{grace: d.Grace}, refused: map[string]string{}, gone: departures.New(h.certain)}
	f.book = announced.NewBook(d, h.room, func(why announced.Why) { h.options.Dropped(string(why)) })
	return f
}

// run follows the broker until ctx is done or report fails.
func (f *follower) run(ctx context.Context, report func(discovery.Report) error) error {
	ctx, cancel := context.WithCancel(ctx)
	happenings, ended := make(chan happening), make(chan struct{})
	defer f.book.Clear() // gives back its room
	defer func() { cancel(); <-ended }()
	go func() {
		defer close(ended)
		newLink(f.details, f.credentials, f.handler.network, f.handler.retry).run(ctx, func(h happening) {
			select {
			case happenings <- h:
			case <-ctx.Done():
			}
		})
	}()
	f.begin(time.Now())
	timer := time.NewTimer(f.handler.options.Patience)
	defer timer.Stop()
	for {
		now := time.Now()
		next := f.act(now)
		f.subscribe(now)
		if at := f.reportAt(now); !at.IsZero() && !at.After(now) {
			if err := f.report(report); err != nil {
				return err
			}
			next = sooner(next, f.reportAt(now))
		} else {
			next = sooner(next, at)
		}
		wait := time.Hour
		if !next.IsZero() {
			wait = time.Until(next)
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
		case h := <-happenings:
			f.take(h, time.Now())
		}
	}
}

// begin sets how long the first report may wait.
func (f *follower) begin(now time.Time) {
	f.patient = now.Add(f.handler.options.Patience)
	if len(f.details.Patterns) > 0 {
		f.listening = now.Add(f.handler.options.Listen)
	}
}

// act does what time demands, and returns when it does so next; zero if nothing.
func (f *follower) act(now time.Time) time.Time {
	for {
		do, next := f.standing.act(now)
		switch do {
		case nothing:
			if !f.standing.up {
				return next
			}
			for _, look := range []func(time.Time) (bool, time.Time){f.book.Silence, f.book.Again} {
				news, at := look(now)
				f.news = f.news || news
				next = sooner(next, at)
			}
			return next
		case ping:
			f.standing.asked(now)
			f.wrote(f.conn.Ping())
		case giveUp:
			f.wrote(errNoAnswer)
			return time.Time{} // the link tells when it has ended
		case sweep:
			f.book.Sweep()
			f.news = true
		case forget:
			f.book.Clear()
			f.news = true
		}
	}
}

// sooner returns the earlier of two times, of which zero is never.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// take takes what a link tells.
func (f *follower) take(h happening, now time.Time) {
	switch {
	case h.conn != nil:
		f.conn, f.ended = h.conn, nil
		clear(f.refused)
		f.book.Connected(f.standing.connected(now, h.conn.KeepAlive()))
		f.news = true
		f.log()
	case h.err != nil:
		f.conn = nil
		if f.ended != nil && errors.Is(h.err, net.ErrClosed) {
			h.err = f.ended
		}
		f.standing.lost(now, explain(f.details.Broker, f.credentials.user != nil, h.err))
		f.news = true
		f.log()
	default:
		f.event(h.event, now)
	}
}

// event takes what a broker has sent.
func (f *follower) event(e wire.Event, now time.Time) {
	switch e.Kind {
	case wire.Alive:
		f.standing.alive(now)
	case wire.Skipped:
		f.news = f.book.TooLarge("") || f.news
	case wire.Subscribed:
		for _, r := range e.Refused {
			f.refused[r.Filter] = r.Why
			f.news = true
		}
	case wire.Message:
		if e.Retained {
			f.standing.progress(now)
		}
		if f.book.Take(announced.Message{Topic: e.Topic, Payload: e.Payload, Retained: e.Retained}, now) {
			f.news = true
			if f.heard.IsZero() {
				f.heard = now
			}
		}
	}
}

// subscribe subscribes to what the book wants. A broker that has not answered
// enough waits: what comes meanwhile is asked for together.
func (f *follower) subscribe(now time.Time) {
	if f.conn == nil || f.ended != nil || f.standing.unanswered >= maxAsking {
		return
	}
	add, drop := f.book.Wanted(maxFilters * maxAsking)
	for some := range slices.Chunk(drop, maxFilters) {
		f.wrote(f.conn.Unsubscribe(some...))
		for _, filter := range some {
			delete(f.refused, filter)
		}
	}
	for some := range slices.Chunk(add, maxFilters) {
		f.standing.asked(now)
		f.wrote(f.conn.Subscribe(some...))
	}
}

// errNoAnswer is of a broker that speaks, but does not answer.
var errNoAnswer = fmt.Errorf("the broker does not answer PINGREQ in time: is it overloaded, "+
	"or is more published to these topics than %d MiB a second?", readBytes>>20)

// wrote ends the connection if writing to the broker failed. The link hears of it,
// and if the broker has ended it, perhaps why.
func (f *follower) wrote(err error) {
	if err != nil && f.ended == nil {
		f.ended = err
		if !errors.Is(err, wire.ErrClosed) {
			f.conn.Close()
		}
	}
}

// log logs once what is wrong with the broker, and once that it is well again.
func (f *follower) log() {
	problem := f.standing.problem
	switch {
	case problem == f.explained:
	case problem != "":
		f.handler.options.Log.Warn("the broker cannot be used", "problem", problem)
	default:
		f.handler.options.Log.Info("the broker can be used again", "broker", f.details.Broker.String())
	}
	f.explained = problem
}

// reportAt returns when there may be something to report; zero if never.
func (f *follower) reportAt(now time.Time) time.Time {
	switch {
	case f.reported && f.news:
		return f.notBefore
	case f.reported && f.certain.After(f.notBefore):
		return f.certain
	case f.reported && !f.certain.IsZero():
		return f.notBefore
	case f.reported:
		return time.Time{}
	}
	at := f.patient
	if f.standing.settled() && !f.book.Wants() || f.standing.problem != "" {
		at = now
	}
	if f.listening.After(at) {
		at = f.listening
	}
	return at
}

// report reports if there is something new.
func (f *follower) report(report func(discovery.Report) error) error {
	began, heard := time.Now(), f.heard
	f.news, f.heard = false, time.Time{}
	r := Plan(situation{details: f.details, heard: f.book.Devices(), standing: f.standing,
		problems: f.book.Problems(), refused: f.refused, before: f.last.Devices})
	r.Departed = f.departed(r.Devices, began)
	same := f.reported && discovery.Same(r.Devices, f.last.Devices)
	if same && r.Note == f.last.Note && slices.Equal(r.Departed, f.last.Departed) {
		f.notBefore = time.Now().Add(reportShare * time.Since(began))
		return nil
	}
	f.reported, f.last = true, r
	if err := report(r); err != nil {
		return err
	}
	if !same && !heard.IsZero() {
		f.handler.options.Reported(time.Since(heard))
	}
	f.notBefore = time.Now().Add(max(reportInterval, reportShare*time.Since(began)))
	return nil
}

// departed returns which devices have departed, given the list that is reported
// next. One that has said good-bye and something else since has not, even if it is
// not there yet.
func (f *follower) departed(list []discovery.Device, now time.Time) []string {
	var missing []string // of the last list
	listed := map[string]bool{}
	for _, d := range list {
		listed[d.ID] = true
	}
	for _, d := range f.last.Devices {
		if !listed[d.ID] {
			missing = append(missing, d.ID)
		}
	}
	departed, again := f.gone.Take(list, f.book.Left(missing, now), now)
	if f.certain = (time.Time{}); again > 0 {
		f.certain = now.Add(again)
	}
	left := f.book.Left(departed, now)
	return slices.DeleteFunc(departed, func(id string) bool {
		if !left[id] {
			f.gone.Stays(id)
		}
		return !left[id]
	})
}
