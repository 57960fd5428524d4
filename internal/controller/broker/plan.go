package broker

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"time"
)

// schedulingTimeout is how long a broker of a shared Instance stays
// unschedulable before another node is tried.
const schedulingTimeout = 30 * time.Second

// quickChangeAge is the age under which a broker whose device has changed
// counts as failed, so that a device that changes all the time is slowed down.
const quickChangeAge = time.Minute

// Plan decides what to do about the broker Pods of one Instance. It is a pure
// function: the same state gives the same plan, and carrying out a plan leads
// to a state whose plan is empty.
func Plan(s State) Result {
	p := &planner{State: s, doomed: map[*Pod]bool{}}
	switch {
	case s.Instance == nil || s.Instance.Deleting:
		p.deleteAll(ReasonInstanceGone, "its Instance is gone")
		return p.out
	case s.Spec == nil && !s.Hold:
		p.deleteAll(ReasonNotWanted, "its Configuration has no brokerPodSpec")
		return p.out
	}
	p.history()
	p.sweep()
	if s.Hold {
		return p.out
	}
	p.changed()
	p.ended()
	p.spend()
	p.move()
	p.fill()
	p.rollOut()
	return p.out
}

// planner is a plan in progress. Its methods are the steps of Plan, in this
// order.
type planner struct {
	State
	out Result
	// doomed Pods are deleted by this plan. They still occupy their node.
	doomed map[*Pod]bool
	slots  slots
}

func (p *planner) delete(pod *Pod, why Reason, format string, args ...any) {
	if pod.Terminating || p.doomed[pod] {
		return
	}
	p.doomed[pod] = true
	p.out.Actions = append(p.out.Actions, Action{
		Node: pod.Node, Delete: pod, Reason: why, Message: fmt.Sprintf(format, args...),
	})
}

func (p *planner) deleteAll(why Reason, message string) {
	for i := range p.Pods {
		p.delete(&p.Pods[i], why, "%s", message)
	}
}

func (p *planner) note(why Reason, pod, format string, args ...any) {
	p.out.Notes = append(p.out.Notes, Note{why, pod, fmt.Sprintf(format, args...)})
}

// again asks for another plan after d.
func (p *planner) again(d time.Duration) {
	d = max(d, time.Millisecond)
	if p.out.RequeueAfter == 0 || d < p.out.RequeueAfter {
		p.out.RequeueAfter = d
	}
}

// live reports whether a Pod exists and stays.
func (p *planner) live(pod *Pod) bool {
	return !pod.Terminating && !p.doomed[pod] && pod.Phase != Ended
}

// outdated reports whether a Pod was made from another spec than the wanted
// one.
func (p *planner) outdated(pod *Pod) bool {
	return pod.SpecHash != "" && p.Spec != nil && pod.SpecHash != p.Spec.Hash
}

// nodes returns where brokers of the Instance may be.
func (p *planner) nodes() []string {
	if !p.Instance.Shared && len(p.Instance.Nodes) > 1 {
		return p.Instance.Nodes[:1]
	}
	return p.Instance.Nodes
}

// history merges what is remembered with what the Pods say.
func (p *planner) history() {
	h := maps.Clone(p.History)
	if h == nil {
		h = History{}
	}
	for i := range p.Pods {
		if pod := &p.Pods[i]; !p.outdated(pod) && pod.Owner == p.Instance.UID {
			h.merge(pod.Failures, p.Now)
		}
	}
	h.forget(p.Now)
	p.out.History = h
}

// sweep deletes the Pods that no longer have a place.
func (p *planner) sweep() {
	here := map[string]bool{}
	for _, n := range p.nodes() {
		here[n] = true
	}
	best := map[string]*Pod{}
	for i := range p.Pods {
		pod := &p.Pods[i]
		switch {
		case pod.Owner != p.Instance.UID:
			p.delete(pod, ReasonOldInstance, "it belongs to an earlier Instance of the same name")
		case !here[pod.Node]:
			p.delete(pod, ReasonNodeLeft, "node %s no longer sees the device", pod.Node)
		case pod.Terminating:
		case best[pod.Node] == nil:
			best[pod.Node] = pod
		default:
			keep, drop := best[pod.Node], pod
			if comparePods(pod, keep) < 0 {
				keep, drop = pod, keep
			}
			best[pod.Node] = keep
			p.delete(drop, ReasonDuplicate, "Pod %s already runs on node %s", keep.Name, keep.Node)
		}
	}
}

// comparePods sorts the Pod first that should rather be kept.
func comparePods(a, b *Pod) int {
	rank := func(p *Pod) int {
		switch {
		case p.Phase == Running:
			return 0
		case p.Phase == Pending && p.Bound:
			return 1
		case p.Phase == Pending:
			return 2
		default:
			return 3
		}
	}
	return cmp.Or(cmp.Compare(rank(a), rank(b)), a.Created.Compare(b.Created), cmp.Compare(a.Name, b.Name))
}

// changed deletes the Pods whose device has changed since they got it: it has
// another device node by now, or another address. The agent of the node says
// so; it is believed only about Pods that run there and hold a slot.
func (p *planner) changed() {
	for i := range p.Pods {
		pod := &p.Pods[i]
		change := p.Instance.Outdated[pod.RunsOn][pod.UID]
		if change == "" || pod.Quantity == 0 || pod.Terminating || p.doomed[pod] || p.Instance.Offline[pod.RunsOn] {
			continue
		}
		if p.Now.Sub(pod.Created) < quickChangeAge {
			p.out.History.add(pod.Node, pod.UID, p.Now, 0)
		}
		p.delete(pod, ReasonDeviceChanged, "the device has changed since the Pod got it: %s", change)
	}
}

