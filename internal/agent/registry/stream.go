package registry

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/internal/backoff"
)

const (
	firstRetryDelay = 100 * time.Millisecond
	maxRetryDelay   = 30 * time.Second
	// manyFailures is a number of failures after which delays are the longest.
	manyFailures = 10
	// silentAfter is how long an answer may take before its absence is reported.
	silentAfter = 30 * time.Second
)

// errSilent goes with Failure.Silent. It need not be an error: handlers made for
// upstream Akri say nothing until they find a device.
var errSilent = fmt.Errorf("connected, but nothing was reported within %s; "+
	"handlers made for upstream Akri report nothing until they find a device", silentAfter)

// stream is one request to one endpoint. It asks again, with growing delays,
// until its context is done.
type stream struct {
	registry *Registry
	request  Request
	id       string // of the request
	endpoint *endpoint
	cancel   context.CancelFunc
	wake     chan struct{} // ends a wait; holds one value

	// Guarded by Registry.mu.
	attempt  int // counts calls
	began    time.Time
	counted  bool              // Answered was called for the current call
	answered bool              // the current call has reported something
	told     string            // the failure that the observer knows of, "" if none
	digest   [sha256.Size]byte // of the devices that were reported last
	refused  string
	limit    int                     // bytes that a report may have; 0 once that was given back
	hangUp   context.CancelCauseFunc // ends the current call
}

func (s *stream) run(ctx context.Context) {
	log := s.registry.log.With("configuration", s.request.Configuration.String(), "handler", s.endpoint.name, "endpoint", s.endpoint.id)
	log.Debug("asking")
	delays := backoff.Backoff{First: firstRetryDelay, Max: maxRetryDelay, Jitter: 0.5}
	for failures := 0; ; {
		began := time.Now()
		err := s.ask(ctx)
		if ctx.Err() != nil {
			return
		}
		s.registry.ended(s, err)
		if time.Since(began) > maxRetryDelay {
			failures = 0
		}
		var retry <-chan time.Time // never, if the request is invalid
		var timer *time.Timer
		wake := s.wake
		if errors.As(err, new(notKept)) {
			// This side ended the call, and handlers register again for that.
			failures, wake = manyFailures, nil
		}
		if !discovery.IsInvalid(err) {
			failures++
			timer = time.NewTimer(delays.Delay(failures))
			retry = timer.C
		}
		select {
		case <-ctx.Done():
		case <-wake:
			failures = 0
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
	ctx, hangUp := context.WithCancelCause(ctx)
	defer hangUp(nil)
	attempt := s.registry.begin(s, hangUp)
	timer := time.AfterFunc(silentAfter, func() { s.registry.silent(s, attempt) })
	defer timer.Stop()
	for {
		err := s.endpoint.client.ask(ctx, s.request.Request, s.registry.limitOf(s), func(l list, err error) {
			timer.Stop()
			s.registry.answered(s, l, err)
		})
		if errors.Is(err, errTooLarge) {
			if err = s.registry.grow(s); err == nil {
				continue
			}
			err = notKept{err}
		}
		if why := context.Cause(ctx); errors.As(why, new(notKept)) {
			return why
		}
		return err
	}
}

// wakeUp makes a stream that waits ask at once, and one that asks skip its next
// wait. Its handler has registered again, so it may be a new process, and the end
// of the old one may not be known yet.
func (s *stream) wakeUp() { wakeUp(s.wake) }

// begin notes that a call begins.
func (r *Registry) begin(s *stream, hangUp context.CancelCauseFunc) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	s.hangUp = hangUp
	s.attempt++
	s.began, s.counted = time.Now(), false
	s.answered, s.refused = false, ""
	return s.attempt
}

func (r *Registry) limitOf(s *stream) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return max(s.limit, 1)
}

// refuse ends the call whose report the observer does not keep.
func (r *Registry) refuse(report Report, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	req := r.requests[report.Configuration]
	if req == nil || req.id != report.RequestID {
		return
	}
	for e, s := range req.streams {
		if e.id == report.Endpoint && s.hangUp != nil {
			s.hangUp(notKept{err})
		}
	}
}

// current tells whether s is still wanted: only then is what it says passed on.
// The caller holds r.mu.
func (r *Registry) current(s *stream) bool {
	req := r.requests[s.request.Configuration]
	return req != nil && req.streams[s.endpoint] == s && r.ctx.Err() == nil
}

