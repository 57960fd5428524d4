package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/akri-go/akri/internal/backoff"
	"github.com/akri-go/akri/internal/street"
)

// A poller that asks everything every 10 s is what users know. It is a fake, of the
// least that such a handler sends.
const (
	pollInterval = 10 * time.Second
	pollWait     = time.Second // for answers to multicasts
	lateDevices  = 5           // are started while it polls
)

// poller asks all devices once, and returns the ids of those that have answered.
// It runs on a thread in the node's network.
type poller struct {
	ask   func(round int) (ids []string, err error)
	close func() error
}

// poll measures the poller on the node: how soon it sees a device that comes, and
// its packets. It returns how many devices it has started: all.
func (b *bench) poll(ctx context.Context, n *network, f *fleet) (started int, err error) {
	node, err := street.At(n.netNS)
	if err != nil {
		return 0, err
	}
	defer node.Leave()
	start := func() error {
		err := n.Do(func() error { return f.start(started) })
		started++
		return err
	}
	for started < many-lateDevices {
		if err := start(); err != nil {
			return 0, err
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	seen, ended := make(chan sighting, 2*many), make(chan error, 1)
	go func() { ended <- node.Do(func() error { return pollAll(ctx, n, f, seen) }) }()
	packets, err := n.during(ctx, b.idle)
	if err != nil {
		return 0, err
	}
	b.report(fmt.Sprintf("%d-%s-poller-packets", many, f.name), packets, "packets/min", 0)

	at := map[string]time.Time{}
	var took []time.Duration
	for started < many {
		at[f.id(started)] = time.Now()
		if err := start(); err != nil {
			return 0, err
		}
		if err := backoff.Sleep(ctx, pollInterval*7/10); err != nil { // not always at the same time of a round
			return 0, err
		}
	}
	for len(took) < lateDevices {
		select {
		case s := <-seen:
			if came, late := at[s.id]; late {
				took = append(took, s.at.Sub(came))
			}
		case err := <-ended:
			return 0, fmt.Errorf("the poller has ended: %w", err)
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	slices.Sort(took)
	b.report("poller-"+f.name+"-seen-p50", ms(quantile(took, 0.5)), "ms", 0)
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		return 0, err
	}
	return started, nil
}

// sighting is a device that the poller has found.
type sighting struct {
	id string
	at time.Time
}

// pollAll polls in this thread's namespace until ctx is done.
func pollAll(ctx context.Context, n *network, f *fleet, found chan<- sighting) (err error) {
	p, err := f.poll(n)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	known := map[string]bool{}
	for round := 0; ; round++ {
		next := time.Now().Add(pollInterval)
		ids, err := p.ask(round)
		if err != nil {
			return err
		}
		for _, id := range ids {
			if !known[id] {
				known[id] = true
				found <- sighting{id, time.Now()}
			}
		}
		if err := backoff.Sleep(ctx, time.Until(next)); err != nil {
			return err
		}
	}
}