// ended counts failures and deletes the Pods whose back-off is over.
func (p *planner) ended() {
	for i := range p.Pods {
		pod := &p.Pods[i]
		if pod.Phase != Ended || pod.Terminating || p.doomed[pod] {
			continue
		}
		if p.outdated(pod) {
			p.delete(pod, ReasonRolledOut, "the broker spec changed")
			continue
		}
		var ran time.Duration
		if !pod.Started.IsZero() && pod.EndedAt.After(pod.Started) {
			ran = pod.EndedAt.Sub(pod.Started)
		}
		at := pod.EndedAt
		if at.IsZero() || at.After(p.Now) {
			at = p.Now
		}
		fresh := p.out.History.add(pod.Node, pod.UID, at, ran)
		f := p.out.History[pod.Node]
		wait := f.wait(p.Now)
		elsewhere := pod.Denied && p.Instance.Shared
		if fresh {
			why := ReasonFailed
			if pod.Denied {
				why = ReasonDenied
			}
			p.note(why, pod.Name, "%s on node %s (failure %d in a row): %s", endWord(pod), pod.Node, f.Count, pod.Why)
		}
		switch {
		case p.Instance.Offline[pod.Node]:
			// A replacement could not be created now.
		case elsewhere:
			p.delete(pod, ReasonReplaced, "it was denied by node %s", pod.Node)
		case wait <= 0:
			p.delete(pod, ReasonReplaced, "it ended, and its back-off of %s is over", f.delay())
		default:
			p.again(wait)
		}
	}
}

func endWord(pod *Pod) string {
	if pod.Denied {
		return "denied"
	}
	return "ended"
}

// move gives up on nodes where a Pod was unschedulable for a while, if another
// node can be tried.
func (p *planner) move() {
	if !p.Instance.Shared {
		return
	}
	moved := 0
	for i := range p.Pods {
		pod := &p.Pods[i]
		if !p.live(pod) || pod.Bound || pod.Unschedulable.IsZero() {
			continue
		}
		if left := schedulingTimeout - p.Now.Sub(pod.Unschedulable); left > 0 {
			p.again(min(left, schedulingTimeout))
			continue
		}
		back := p.slots.taken[pod]
		p.slots.free += back
		if len(p.candidates()) <= moved {
			p.slots.free -= back
			continue
		}
		moved++
		p.out.History.add(pod.Node, pod.UID, p.Now, 0)
		p.note(ReasonUnschedulable, pod.Name, "no room on node %s for %s: trying another node", pod.Node, schedulingTimeout)
		p.delete(pod, ReasonReplaced, "node %s had no room for it", pod.Node)
	}
}

// candidates returns the nodes on which a broker could be created now, best
// first.
func (p *planner) candidates() []string {
	taken := map[string]bool{}
	for i := range p.Pods {
		taken[p.Pods[i].Node] = true
	}
	for _, a := range p.out.Actions {
		taken[a.Node] = true
	}
	var fit []string
	for _, n := range p.nodes() {
		if taken[n] || p.Instance.Offline[n] || p.Instance.Shared && !p.Usable[n] {
			continue
		}
		if !p.slots.enough(n, p.Spec.Quantity) {
			continue
		}
		if wait := p.out.History[n].wait(p.Now); wait > 0 {
			p.again(wait)
			continue
		}
		fit = append(fit, n)
	}
	slices.SortStableFunc(fit, func(a, b string) int {
		return cmp.Or(
			-cmp.Compare(p.slots.reusable(a), p.slots.reusable(b)),
			cmp.Compare(p.out.History[a].Count, p.out.History[b].Count),
			cmp.Compare(spread(p.Instance.Name, a), spread(p.Instance.Name, b)),
		)
	})
	return fit
}

// spread gives each Instance its own order of nodes, so that not all Instances
// start with the same node.
func spread(instance, node string) uint32 {
	h := fnv.New32a()
	h.Write([]byte(instance + "/" + node))
	return h.Sum32()
}

// fill creates the missing brokers.
func (p *planner) fill() {
	if p.Spec.Quantity > p.Instance.Capacity {
		p.note(ReasonTooFewSlots, "", "a broker takes %d slots and the Instance has %d: lower the quantity of the placeholder or raise capacity", p.Spec.Quantity, p.Instance.Capacity)
		return
	}
	for {
		fit := p.candidates()
		if len(fit) == 0 {
			return
		}
		p.slots.take(fit[0], p.Spec.Quantity)
		p.out.Actions = append(p.out.Actions, Action{
			Node: fit[0], Reason: ReasonCreated, Message: "for node " + fit[0],
		})
	}
}

// rollOut replaces Pods of an older spec: those that do not run at once, those
// that run one at a time and only while all others are well.
func (p *planner) rollOut() {
	var running []*Pod
	settled := true
	for i := range p.Pods {
		pod := &p.Pods[i]
		switch {
		case !p.live(pod):
			settled = false
		case !p.outdated(pod):
			settled = settled && pod.Ready
		case pod.Phase != Running:
			p.delete(pod, ReasonRolledOut, "the broker spec changed")
			settled = false
		default:
			running = append(running, pod)
		}
	}
	if !settled || len(running) == 0 || len(p.out.Actions) > 0 {
		return
	}
	first := slices.MinFunc(running, func(a, b *Pod) int {
		if a.Ready != b.Ready {
			if b.Ready {
				return -1
			}
			return 1
		}
		return cmp.Compare(a.Name, b.Name)
	})
	p.delete(first, ReasonRolledOut, "the broker spec changed")
}
