package broker

import "slices"

// slots keeps account of an Instance's slots while a plan is made.
//
// Every held slot is in the pool of the node that holds it. A broker first
// takes from its node's pool, then from the free slots. What remains in the
// pools belongs to others.
type slots struct {
	// unlimited is set if the device is local: the one broker waits for its
	// slot on the one node, and the scheduler reports it.
	unlimited bool
	free      int64
	pool      map[string]int64
	// reuse marks nodes whose pool is left over from one of our brokers.
	reuse map[string]bool
	// taken is what an existing Pod took from the free slots.
	taken map[*Pod]int64
}

// reusable returns how many slots of a node's pool a new broker there gets.
func (s *slots) reusable(node string) int64 {
	if !s.reuse[node] {
		return 0
	}
	return s.pool[node]
}

// enough reports whether a new broker on a node finds its slots.
func (s *slots) enough(node string, quantity int64) bool {
	return s.unlimited || quantity == 0 || quantity-min(quantity, s.reusable(node)) <= s.free
}

// take books the slots of a new broker on a node.
func (s *slots) take(node string, quantity int64) {
	old := min(quantity, s.reusable(node))
	s.pool[node] -= old
	s.free -= quantity - old
}

// spend books the slots of the existing Pods, and deletes those that wait for a
// slot that will not become free.
func (p *planner) spend() {
	p.slots = slots{
		unlimited: !p.Instance.Shared,
		free:      p.Instance.Capacity,
		pool:      map[string]int64{},
		reuse:     map[string]bool{},
		taken:     map[*Pod]int64{},
	}
	if p.slots.unlimited {
		return
	}
	for _, u := range p.Instance.Usage {
		p.slots.free--
		p.slots.pool[u.Node]++
	}
	delete(p.slots.pool, "")
	for n, gone := range p.Gone {
		p.slots.reuse[n] = gone
	}

	var pods []*Pod
	for i := range p.Pods {
		pod := &p.Pods[i]
		// A Pod that has no place here, or is deleted before it takes anything,
		// takes nothing.
		if pod.Owner != p.Instance.UID || !slices.Contains(p.Instance.Nodes, pod.Node) ||
			!pod.Bound && (pod.Terminating || p.doomed[pod]) {
			continue
		}
		if pod.Phase == Ended {
			p.slots.reuse[pod.Node] = true
			if pod.Terminating || p.doomed[pod] {
				continue
			}
		}
		pods = append(pods, pod)
	}
	slices.SortStableFunc(pods, comparePods)
	for _, pod := range pods {
		held := min(pod.Quantity, p.slots.pool[pod.Node])
		sure := held
		if !pod.Unschedulable.IsZero() && !pod.Bound {
			// What its node holds is another's, or the Pod has been bound since: the
			// watches of Pods and Instances are not in step. So it may have to go, and
			// no other Pod goes for it.
			sure = 0
		}
		if pod.Quantity-sure > p.slots.free && !pod.Bound {
			if !pod.Unschedulable.IsZero() {
				p.out.History.add(pod.Node, pod.UID, p.Now, 0)
			}
			p.delete(pod, ReasonNoSlot, "no slot is left for it")
			continue
		}
		need := pod.Quantity - held
		p.slots.pool[pod.Node] -= held
		if pod.Phase == Ended {
			// As much of its place as possible is kept for its replacement.
			need = max(0, min(need, p.slots.free))
		}
		p.slots.free -= need
		p.slots.taken[pod] = need
	}
}
