package history

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Limits are the tolerances of the rules.
type Limits struct {
	// MaxDelay is how late a part of the cluster may learn of something while parts
	// are being killed.
	MaxDelay time.Duration
	// FindTimeout is how long a device may exist without an Instance.
	FindTimeout time.Duration
	// Replacements is how often a broker of an Instance may be replaced beyond what
	// faults explain. FaultPeriod is how long after a fault it explains things.
	Replacements int
	FaultPeriod  time.Duration
}

// Check returns what must never have happened, in the order of time.
func Check(h *History, l Limits) []Violation {
	var all []Violation
	for _, rule := range []func(*History, Limits) []Violation{
		doubled, lost, cameBack, notFound, capacityExceeded, slotGivenTwice, usedButNotRecorded, brokerEnded, restartLoop, jobTwice,
	} {
		all = append(all, rule(h, l)...)
	}
	slices.SortStableFunc(all, func(a, b Violation) int { return a.At.Compare(b.At) })
	return all
}

// life is an Instance from its first version to its last.
type life struct {
	Instance
	first, last time.Time // last is the end of the history if it is not gone
	gone        bool
}

func (l life) overlaps(o life) bool { return l.first.Before(o.last) && o.first.Before(l.last) }

func (h *History) lives() []life {
	byUID := map[string]*life{}
	var order []string
	for _, i := range h.Instances {
		o := byUID[i.UID]
		if o == nil {
			o = &life{Instance: i, first: i.At, last: h.End}
			byUID[i.UID] = o
			order = append(order, i.UID)
		}
		if i.Gone {
			o.last, o.gone = i.At, true
		}
	}
	all := make([]life, 0, len(order))
	for _, uid := range order {
		all = append(all, *byUID[uid])
	}
	return all
}

// doubled: one device has two Instances at a time.
func doubled(h *History, _ Limits) (all []Violation) {
	lives := h.lives()
	for n, a := range lives {
		for _, b := range lives[:n] {
			same := a.Device == b.Device && (a.Device.Shared || slices.Equal(a.Nodes, b.Nodes))
			if same && a.overlaps(b) {
				all = append(all, Violation{a.first, "doubled", a.Name,
					fmt.Sprintf("device %s of %s has the Instance %s (%.8s) too", a.Device.ID, a.Device.Configuration, b.Name, b.UID)})
			}
		}
	}
	return all
}

// there reports whether a device was on one of the nodes, without interruption,
// from one time to another.
func (h *History) there(d Device, nodes []string, from, to time.Time) bool {
	for _, node := range nodes {
		since, ok := time.Time{}, false
		for _, p := range h.Presences {
			if p.Device != d || p.Node != node || p.At.After(to) {
				continue
			}
			if ok = p.There; ok {
				since = p.At
			}
		}
		if ok && !since.After(from) {
			return true
		}
	}
	return false
}

// lost: an Instance was deleted while its device was there.
func lost(h *History, l Limits) (all []Violation) {
	for _, i := range h.Instances {
		if !i.Gone {
			continue
		}
		if h.there(i.Device, i.Nodes, i.At.Add(-l.MaxDelay), i.At) {
			all = append(all, Violation{i.At, "lost", i.Name,
				fmt.Sprintf("the Instance (%.8s) was deleted while device %s was on %v", i.UID, i.Device.ID, i.Nodes)})
		}
	}
	return all
}

// cameBack: an Instance was deleted since its device was gone, and was made
// again with no device there.
func cameBack(h *History, _ Limits) (all []Violation) {
	lives := h.lives()
	for n, later := range lives {
		for _, first := range lives[:n] {
			if first.Name != later.Name || !first.gone || later.first.Before(first.last) {
				continue
			}
			// What came may be told of a moment late.
			if !h.thereBetween(later.Device, later.Nodes, first.last, later.first.Add(time.Second)) {
				all = append(all, Violation{later.first, "came back", later.Name,
					fmt.Sprintf("the Instance (%.8s) was made while device %s was not on %v", later.UID, later.Device.ID, later.Nodes)})
				break
			}
		}
	}
	return all
}

