package edgedemo

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/akri-go/akri/internal/terminal"
)

// seen is a look that has ended.
type seen struct {
	state State
	err   error
	began time.Time
}

// interact shows both ends and heeds keys until the person quits.
func (d *demo) interact(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	keys, restore, err := terminal.Keys(ctx, d.Terminal)
	if err != nil {
		return err
	}
	defer restore()
	screen := terminal.Screen{Out: d.Out}
	defer screen.Leave()
	looks, done := d.watch(ctx)
	defer func() { cancel(); <-done }()
	v := view{demo: d}
	for {
		width, height := terminal.Size(d.Terminal)
		screen.Draw(Draw(v.state, v.told, v.chosen, width, height), width, height)
		select {
		case <-ctx.Done():
			return nil
		case s := <-looks:
			v.see(s)
		case key, open := <-keys:
			if !open || v.heed(ctx, key) {
				return nil
			}
		}
	}
}

// watch looks at both ends until ctx is done.
func (d *demo) watch(ctx context.Context) (<-chan seen, <-chan struct{}) {
	out, done := make(chan seen), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(lookInterval)
		defer tick.Stop()
		for {
			began := time.Now()
			s, err := d.look(ctx)
			select {
			case out <- seen{s, err, began}:
			case <-ctx.Done():
				return
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out, done
}

// view is what a person sees.
type view struct {
	*demo
	state  State
	told   []string
	chosen int
	acted  time.Time // when a key was last carried out
}

func (v *view) tell(format string, args ...any) {
	v.told = append(v.told, time.Now().Format(time.TimeOnly)+"  "+fmt.Sprintf(format, args...))
	v.told = v.told[max(0, len(v.told)-maxTold):]
}

func (v *view) see(s seen) {
	if s.began.Before(v.acted) {
		return // it may be of before
	}
	if s.err != nil {
		v.tell("the cluster does not answer: %v", s.err)
		return
	}
	for _, line := range Tell(v.state, s.state) {
		v.tell("%s", line)
	}
	v.state = s.state
}

// heed carries out a key.
func (v *view) heed(ctx context.Context, key byte) (quit bool) {
	e, err := v.cluster.EdgeNode(v.chosen + 1)
	if err != nil {
		v.tell("%v", err)
		return false
	}
	n, _ := find(v.state, e.Name)
	switch key {
	case 'q', 'Q', terminal.CtrlC, terminal.CtrlD:
		return true
	case 'c', 'C':
		if n.Cut {
			v.tell("you mend the link of %s", e.Name)
			err = e.Rejoin(ctx)
		} else {
			v.tell("you cut the link of %s: neither end is told", e.Name)
			err = e.Cut(ctx)
		}
	case 'p', 'P':
		if n.Power {
			v.tell("you cut the power of %s", e.Name)
			err = e.PowerOff(ctx)
		} else {
			v.tell("you give %s its power back", e.Name)
			err = e.PowerOn(ctx)
		}
	case 'u', 'U':
		err = v.update(ctx)
	default:
		if i, bad := strconv.Atoi(string(key)); bad == nil && i >= 1 && i <= v.cluster.EdgeNodeCount() {
			v.chosen = i - 1
		}
	}
	if err != nil && ctx.Err() == nil {
		v.tell("%v", err)
	}
	// So that the next key is about what there is now.
	v.acted = time.Now()
	if s, err := v.look(ctx); err == nil {
		v.see(seen{s, nil, v.acted})
	}
	return false
}
