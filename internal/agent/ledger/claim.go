package ledger

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"

	v0 "github.com/akri-go/akri/api/v0"
)

// Claim takes slots for this node through a door: all of them, or none if it
// returns an error. Slots that the node already holds through that door are
// granted again, even without an API server. The error wraps [ErrTaken] if
// another node holds a slot, or this node through its other door.
//
// A granted claim is on disk and, for a shared device, in its Instance. Errors
// are for the user of the Pod.
func (l *Ledger) Claim(ctx context.Context, door v0.Door, slotIDs []string) error {
	l.writes.Lock()
	r, err := l.reserve(door, slotIDs)
	if err != nil {
		l.writes.Unlock()
		return err
	}
	defer func() { l.notify(append(r.woken, instancesOf(r.take)...)...) }()
	switch {
	case len(r.shared) > 0:
		// Unlocked during the API call, so that others can claim, free and look.
		l.writes.Unlock()
		err = l.claimShared(ctx, r)
	case len(r.take) > 0 || !l.isSaved():
		err = l.grant(r.take)
		l.writes.Unlock()
	default:
		l.writes.Unlock()
	}
	if err != nil {
		l.release(r.take)
		return fmt.Errorf("claim slots %s: %w", strings.Join(slotIDs, ", "), err)
	}
	for _, c := range r.take {
		l.log.Info("slot claimed", "slot", c.ID(), "door", c.Door)
	}
	return nil
}

// reservation is what a claim has to do.
type reservation struct {
	// take are slots that are pending for it, sorted.
	take []Claim
	// confirm are slots of shared devices that this node holds as far as it knows
	// without the API. While it was cut off, it may have been considered lost.
	confirm []Claim
	// shared are the Instances of shared devices with slots in these, sorted.
	shared []types.NamespacedName
	// woken have slots that were about to be freed and now are not.
	woken []types.NamespacedName
}

// reserve checks that the slots can be claimed, and marks those that this node
// does not hold yet as pending.
func (l *Ledger) reserve(door v0.Door, slotIDs []string) (reservation, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var r reservation
	var again []Claim
	asked := make(map[string]bool, len(slotIDs))
	for _, id := range slotIDs {
		if asked[id] {
			return reservation{}, fmt.Errorf("claim slot %s: it is asked for twice", id)
		}
		asked[id] = true
		name, i, err := v0.ParseSlotID(id)
		if err != nil {
			return reservation{}, fmt.Errorf("claim: %w", err)
		}
		in := l.instances[name]
		held, err := planClaim(l.node, in, i, door)
		if err != nil {
			return reservation{}, fmt.Errorf("claim slot %s: %w", id, err)
		}
		c := Claim{Instance: in.name(), Slot: i, Door: door}
		switch {
		case !held:
			r.take = append(r.take, c)
		case in.device.shared:
			r.confirm = append(r.confirm, c)
			fallthrough
		default:
			again = append(again, c)
		}
	}

	for _, c := range again {
		in := l.instances[c.Instance.Name]
		if h := in.held[c.Slot]; !h.idle.IsZero() {
			h.idle = time.Time{}
			in.held[c.Slot] = h
			r.woken = append(r.woken, c.Instance)
		}
	}
	slices.SortFunc(r.take, Claim.compare)
	for _, c := range r.take {
		l.instances[c.Instance.Name].pending[c.Slot] = door
	}
	ask := slices.Concat(r.take, r.confirm)
	slices.SortFunc(ask, Claim.compare)
	for _, name := range instancesOf(ask) {
		if l.instances[name.Name].device.shared {
			r.shared = append(r.shared, name)
		}
	}
	return r, nil
}

// planClaim decides whether this node can have slot i of an instance through a
// door. held means that it has the slot already.
func planClaim(node string, in *instance, i int, door v0.Door) (held bool, err error) {
	if in == nil || in.device == nil {
		return false, fmt.Errorf("node %s has no such device now", node)
	}
	other, elsewhere := in.others[i]
	if h, ok := in.held[i]; ok {
		switch {
		case h.door != door:
			return false, fmt.Errorf("%w: node %s holds it through the resource %s", ErrTaken, node, resource(in.bare, h.door))
		case h.virtual != "":
			return false, fmt.Errorf("%w: node %s holds it as device %s", ErrTaken, node, h.virtual)
		case !elsewhere:
			return true, nil
		}
		// While this node was considered lost, another node got its slot.
	}
	if elsewhere {
		return false, fmt.Errorf("%w: node %s holds it", ErrTaken, other.Node)
	}
	if i >= in.device.capacity {
		return false, fmt.Errorf("the device has %d slots now", in.device.capacity)
	}
	if !in.device.usable {
		return false, fmt.Errorf("the device is offline on node %s", node)
	}
	if _, ok := in.pending[i]; ok {
		return false, fmt.Errorf("%w: node %s is claiming it for another container", ErrTaken, node)
	}
	if in.keptBack()[i] {
		return false, fmt.Errorf("%w: the device now has %d slots and as many are held, some from when it had more", ErrTaken, in.device.capacity)
	}
	return false, nil
}

