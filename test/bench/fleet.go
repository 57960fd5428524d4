package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/akri-go/akri/internal/backoff"
)

const (
	// many is how many devices are on one network.
	many = 500
	// apart is the time between two devices that come one by one: handlers report
	// less often while devices come without a pause.
	apart = 250 * time.Millisecond
	// slow is what a person is told of.
	slow = 500 * time.Millisecond
)

// fleet is simulated devices of one protocol, all of them off at first.
type fleet struct {
	// name is what they are called in the names of figures, hello and bye what they
	// say when they come and go.
	name, hello, bye string
	handler, details string
	// start and stop switch a device on and off, which says so if it can; they are
	// called in the street.
	start, stop func(i int) error
	close       func() error
	// id is how the poller knows a device. There is no poller if poll is nil.
	id   func(i int) string
	poll func(n *network) (poller, error)
	// slow tells that devices come and go at the pace of the handler's interval.
	slow bool
}

// some returns at most how many devices come and go one by one.
func (f *fleet) some(rounds int) int {
	if f.slow {
		return min(rounds, 5)
	}
	return rounds
}

// place is where a handler runs, and where it is seen what it finds.
type place interface {
	// ask has the handler look for devices until end is called, which returns when
	// all is forgotten.
	ask(ctx context.Context, name, handler, details string) (see watcher, end func() error, err error)
	// floor is what the unavoidable part takes for one device, and for many; 0 if
	// there is none.
	floor(ctx context.Context, see watcher) (time.Duration, error)
	floorOfMany(ctx context.Context) (time.Duration, error)
	// process is the handler's.
	process(ctx context.Context) (process, error)
	// report reports its memory.
	report(name string, p process) error
	// seen is what figures call it when a device is seen.
	seen() string
}

// watcher sees how many devices there are.
type watcher interface {
	// count waits until is, and returns when that came to be.
	count(ctx context.Context, is func(devices int) bool) (time.Time, error)
}

func exactly(n int) func(int) bool { return func(devices int) bool { return devices == n } }

// measureFleet measures a handler at a place: devices that come and go one by one,
// many that are there, and what a poller would do.
func (b *bench) measureFleet(
	ctx context.Context, n *network, open func(*network, int) (*fleet, error), at place,
) (err error) {
	f, err := open(n, b.rounds)
	if err != nil {
		return err
	}
	err = errors.Join(b.oneByOne(ctx, n, f, at), n.Do(f.close))
	if err != nil {
		return err
	}
	if f, err = open(n, many); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.Do(f.close)) }()
	started := 0
	if f.poll != nil {
		if started, err = b.poll(ctx, n, f); err != nil {
			return err
		}
	}
	for i := started; i < many; i++ {
		if err := n.Do(func() error { return f.start(i) }); err != nil {
			return err
		}
	}
	return b.all(ctx, n, f, at)
}

// oneByOne measures devices that come one by one, and go.
func (b *bench) oneByOne(ctx context.Context, n *network, f *fleet, at place) (err error) {
	see, end, err := at.ask(ctx, "bench-"+f.hello, f.handler, f.details)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, end()) }()
	if _, err := see.count(ctx, exactly(0)); err != nil {
		return err
	}
	var hello, bye, floor []time.Duration
	for i := range f.some(b.rounds) {
		if err := backoff.Sleep(ctx, apart); err != nil {
			return err
		}
		began := time.Now()
		if err := n.Do(func() error { return f.start(i) }); err != nil {
			return err
		}
		seen, err := see.count(ctx, exactly(i+1))
		if err != nil {
			return err
		}
		if took := seen.Sub(began); took > slow {
			fmt.Fprintf(os.Stderr, "%s %d took %s, from %s\n",
				f.hello, i, took.Round(time.Millisecond), began.Format(time.StampMilli))
		}
		if i == 0 {
			continue // the handler had just begun to listen
		}
		hello = append(hello, seen.Sub(began))
		took, err := at.floor(ctx, see)
		if err != nil {
			return err
		}
		floor = append(floor, took)
	}
	there := f.some(b.rounds)
	for i := range max(1, f.some(b.rounds)/10) {
		said := time.Now()
		if err := n.Do(func() error { return f.stop(i) }); err != nil {
			return err
		}
		there--
		gone, err := see.count(ctx, exactly(there))
		if err != nil {
			return err
		}
		bye = append(bye, gone.Sub(said))
	}
	for _, all := range [][]time.Duration{hello, bye, floor} {
		slices.Sort(all)
	}
	b.report(f.hello+"-to-"+at.seen()+"-p50", ms(quantile(hello, 0.5)), "ms", ms(quantile(floor, 0.5)))
	b.report(f.hello+"-to-"+at.seen()+"-p99", ms(quantile(hello, 0.99)), "ms", ms(quantile(floor, 0.99)))
	b.report(f.bye+"-to-"+at.seen()+"-gone-p50", ms(quantile(bye, 0.5)), "ms", 0)
	return nil
}

// all measures the handler with devices that are all there.
func (b *bench) all(ctx context.Context, n *network, f *fleet, at place) (err error) {
	handler, err := at.process(ctx)
	if err != nil {
		return err
	}
	floor, err := at.floorOfMany(ctx)
	if err != nil {
		return err
	}
	everybody, cpu, began := spent(), handler.cpu(), time.Now()
	see, end, err := at.ask(ctx, "bench-"+f.name, f.handler, f.details)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, end()) }()
	half, err := see.count(ctx, func(devices int) bool { return devices >= many/2 })
	if err != nil {
		return err
	}
	all, err := see.count(ctx, exactly(many))
	if err != nil {
		return err
	}
	name := fmt.Sprintf("%d-%s", many, f.name)
	b.report(name+"-half-to-"+at.seen()+"s", half.Sub(began).Seconds(), "s", 0)
	b.report(name+"-to-"+at.seen()+"s", all.Sub(began).Seconds(), "s", floor.Seconds())
	b.report(name+"-found-cpu", (handler.cpu() - cpu).Seconds(), "s", 0)
	explain(name+" until all were seen", everybody)

	// Whatever asks slows down while nothing changes, which takes six intervals.
	if err := backoff.Sleep(ctx, time.Minute); err != nil {
		return err
	}
	cpu = handler.cpu()
	packets, err := n.during(ctx, b.idle)
	if err != nil {
		return err
	}
	b.report(name+"-idle-packets", packets, "packets/min", 0)
	b.report(name+"-idle-cpu", 100*(handler.cpu()-cpu).Seconds()/b.idle.Seconds(), "percent-of-a-core", 0)
	return at.report(name+"-"+f.handler, handler)
}
