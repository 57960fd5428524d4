package ledger

import (
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	v0 "github.com/akri-go/akri/api/v0"
)

// Use is a slot that a container uses, as the kubelet knows it.
type Use struct {
	// Resource is akri.sh/<instance> or akri.sh/<configuration>.
	Resource string
	// ID is the device id: a slot id, or what upstream's agent used.
	ID string
}

// View is what the kubelet says.
type View struct {
	Uses []Use
	// Complete means that slots that are not in Uses are not used. If it is
	// false, nothing is freed.
	Complete bool
}

// Reconcile adapts the claims to what the kubelet says. It returns after how
// long the next claim can be freed, 0 if none can.
func (l *Ledger) Reconcile(now time.Time, view View) (next time.Duration) {
	l.writes.Lock()
	l.mu.Lock()
	plan := planReconcile(now, l.grace, l.snapshot(), view)
	l.mu.Unlock()

	if len(plan.adopt)+len(plan.free) > 0 || !l.isSaved() {
		err := l.save(plan.adopt, plan.free)
		l.unwritable.Is(l.log, err)
		if err != nil {
			// Slots that containers use are held, saved or not. The others stay
			// claimed: if they were freed here but not on disk, they would come
			// back after a restart, when another node may hold them.
			plan.free = nil
		}
	}
	changed := l.apply(plan)
	l.writes.Unlock()

	for _, c := range plan.adopt {
		l.log.Info("slot taken over: the kubelet uses it", "slot", c.ID(), "door", c.Door)
	}
	for _, c := range plan.free {
		l.log.Info("slot freed: the kubelet no longer uses it", "slot", c.ID(), "door", c.Door)
	}
	l.notify(changed...)
	return plan.next
}

// isSaved tells whether the checkpoint is up to date. It is not after a claim
// was taken over from an Instance, or a save has failed.
func (l *Ledger) isSaved() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.changes == l.saved
}

// snapshot returns what planReconcile works on. The caller holds mu.
func (l *Ledger) snapshot() snapshot {
	s := snapshot{claims: l.claims(), instances: make(map[string]types.NamespacedName, len(l.instances))}
	s.idle = make([]time.Time, len(s.claims))
	for i, c := range s.claims {
		s.idle[i] = l.instances[c.Instance.Name].held[c.Slot].idle
	}
	for name, in := range l.instances {
		s.instances[name] = in.name()
		for i := range in.pending {
			if s.pending == nil {
				s.pending = make(map[string]bool)
			}
			s.pending[v0.SlotID(name, i)] = true
		}
	}
	return s
}

// apply carries out a plan that was saved, and returns the instances that have
// changed.
func (l *Ledger) apply(plan reconcilePlan) []types.NamespacedName {
	l.mu.Lock()
	defer l.mu.Unlock()
	var changed, record []types.NamespacedName
	for _, c := range plan.free {
		in := l.instances[c.Instance.Name]
		delete(in.held, c.Slot)
		in.release(c.Slot)
		record = append(record, c.Instance)
	}
	for _, c := range plan.adopt {
		in := l.instances[c.Instance.Name]
		in.held[c.Slot] = c.holder()
		delete(in.released, c.Slot)
		record = append(record, c.Instance)
	}
	for _, m := range plan.marks {
		in := l.instances[m.claim.Instance.Name]
		h, ok := in.held[m.claim.Slot]
		if !ok {
			continue
		}
		if h.idle.IsZero() != m.idle.IsZero() {
			changed = append(changed, m.claim.Instance)
		}
		h.idle = m.idle
		in.held[m.claim.Slot] = h
	}
	byName := func(a, b types.NamespacedName) int {
		return Claim{Instance: a}.compare(Claim{Instance: b})
	}
	slices.SortFunc(record, byName)
	for _, name := range slices.Compact(record) {
		in := l.instances[name.Name]
		l.record(in)
		l.forget(in)
		changed = append(changed, name)
	}
	slices.SortFunc(changed, byName)
	return slices.Compact(changed)
}

// snapshot is the state that planReconcile decides on.
type snapshot struct {
	// claims are sorted; idle says since when each has been unused.
	claims []Claim
	idle   []time.Time
	// pending are the ids of slots that are being claimed.
	pending map[string]bool
	// instances are those that are known, by bare name.
	instances map[string]types.NamespacedName
}

// mark says since when a claim is idle.
type mark struct {
	claim Claim
	idle  time.Time
}

type reconcilePlan struct {
	// adopt are new claims, or held ones with another door.
	adopt []Claim
	free  []Claim
	marks []mark
	next  time.Duration
}

// planReconcile decides what to do about the differences between claims and
// what the kubelet uses. A claim that it does not use is freed after the grace.
func planReconcile(now time.Time, grace time.Duration, s snapshot, view View) reconcilePlan {
	uses := make(map[Use]bool, len(view.Uses))
	for _, u := range view.Uses {
		uses[u] = true
	}

	var plan reconcilePlan
	used := make(map[string]bool, len(s.claims)) // by slot id
	for _, c := range s.claims {
		if uses[c.Use()] {
			used[c.ID()] = true
			delete(uses, c.Use())
		}
	}
	moved := make(map[string]bool)
	for _, u := range view.Uses {
		if !uses[u] {
			continue
		}
		delete(uses, u)
		c, ok := claimOf(s.instances, u)
		if !ok || s.pending[c.ID()] || used[c.ID()] {
			// Unknown, being claimed, or in use through both doors: then there
			// can only be one claim.
			continue
		}
		used[c.ID()] = true
		moved[c.ID()] = true
		plan.adopt = append(plan.adopt, c)
	}

	for i, c := range s.claims {
		idle := s.idle[i]
		switch {
		case moved[c.ID()]:
			continue
		case used[c.ID()], !view.Complete:
			idle = time.Time{}
		case idle.IsZero():
			idle = now
		}
		if idle.IsZero() {
			plan.marks = append(plan.marks, mark{c, idle})
			continue
		}
		left := grace - now.Sub(idle)
		if left <= 0 {
			plan.free = append(plan.free, c)
		} else if plan.next == 0 || left < plan.next {
			plan.next = left
		}
		// Also of freed claims, in case that freeing fails.
		plan.marks = append(plan.marks, mark{c, idle})
	}
	return plan
}

// claimOf returns the claim that a use stands for, if it is of an Instance that
// is known.
func claimOf(instances map[string]types.NamespacedName, u Use) (Claim, bool) {
	bare, i, err := v0.ParseSlotID(u.ID)
	if err != nil {
		return Claim{}, false
	}
	name, ok := instances[bare]
	if !ok {
		return Claim{}, false
	}
	for _, door := range []v0.Door{v0.DoorInstance, v0.DoorConfiguration} {
		if resource(bare, door) == u.Resource {
			return Claim{Instance: name, Slot: i, Door: door}, true
		}
	}
	return Claim{}, false
}