// claimShared claims the slots in the API and then grants them all. The API
// comes first: after a crash before the save, the Instance says that this node
// holds the slots, and [Ledger.Observed] takes them over.
func (l *Ledger) claimShared(ctx context.Context, r reservation) error {
	ctx, cancel := context.WithTimeout(ctx, claimTimeout)
	defer cancel()
	select {
	case l.api <- struct{}{}:
		defer func() { <-l.api }()
	case <-ctx.Done():
		return fmt.Errorf("another claim is being made in the API: %w", ctx.Err())
	}

	var tried []types.NamespacedName
	var err error
	for _, name := range r.shared {
		tried = append(tried, name)
		err = l.recorder.Claim(ctx, name, l.startClaiming(name, r.take))
		if err != nil && l.mayDoWithout(name, r, err) {
			l.log.Warn("a slot that this node holds is granted again without asking the API", "instance", name, "error", err)
			err = nil
		}
		if err != nil {
			break
		}
	}
	l.writes.Lock()
	defer l.writes.Unlock()
	if err == nil {
		err = l.grant(r.take)
	}
	l.stopClaiming(tried, r, err != nil)
	return err
}

// mayDoWithout tells whether the slots of an instance can be granted although
// the API could not be asked: this node holds all of them already, and its
// Instance is not known to disagree.
func (l *Ledger) mayDoWithout(name types.NamespacedName, r reservation, err error) bool {
	if errors.Is(err, ErrTaken) {
		return false
	}
	of := func(c Claim) bool { return c.Instance == name }
	if slices.ContainsFunc(r.take, of) {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	in := l.instances[name.Name]
	return !slices.ContainsFunc(r.confirm, func(c Claim) bool {
		return of(c) && in.held[c.Slot].missing
	})
}

// startClaiming returns this node's part of an instance's usage, with the slots
// that are being claimed, and without those that another node has got: they would
// be in the way of the others. Until stopClaiming nothing else of the instance is
// recorded.
func (l *Ledger) startClaiming(name types.NamespacedName, take []Claim) map[string]v0.Usage {
	l.mu.Lock()
	defer l.mu.Unlock()
	in := l.instances[name.Name]
	in.claiming, in.exists = true, true
	usage := in.usage(l.node)
	for i := range in.others {
		delete(usage, v0.SlotID(in.bare, i))
	}
	for _, c := range take {
		if c.Instance == name {
			usage[c.ID()] = usageOf(l.node, c.ID(), c.holder())
		}
	}
	return usage
}

// stopClaiming records what has changed meanwhile. After a failure that undoes
// what the claim may have written.
func (l *Ledger) stopClaiming(instances []types.NamespacedName, r reservation, failed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, name := range instances {
		in := l.instances[name.Name]
		in.claiming = false
		if failed {
			// The Instance may have them as this node's until the recorder is
			// done.
			for _, c := range r.take {
				if c.Instance == name {
					in.release(c.Slot)
				}
			}
		}
		if failed || in.recordLater {
			l.record(in)
		}
		in.recordLater = false
	}
}

// grant saves pending slots and makes them held. The caller holds writes.
func (l *Ledger) grant(take []Claim) error {
	if err := l.save(take, nil); err != nil {
		return fmt.Errorf("node %s cannot save it (is its disk full?): %w", l.node, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range take {
		in := l.instances[c.Instance.Name]
		delete(in.pending, c.Slot)
		delete(in.released, c.Slot)
		in.held[c.Slot] = c.holder()
	}
	for _, name := range instancesOf(take) {
		// A shared claim is in the API already and need not be recorded.
		if in := l.instances[name.Name]; !in.claiming {
			l.record(in)
		}
	}
	return nil
}

// release gives pending slots up.
func (l *Ledger) release(take []Claim) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range take {
		in := l.instances[c.Instance.Name]
		delete(in.pending, c.Slot)
		l.forget(in)
	}
}

// release marks a slot as freed here.
func (in *instance) release(i int) {
	if !in.exists {
		return
	}
	if in.released == nil {
		in.released = make(map[int]bool)
	}
	in.released[i] = true
}

// instancesOf returns the instances of sorted claims.
func instancesOf(claims []Claim) []types.NamespacedName {
	names := make([]types.NamespacedName, 0, len(claims))
	for _, c := range claims {
		names = append(names, c.Instance)
	}
	return slices.Compact(names)
}