// thereBetween reports whether a device was on one of the nodes at any moment
// between two times.
func (h *History) thereBetween(d Device, nodes []string, from, to time.Time) bool {
	for _, node := range nodes {
		now := false
		for _, p := range h.Presences {
			if p.Device != d || p.Node != node {
				continue
			}
			if p.At.After(to) {
				break
			}
			if p.At.After(from) && (now || p.There) {
				return true
			}
			now = p.There
		}
		if now {
			return true
		}
	}
	return false
}

// notFound: a device is there and has no Instance.
func notFound(h *History, l Limits) (all []Violation) {
	lives := h.lives()
	for n, p := range h.Presences {
		if !p.There {
			continue
		}
		// From here until it leaves this node.
		left := h.End
		for _, later := range h.Presences[n+1:] {
			if later.Device == p.Device && later.Node == p.Node {
				left = later.At
				break
			}
		}
		var own []life
		for _, i := range lives {
			if i.Device == p.Device && (i.Device.Shared || slices.Contains(i.Nodes, p.Node)) {
				own = append(own, i)
			}
		}
		slices.SortFunc(own, func(a, b life) int { return a.first.Compare(b.first) })
		at := p.At
		for _, i := range own {
			if i.last.Before(at) {
				continue
			}
			if end := minTime(i.first, left); end.Sub(at) > l.FindTimeout {
				break
			}
			at = maxTime(at, i.last)
		}
		if left.Sub(at) > l.FindTimeout {
			all = append(all, Violation{at.Add(l.FindTimeout), "not found", p.Device.ID,
				fmt.Sprintf("the device of %s is on %s since %s, and has no Instance since %s",
					p.Device.Configuration, p.Node, p.At.Format(stamp), at.Format(stamp))})
		}
	}
	return all
}

