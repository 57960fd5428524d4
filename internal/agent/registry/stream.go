package registry

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/akri-go/akri/discovery"
)

const (
	firstPause   = 100 * time.Millisecond
	longestPause = 30 * time.Second
	// silence is how long an answer may take before it is mentioned.
	silence = 30 * time.Second
)

// errSilent goes with Failure.Silent. It is no accusation: handlers made for
// upstream Akri say nothing as long as they find nothing.
var errSilent = fmt.Errorf("connected, but nothing was reported within %s; "+
	"handlers made for upstream Akri report nothing until they find a device", silence)

// stream is one question to one endpoint. It asks again, with growing pauses,
// until its context is done.
type stream struct {
	registry *Registry
	question Question
	id       string // of the question
	endpoint *endpoint
	cancel   context.CancelFunc
	wake     chan struct{} // ends a pause; holds one

	// Guarded by Registry.mu.
	attempt  int // counts calls
	began    time.Time
	counted  bool   // the outcome of the current call was told
	answered bool   // the current call has reported something
	told     string // the failure that the observer knows of, "" if none
	devices  []discovery.Device
	refused  string
}

func (s *stream) run(ctx context.Context) {
	log := s.registry.log.With("configuration", s.question.Configuration.String(), "handler", s.endpoint.name, "endpoint", s.endpoint.id)
	log.Debug("asking")
	for pause := firstPause; ; {
		began := time.Now()
		err := s.ask(ctx)
		if ctx.Err() != nil {
			return
		}
		s.registry.ended(s, err)
		if time.Since(began) > longestPause {
			pause = firstPause
		}
		var retry <-chan time.Time // never, if the question itself was refused
		var timer *time.Timer
		if !discovery.IsInvalid(err) {
			timer = time.NewTimer(pause/2 + rand.N(pause/2))
			retry = timer.C
			pause = min(2*pause, longestPause)
		}
		select {
		case <-ctx.Done():
		case <-s.wake:
			pause = firstPause
		case <-retry:
		}
		if timer != nil {
			timer.Stop()
		}
		if ctx.Err() != nil {
			return
		}
	}
}

func (s *stream) ask(ctx context.Context) error {
	attempt := s.registry.begin(s)
	timer := time.AfterFunc(silence, func() { s.registry.silent(s, attempt) })
	defer timer.Stop()
	return s.endpoint.source.ask(ctx, s.question.Request, func(devices []discovery.Device, refused, err error) {
		timer.Stop()
		s.registry.answered(s, devices, refused, err)
	})
}

// wakeUp has a stream that pauses ask at once, and one that asks do without
// its next pause: its handler has registered again, so it may be another
// process, and this one's end not known yet.
func (s *stream) wakeUp() { wakeUp(s.wake) }

// begin notes that a call begins.
func (r *Registry) begin(s *stream) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	s.attempt++
	s.began, s.counted = time.Now(), false
	s.answered, s.devices, s.refused = false, nil, ""
	return s.attempt
}

// current tells whether s is still wanted. What others say is not passed on.
// The caller holds r.mu.
func (r *Registry) current(s *stream) bool {
	a := r.questions[s.question.Configuration]
	return a != nil && a.streams[s.endpoint] == s && r.ctx.Err() == nil
}

// answered passes a report on.
func (r *Registry) answered(s *stream, devices []discovery.Device, refused, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.current(s) {
		return
	}
	s.endpoint.since = time.Time{}
	r.count(s, err)
	if err != nil {
		r.tell(s, Failure{Err: err})
		return
	}
	var why string
	if refused != nil {
		why = refused.Error()
	}
	if s.answered && s.told == "" && s.refused == why && discovery.Same(s.devices, devices) {
		return
	}
	if !s.answered || s.refused != why {
		r.log.Info("devices reported", "configuration", s.question.Configuration.String(), "handler", s.endpoint.name,
			"endpoint", s.endpoint.id, "devices", len(devices), "refused", why)
	}
	s.answered, s.told, s.devices, s.refused = true, "", devices, why
	r.mail.reported(Report{
		Configuration: s.question.Configuration,
		Question:      s.id,
		Endpoint:      s.endpoint.id,
		Shared:        s.endpoint.shared,
		Devices:       devices,
		Received:      time.Now(),
		Refused:       refused,
	})
}

// count tells what became of the current call, once. The caller holds r.mu.
func (r *Registry) count(s *stream, err error) {
	if s.counted {
		return
	}
	s.counted = true
	r.opts.Answered(Answer{
		Configuration: s.question.Configuration,
		Handler:       s.endpoint.name,
		Took:          time.Since(s.began),
		Err:           err,
	})
}

func (r *Registry) silent(s *stream, attempt int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.current(s) && s.attempt == attempt && !s.answered {
		r.tell(s, Failure{Err: errSilent, Silent: true})
	}
}

// ended notes that a call has ended, and drops an endpoint that could not be
// reached for long.
func (r *Registry) ended(s *stream, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.current(s) {
		return
	}
	r.count(s, err)
	if s.answered {
		s.answered, s.told, s.devices = false, "", nil
		r.mail.lost(s.question.Configuration, s.id, s.endpoint.id)
	}
	r.tell(s, Failure{Err: err, Final: discovery.IsInvalid(err)})
	if !errors.As(err, new(unreachable)) {
		s.endpoint.since = time.Time{}
		return
	}
	wakeUp(r.refused)
	if s.endpoint.since.IsZero() {
		s.endpoint.since = time.Now()
	}
	if gone := time.Since(s.endpoint.since); gone >= s.endpoint.patience {
		r.log.Warn("endpoint dropped: it could not be reached for long, and may register again",
			"handler", s.endpoint.name, "endpoint", s.endpoint.id, "for", gone.String())
		r.drop(s.endpoint)
	}
}

// tell passes a failure on if it is news. The caller holds r.mu.
func (r *Registry) tell(s *stream, f Failure) {
	if text := f.Err.Error(); text != s.told {
		s.told = text
		r.log.Warn("handler does not answer as it should", "configuration", s.question.Configuration.String(),
			"handler", s.endpoint.name, "endpoint", s.endpoint.id, "error", text)
		f.Configuration, f.Question, f.Endpoint = s.question.Configuration, s.id, s.endpoint.id
		r.mail.failed(f)
	}
}