// answered passes a report on.
func (r *Registry) answered(s *stream, l list, err error) {
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
	if l.refused != nil {
		why = l.refused.Error()
	}
	digest := digestOf(l.devices, l.departed)
	if s.answered && s.told == "" && s.refused == why && s.digest == digest {
		return
	}
	if !s.answered || s.refused != why {
		r.say(s.endpoint, s.request.Configuration, slog.LevelInfo, "devices reported", "devices", len(l.devices), "refused", why)
	}
	s.answered, s.told, s.digest, s.refused = true, "", digest, why
	r.mail.reported(Report{
		Configuration: s.request.Configuration,
		RequestID:     s.id,
		Endpoint:      s.endpoint.id,
		Shared:        s.endpoint.shared,
		Registration:  s.endpoint.registration,
		Alone:         r.alone(s.endpoint),
		Devices:       l.devices,
		Departed:      l.departed,
		Received:      time.Now(),
		Refused:       l.refused,
	})
}

// digestOf returns a digest of a list that does not depend on its order. Only the
// observer keeps the lists themselves.
func digestOf(devices []discovery.Device, departed []string) [sha256.Size]byte {
	sums := make([][sha256.Size]byte, len(devices))
	for i, d := range devices {
		h := sha256.New()
		add(h, d.ID, strconv.Itoa(len(d.Properties)), strconv.Itoa(len(d.Mounts)))
		for _, key := range slices.Sorted(maps.Keys(d.Properties)) {
			add(h, key, d.Properties[key])
		}
		for _, m := range d.Mounts {
			add(h, m.ContainerPath, m.HostPath, strconv.FormatBool(m.ReadOnly))
		}
		for _, n := range d.DeviceSpecs {
			add(h, n.ContainerPath, n.HostPath, n.Permissions)
		}
		h.Sum(sums[i][:0])
	}
	slices.SortFunc(sums, func(a, b [sha256.Size]byte) int { return bytes.Compare(a[:], b[:]) })
	h := sha256.New()
	for _, sum := range sums {
		h.Write(sum[:])
	}
	add(h, slices.Sorted(slices.Values(departed))...)
	return [sha256.Size]byte(h.Sum(nil))
}

// count calls Answered for the current call, once. The caller holds r.mu.
func (r *Registry) count(s *stream, err error) {
	if s.counted {
		return
	}
	s.counted = true
	r.opts.Answered(Answer{
		Configuration: s.request.Configuration,
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

// ended notes that a call has ended, and drops an endpoint that was unreachable
// for too long.
func (r *Registry) ended(s *stream, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.current(s) {
		return
	}
	r.count(s, err)
	if s.answered {
		s.answered, s.told = false, ""
		r.lost(s)
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
	if gone := time.Since(s.endpoint.since); gone >= s.endpoint.grace {
		r.log.Warn("endpoint dropped: it was unreachable for too long; it may register again",
			"handler", s.endpoint.name, "endpoint", s.endpoint.id, "for", gone.String())
		r.drop(s.endpoint)
	}
}

// lost says that what s reported is no longer certain. The caller holds r.mu.
func (r *Registry) lost(s *stream) {
	r.mail.lost(Loss{
		Configuration: s.request.Configuration,
		RequestID:     s.id,
		Endpoint:      s.endpoint.id,
		Alone:         r.alone(s.endpoint),
		Registration:  r.registrations,
	})
}

// alone tells whether no other endpoint of e's name is registered. The caller
// holds r.mu.
func (r *Registry) alone(e *endpoint) bool {
	h := r.handlers[e.name]
	return h == nil || len(h.endpoints) == 0 || len(h.endpoints) == 1 && h.endpoints[e.id] == e
}

// tell passes a failure on if it is new. The caller holds r.mu.
func (r *Registry) tell(s *stream, f Failure) {
	if text := f.Err.Error(); text != s.told {
		s.told = text
		r.say(s.endpoint, s.request.Configuration, slog.LevelWarn, "handler does not answer the request", "error", text)
		f.Configuration, f.RequestID, f.Endpoint = s.request.Configuration, s.id, s.endpoint.id
		r.mail.failed(f)
	}
}
