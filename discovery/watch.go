package discovery

import (
	"context"
	"errors"
	"slices"
	"sync"
)

// errEnded is for handlers that end their answer although nobody asked them to.
var errEnded = errors.New("the handler ended its answer")

// watch asks h and calls send with the first list and with each that differs
// from the one sent before. The handler never waits for send: of the lists that
// come meanwhile only the newest is kept. It returns once h has.
func watch(ctx context.Context, h Handler, req Request, send func([]Device) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	box := newest{filled: make(chan struct{}, 1)}
	ended := make(chan error, 1)
	go func() {
		ended <- h.Discover(ctx, req, func(devices []Device) error {
			if err := ctx.Err(); err != nil {
				return err
			}
			box.put(devices)
			return nil
		})
	}()
	var sent bool
	var last []Device
	pass := func() error {
		devices, ok := box.take()
		if !ok || sent && Same(devices, last) {
			return nil
		}
		sent, last = true, devices
		return send(devices)
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

// newest holds the list that was put last until it is taken.
type newest struct {
	filled chan struct{}

	mu      sync.Mutex
	devices []Device
	full    bool
}

func (n *newest) put(devices []Device) {
	n.mu.Lock()
	n.devices, n.full = slices.Clone(devices), true
	n.mu.Unlock()
	select {
	case n.filled <- struct{}{}:
	default:
	}
}

func (n *newest) take() ([]Device, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	devices, full := n.devices, n.full
	n.devices, n.full = nil, false
	return devices, full
}
