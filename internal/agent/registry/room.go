package registry

import (
	"errors"
	"fmt"

	"github.com/akri-go/akri/discovery/contract"
)

// What all handlers together may make the agent hold is bounded. One rule shares
// it out: each may take half of what the others leave. So something is always
// left for a handler that comes later.

// Share returns how much one may hold of a total if the others hold so much.
func Share(total, others int) int { return max(0, total-others) / 2 }

// What a handler can make the agent hold before there is a report, in bytes.
const (
	// connectionBytes is for an endpoint: windows, buffers, goroutines.
	connectionBytes = 96 << 10
	// manyMessageBytes is what a report may have at first: some hundred devices with
	// all that they say. A handler that sends more is asked again with room for four
	// times as much, if there is room. To be asked again is dear to handlers that
	// have to ask each device.
	manyMessageBytes = 512 << 10
	// firstMessageBytes is it when the first calls of a name have a quarter of its
	// share.
	firstMessageBytes = 16 << 10
)

// errTooLarge says that a message was larger than the call allowed.
var errTooLarge = errors.New("the report is larger than is allowed")

// notKept says why there is no room for a report.
type notKept struct{ err error }

func (e notKept) Error() string { return e.err.Error() }
func (e notKept) Unwrap() error { return e.err }

// The functions below are called with r.mu held.

// take reserves n bytes for what arrives from handlers of a name. It fails if the
// name would then have more than its share, less what kept returns of the share.
func (r *Registry) take(name string, n int, kept func(share int) int) error {
	others := 0
	for other, bytes := range r.inFlight {
		if other != name {
			others += bytes
		}
	}
	may := Share(r.rules.InFlightBytes, others)
	may -= kept(may)
	if r.inFlight[name]+n > may {
		return fmt.Errorf("handlers of the name %s may have %d bytes in flight to this agent, and need %d more than the %d that they have: "+
			"have them report less, or to fewer Configurations, or run fewer of them", contract.Show(name), may, n, r.inFlight[name])
	}
	r.inFlight[name] += n
	return nil
}

func (r *Registry) give(name string, n int) {
	if r.inFlight[name] -= n; r.inFlight[name] <= 0 {
		delete(r.inFlight, name)
	}
}

// reserve takes what a new stream needs.
func (r *Registry) reserve(s *stream) error {
	connection := 0
	if s.endpoint.streams == 0 {
		connection = connectionBytes
	}
	limit := manyMessageBytes
	err := r.take(s.endpoint.name, connection+limit, func(share int) int { return share / 4 * 3 })
	if err != nil {
		limit = firstMessageBytes
		err = r.take(s.endpoint.name, connection+limit, func(int) int { return 0 })
	}
	if err != nil {
		r.starved = true
		return err
	}
	s.endpoint.streams++
	s.limit = limit
	return nil
}

// release gives back what a stream has.
func (r *Registry) release(s *stream) {
	if s.limit == 0 {
		return
	}
	n := s.limit
	if s.endpoint.streams--; s.endpoint.streams == 0 {
		n += connectionBytes
	}
	s.limit = 0
	r.give(s.endpoint.name, n)
}

// openWaiting opens streams for which there was no room, and may be now.
func (r *Registry) openWaiting() {
	if !r.starved {
		return
	}
	r.starved = false
	for _, req := range r.requests {
		r.askAll(req)
	}
}

func half(n int) int { return n / 2 }

// grow makes more room for a stream's reports, within half of what its name may
// have: so large reports leave room for other requests. It is called without
// r.mu.
func (r *Registry) grow(s *stream) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.current(s) || s.limit == 0 {
		return errTooLarge
	}
	limit := min(4*s.limit, r.rules.MessageBytes)
	if limit <= s.limit {
		return fmt.Errorf("%w: it has more than %d bytes", errTooLarge, s.limit)
	}
	if err := r.take(s.endpoint.name, limit-s.limit, half); err != nil {
		return fmt.Errorf("the report has more than %d bytes: %w", s.limit, err)
	}
	s.limit = limit
	return nil
}