func minTime(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func maxTime(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// capacityExceeded: more slots of an Instance are held than it has, as it says
// itself or as the kubelets say.
func capacityExceeded(h *History, _ Limits) (all []Violation) {
	capacity := map[string]int{}
	for _, i := range h.Instances {
		capacity[i.Name] = i.Capacity
		if len(i.Usage) > i.Capacity {
			all = append(all, Violation{i.At, "capacity", i.Name,
				fmt.Sprintf("%d of %d slots are in deviceUsage: %v", len(i.Usage), i.Capacity, i.Usage)})
		}
	}
	holdings := h.holdings()
	for _, o := range holdings {
		limit, ok := capacity[o.instance()]
		if !ok {
			continue
		}
		used := map[string]bool{}
		for _, x := range holdings {
			if x.instance() == o.instance() && !x.first.After(o.first) && !x.last.Before(o.first) {
				used[x.Slot] = true
			}
		}
		if len(used) > limit {
			all = append(all, Violation{o.first, "capacity", o.instance(),
				fmt.Sprintf("containers have %v of %d slots", slices.Sorted(maps.Keys(used)), limit)})
		}
	}
	return all
}

// slotGivenTwice: two Pods have one slot.
func slotGivenTwice(h *History, _ Limits) (all []Violation) {
	holdings := h.holdings()
	for n, a := range holdings {
		for _, b := range holdings[:n] {
			if a.Slot == b.Slot && (a.Pod != b.Pod || a.node != b.node) && a.overlaps(b) {
				all = append(all, Violation{a.first, "slot given twice", a.instance(),
					fmt.Sprintf("%s is given to %s on %s and to %s on %s", a.Slot, a.Pod, a.node, b.Pod, b.node)})
			}
		}
	}
	return all
}

// usedButNotRecorded: a container has a slot whose Instance says, all the time,
// that it is free or another node's.
func usedButNotRecorded(h *History, l Limits) (all []Violation) {
	holdings := h.holdings()
	for _, i := range h.lives() {
		for _, o := range holdings {
			from, to := maxTime(o.first, i.first), minTime(o.last, i.last)
			if o.instance() != i.Name || to.Sub(from) <= l.MaxDelay {
				continue
			}
			bad := from
			wrong := false
			report := func(until time.Time) {
				if wrong && until.Sub(bad) > l.MaxDelay {
					all = append(all, Violation{bad.Add(l.MaxDelay), "not recorded", i.Name,
						fmt.Sprintf("%s on %s has %s, but deviceUsage did not say so from %s to %s",
							o.Pod, o.node, o.Slot, bad.Format(stamp), until.Format(stamp))})
				}
			}
			for _, v := range h.Instances {
				if v.UID != i.UID || v.At.After(to) {
					continue
				}
				now := v.Usage[o.Slot].Node != o.node
				switch at := maxTime(v.At, from); {
				case now && !wrong:
					bad, wrong = at, true
				case !now && wrong:
					report(at)
					wrong = false
				}
			}
			report(to)
		}
	}
	return all
}

// explained reports whether a fault could have affected Pods of a node.
func (h *History) explained(node string, at time.Time, l Limits, kinds ...string) bool {
	return slices.ContainsFunc(h.Faults, func(f Fault) bool {
		return f.Node == node && slices.Contains(kinds, f.Kind) &&
			!f.At.After(at) && at.Sub(f.At) <= l.FaultPeriod
	})
}

// deleted reports whether the test itself deleted a Pod.
func (h *History) deleted(uid string) bool {
	return slices.ContainsFunc(h.Faults, func(f Fault) bool { return f.Kind == "delete" && strings.HasSuffix(f.Object, uid) })
}

// brokerEnded: a running broker is stopped or has failed, although its device
// was there all the time and the test did not touch it. No fault explains that.
func brokerEnded(h *History, l Limits) (all []Violation) {
	device := map[string]Device{}
	for _, i := range h.Instances {
		device[i.Name] = i.Device
	}
	running := map[string]bool{} // by UID
	for _, p := range h.Pods {
		if p.Instance == "" {
			continue
		}
		ended := p.Deleting || p.Gone || p.Phase == "Failed" || p.Phase == "Succeeded"
		if !ended {
			running[p.UID] = running[p.UID] || p.Phase == "Running"
			continue
		}
		// The first version that ends it says when: later ones may find the
		// device back.
		was := running[p.UID]
		running[p.UID] = false
		if !was || h.deleted(p.UID) || !h.there(device[p.Instance], []string{p.Node}, p.At.Add(-l.MaxDelay), p.At) {
			continue
		}
		all = append(all, Violation{p.At, "broker ended", p.Instance,
			fmt.Sprintf("%s (%.8s) ran on %s and is %s %s, deleting=%v, with its device there", p.Name, p.UID, p.Node, p.Phase, p.Reason, p.Deleting)})
	}
	return all
}

// restartLoop: brokers of an Instance are made again and again on a node, more
// often than faults there, and the device's own changes, explain.
func restartLoop(h *History, l Limits) (all []Violation) {
	type place struct{ instance, node string }
	device := map[string]Device{}
	for _, i := range h.Instances {
		device[i.Name] = i.Device
	}
	seen := map[string]bool{}
	times := map[place]int{}
	for _, p := range h.Pods {
		if p.Instance == "" || p.Node == "" || seen[p.UID] {
			continue
		}
		seen[p.UID] = true
		if h.explained(p.Node, p.At, l, "kubelet", "agent", "delete") ||
			!h.there(device[p.Instance], []string{p.Node}, p.At.Add(-l.FaultPeriod), p.At) {
			continue
		}
		at := place{p.Instance, p.Node}
		times[at]++
		if times[at] == l.Replacements+1 {
			all = append(all, Violation{p.At, "restart loop", p.Instance,
				fmt.Sprintf("no fault explains why %d brokers were made on %s", times[at], p.Node)})
		}
	}
	return all
}

// jobTwice: a second Job was made for an Instance. A Job is made once.
func jobTwice(h *History, _ Limits) (all []Violation) {
	first := map[string]Job{} // by the Instance's UID
	for _, j := range h.Jobs {
		switch f, ok := first[j.Owner]; {
		case !ok:
			first[j.Owner] = j
		case f.UID != j.UID:
			all = append(all, Violation{j.At, "Job made twice", j.Instance,
				fmt.Sprintf("Job %s (%.8s) is there, and %s (%.8s) since %s", j.Name, j.UID, f.Name, f.UID, f.At.Format(stamp))})
		}
	}
	return all
}
