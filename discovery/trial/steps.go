package trial

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/internal/poll"
)

// lists makes the first calls and judges what they bring. It returns whether more
// calls are of use.
func (t *trial) lists(ctx context.Context) bool {
	began := time.Now()
	one := t.ask(ctx, t.Request)
	t.open = append(t.open, one)
	waiting, cancel := t.within(ctx)
	defer cancel()
	want := set(t.Present)
	a := one.until(waiting, func(a answer) bool { return answered(a) && (t.Present == nil || has(want)(a)) })
	f := judgeFirst(a, len(t.Present) > 0, time.Since(began))
	if f.Level == Failure {
		f.Got += t.crash(ctx, a)
		t.found(f)
		return false
	}
	t.found(f)
	t.patient = a.lists > 0
	if t.Present != nil && t.patient {
		t.found(judgeChange("looked for the devices that are there", want, nil, a, true, time.Since(began)))
	}
	t.pause(ctx)
	a = one.now()
	t.found(judgeDevices(a.devices, t.limits, ""))
	two := t.ask(ctx, t.Request)
	t.open = append(t.open, two)
	t.found(judgeSame(t.agree(ctx, one, two)))
	return true
}

// agree waits until two calls list the same, and returns what they list.
func (t *trial) agree(ctx context.Context, one, two *call) (a, b []discovery.Device) {
	waiting, cancel := t.within(ctx)
	defer cancel()
	if !t.patient {
		return nil, nil
	}
	last := two.until(waiting, answered)
	for !last.ended && waiting.Err() == nil {
		first := one.now()
		if has(ids(first.devices))(last) {
			return first.devices, last.devices
		}
		if !first.ended && len(ids(first.devices)) > 0 && len(without(ids(first.devices),
			ids(last.devices))) == len(ids(first.devices)) && len(last.devices) > 0 {
			break // nothing in common: waiting is of no use
		}
		_ = poll.Until(waiting, "a list changes", pollInterval, func(context.Context) error {
			if one.now().lists == first.lists && two.now().lists == last.lists && !two.now().ended {
				return fmt.Errorf("no list has changed")
			}
			return nil
		})
		last = two.now()
	}
	return one.now().devices, two.now().devices
}

// sideBySide makes many calls at once, and judges what all calls have brought. It
// returns whether a call is answered while another is open.
func (t *trial) sideBySide(ctx context.Context) bool {
	var alone, together []answer
	var calls []*call
	requests := []discovery.Request{}
	for _, req := range t.Others {
		requests = append(requests, req)
		alone = append(alone, t.answerTo(ctx, req))
	}
	for range t.Calls {
		requests = append(requests, t.Request)
		alone = append(alone, t.open[0].now())
	}
	for _, req := range requests {
		calls = append(calls, t.ask(ctx, req))
	}
	began := time.Now()
	waiting, cancel := t.patience(ctx) // one for all
	defer cancel()
	for i, c := range calls {
		want := has(ids(alone[i].devices))
		if alone[i].lists == 0 {
			want = answered
		}
		together = append(together, c.until(waiting, want))
	}
	f := judgeAtOnce(alone, together, time.Since(began))
	t.found(f)
	for _, c := range calls[:len(t.Others)] {
		together = append(together, c.now())
		c.drop()
	}
	t.open = append(t.open, calls[len(t.Others):]...)
	all := t.answers()
	t.found(judgeOnce(all[0]))
	t.found(judgeWhole(all))
	t.found(judgeOpen(append(all, together...), t.Watch))
	if f.Level != Failure || !t.patient {
		return true
	}
	t.drop() // fewer calls may do
	t.open = append(t.open, t.ask(ctx, t.Request))
	t.await(ctx, t.open[0], answered)
	return answered(t.answerUntil(ctx, answered))
}

// unlikely are details that hardly any handler can take for good.
const unlikely = "\t{]: 'not YAML"

// refusals makes calls that must be refused, and one that finds nothing.
func (t *trial) refusals(ctx context.Context) {
	requests, sure := t.Bad, true
	if len(requests) == 0 {
		requests, sure = []discovery.Request{{Details: unlikely}}, false
	}
	for _, req := range requests {
		began := time.Now()
		a := t.answerTo(ctx, req)
		what := fmt.Sprintf("the details %.80q", req.Details)
		if len(req.Properties) > 0 {
			what += " and properties"
		}
		f := judgeBad(what, a, sure, time.Since(began))
		f.Got += t.crash(ctx, a)
		t.found(f)
		t.revive(ctx, false)
	}
	if t.Nothing == nil {
		t.found(nothingFound.skip("no details were given that find nothing"))
		return
	}
	began := time.Now()
	t.found(judgeNothing(t.answerTo(ctx, *t.Nothing), time.Since(began)))
}

// changing changes the devices while calls are open.
func (t *trial) changing(ctx context.Context) {
	if len(t.Changes) == 0 {
		t.found(changes.skip("nobody said how to change which devices there are"))
	}
	for _, c := range t.Changes {
		before := t.answers()
		want, err := c.Make(ctx)
		if err != nil {
			t.found(changes.fail(c.What, fmt.Sprintf("the change could not be made: %v", err),
				"Mend what is to change the devices: it is not known what the handler does then."))
			break
		}
		began := time.Now()
		open, fresh := t.followed(ctx, c, want, before)
		moved := slices.ContainsFunc(open, func(a answer) bool {
			return !discovery.Same(a.devices,
				before[0].devices)
		})
		t.found(judgeChange(c.What, known(c, want), open, fresh, moved || known(c, want) != nil, time.Since(began)))
	}
	t.found(judgeDeparted(t.answers(), len(t.Changes) > 0, t.limits))
}

// followed waits until the open calls list what they must, and returns what they
// list, and what a fresh call does.
func (t *trial) followed(ctx context.Context, c Change, want []string, before []answer) (open []answer,
	fresh answer) {
	waiting, cancel := t.within(ctx)
	defer cancel()
	if set := known(c, want); set != nil {
		for _, call := range t.open {
			open = append(open, call.until(waiting, has(set)))
		}
		return open, t.answerUntil(ctx, has(set))
	}
	t.open[0].until(waiting, func(a answer) bool { return a.lists > before[0].lists })
	t.pause(ctx)
	fresh = t.answerUntil(ctx, answered)
	for _, call := range t.open {
		open = append(open, call.until(waiting, has(ids(fresh.devices))))
	}
	return open, fresh
}

// known returns what a change must lead to, nil if that is not known.
func known(_ Change, want []string) map[string]bool {
	if want == nil {
		return nil
	}
	return set(want)
}

func set(list []string) map[string]bool {
	all := make(map[string]bool, len(list))
	for _, id := range list {
		all[id] = true
	}
	return all
}

// answerUntil makes a call with the Request, waits, and drops it.
func (t *trial) answerUntil(ctx context.Context, ok func(answer) bool) answer {
	c := t.ask(ctx, t.Request)
	defer c.drop()
	return t.await(ctx, c, ok)
}

// usageOf reads what a process has open.
func usageOf(pid int) usage {
	var u usage
	if pid == 0 || pid == os.Getpid() {
		return u // this process has calls of its own
	}
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		return u
	}
	u.files = len(files)
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return usage{}
	}
	for line := range strings.Lines(string(text)) {
		if n, ok := strings.CutPrefix(line, "Threads:"); ok {
			u.threads, _ = strconv.Atoi(strings.TrimSpace(n))
		}
	}
	return u
}
