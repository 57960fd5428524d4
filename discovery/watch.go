package discovery

import (
	"context"
	"errors"
	"slices"
	"sync"
)

// errEnded is for handlers that return although ctx is not done.
var errEnded = errors.New("the handler ended its answer")

// watch makes a request to h. It calls send with the first list, and with each
// that differs from the one before. The handler does not wait for send: of
// lists that come meanwhile only the newest is kept. watch returns after h.
func watch(ctx context.Context, h Handler, req Request, send func(Report) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	box := newest{filled: make(chan struct{}, 1)}
	ended := make(chan error, 1)
	go func() {
		ended <- Ask(ctx, h, req, func(r Report) error {
			if err := ctx.Err(); err != nil {
				return err
			}
			box.put(r)
			return nil
		})
	}()
	var sent bool
	var last Report
	pass := func() error {
		r, ok := box.take()
		same := r.Note == last.Note && slices.Equal(r.Departed, last.Departed) && Same(r.Devices, last.Devices)
		if !ok || sent && same {
			return nil
		}
		sent, last = true, r
		return send(r)
	}
	for {
		select {
		case <-box.filled:
			if err := pass(); err != nil {
				cancel()
				<-ended
				return err
			}
		case err := <-ended:
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if failed := pass(); failed != nil {
				return failed
			}
			if err == nil {
				err = errEnded
			}
			return err
		}
	}
}

// newest holds the last report until it is taken.
type newest struct {
	filled chan struct{}

	mu     sync.Mutex
	report Report
	full   bool
}

func (n *newest) put(r Report) {
	r.Devices, r.Departed = slices.Clone(r.Devices), slices.Clone(r.Departed)
	n.mu.Lock()
	n.report, n.full = r, true
	n.mu.Unlock()
	select {
	case n.filled <- struct{}{}:
	default:
	}
}

func (n *newest) take() (Report, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	r, full := n.report, n.full
	n.report, n.full = Report{}, false
	return r, full
}
