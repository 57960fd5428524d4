// Package outdated finds the containers of this node whose device has changed
// since they got it.
//
// A container keeps what it got when its Pod was admitted: device nodes,
// mounts, environment. The kubelet writes that to its checkpoint, and starts
// the container with it again as long as the Pod exists. Meanwhile a device may
// change and keep its id: it was plugged in again and has another number, two
// have swapped their numbers, a camera has another address. Only a new Pod gets
// the device as it is now.
//
// So the kubelet's checkpoint is compared with what a container would get now:
// each time that a device in use has changed, and when the agent starts, since
// the device may have changed while there was no agent. Differences go to
// status.nodes of the Instance. What to do about them is up to the controller.
package outdated

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/internal/agent/grant"
	"github.com/akri-go/akri/internal/agent/inventory"
	"github.com/akri-go/akri/internal/agent/ledger"
	"github.com/akri-go/akri/internal/agent/podresources"
	"github.com/akri-go/akri/internal/pace"
)

const (
	// lookDelay is the time from a change to the next comparison: changes come in
	// groups, and the kubelet writes its checkpoint after it got the answer.
	lookDelay = 500 * time.Millisecond
	// maxLookDelay is what lookDelay grows to while a device changes all the
	// time.
	maxLookDelay = 8 * time.Second
	// retryDelay is the time from a comparison that failed to the next.
	retryDelay = 10 * time.Second
	// idleDelay is the time to the next comparison if nothing happens.
	idleDelay = 24 * time.Hour
)

// Options are what a Finder needs.
type Options struct {
	// Claims are the slots that this node holds.
	Claims func() []ledger.Claim
	// Given returns what containers got; see [podresources.Watcher].
	Given func() ([]podresources.Given, error)
	// Pods asks the API server for the Pods of this node that have not ended.
	Pods func(ctx context.Context) (map[types.UID]types.NamespacedName, error)
	// Resolve returns a device as containers get it now; see
	// [hostpath.Rules.Resolve].
	Resolve func(discovery.Device) (discovery.Device, error)
	// Tell is told which slots of an Instance and of this node are outdated:
	// all of them, or none. It must return soon.
	Tell   func(instance types.NamespacedName, slots []v0.OutdatedSlot)
	Logger *slog.Logger
}

// Finder finds outdated containers. It implements [inventory.Consumer].
type Finder struct {
	opts Options
	kick chan struct{}

	mu       sync.Mutex
	devices  map[types.NamespacedName]inventory.Device
	readings readings

	// told is what Tell was told last. Only Run uses it.
	told map[types.NamespacedName][]v0.OutdatedSlot
	// problem is what was logged last, so that it is logged once.
	problem string
}

var _ inventory.Consumer = (*Finder)(nil)

// New returns a Finder; [Finder.Run] makes it work.
func New(o Options) *Finder {
	return &Finder{
		opts: o, kick: make(chan struct{}, 1),
		devices:  map[types.NamespacedName]inventory.Device{},
		readings: readings{},
		told:     map[types.NamespacedName][]v0.OutdatedSlot{},
	}
}

// Kick asks for a comparison soon, because slots have new holders. It may be
// called at any time.
func (f *Finder) Kick() {
	select {
	case f.kick <- struct{}{}:
	default:
	}
}

// DeviceChanged implements [inventory.Consumer].
func (f *Finder) DeviceChanged(d inventory.Device) {
	f.mu.Lock()
	if was, ok := f.devices[d.Instance]; ok && d.Usable {
		f.readings.note(d.Instance, was.Reported.Properties, d.Reported.Properties, time.Now())
	}
	f.devices[d.Instance] = d
	f.mu.Unlock()
	f.Kick()
}

// DeviceGone implements [inventory.Consumer].
func (f *Finder) DeviceGone(d inventory.Device) {
	f.mu.Lock()
	delete(f.devices, d.Instance)
	delete(f.readings, d.Instance)
	f.mu.Unlock()
	f.Kick()
}

// Run compares after each kick until ctx is done. Call it once.
func (f *Finder) Run(ctx context.Context) error {
	timer := time.NewTimer(lookDelay)
	defer timer.Stop()
	due := time.Now().Add(lookDelay)
	looks := pace.Pace{MinInterval: lookDelay, MaxInterval: maxLookDelay}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-f.kick:
			// Kicks do not delay a comparison that is due earlier: they may come
			// without end, from a device that changes all the time.
			if wait := max(lookDelay, looks.Wait(time.Now())); time.Until(due) > wait {
				due = time.Now().Add(wait)
				timer.Reset(wait)
			}
			continue
		case <-timer.C:
		}
		now := time.Now()
		looks.Done(now, now)
		wait := f.untilQuiet()
		if err := f.look(ctx); err != nil && ctx.Err() == nil {
			if f.problem != err.Error() {
				f.opts.Logger.Warn("cannot tell which containers have an outdated device; trying again", "error", err)
			}
			f.problem = err.Error()
			wait = retryDelay
		} else {
			f.problem = ""
		}
		due = time.Now().Add(wait)
		timer.Reset(wait)
	}
}

// untilQuiet returns when to compare if nothing happens: when a property that
// was a reading counts again.
func (f *Finder) untilQuiet() time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	if wait := f.readings.next(time.Now()); wait > 0 {
		return wait
	}
	return idleDelay
}

// look compares once.
func (f *Finder) look(ctx context.Context) error {
	held := map[types.NamespacedName]map[string]ledger.Use{}
	for _, c := range f.opts.Claims() {
		if held[c.Instance] == nil {
			held[c.Instance] = map[string]ledger.Use{}
		}
		held[c.Instance][c.ID()] = c.Use()
	}
	now, unresolved := f.current(held)
	found, err := f.find(ctx, held, now)
	if err != nil {
		return err
	}
	f.tell(held, now, found)
	return unresolved
}

// current returns the devices in use, as containers get them now. Devices that
// are offline or were not reported since the start are left out. The error is
// about devices whose paths could not be resolved.
func (f *Finder) current(held map[types.NamespacedName]map[string]ledger.Use) (now map[types.NamespacedName]inventory.Device, unresolved error) {
	now = map[types.NamespacedName]inventory.Device{}
	f.mu.Lock()
	for name := range held {
		if d := f.devices[name]; d.Usable {
			now[name] = d
		}
	}
	f.mu.Unlock()
	for name, d := range now {
		var err error
		if d.Reported, err = f.opts.Resolve(d.Reported); err != nil {
			delete(now, name)
			unresolved = fmt.Errorf("device of Instance %s: %w", name.Name, err)
			continue
		}
		now[name] = d
	}
	return now, unresolved
}

// find returns the outdated slots by Instance.
func (f *Finder) find(ctx context.Context, held map[types.NamespacedName]map[string]ledger.Use, now map[types.NamespacedName]inventory.Device) (map[types.NamespacedName][]v0.OutdatedSlot, error) {
	if len(now) == 0 {
		return nil, nil
	}
	given, err := f.opts.Given()
	if err != nil {
		return nil, fmt.Errorf("read what containers got from the kubelet: %w", err)
	}
	byName := make(map[string]inventory.Device, len(now))
	for name, d := range now {
		byName[name.Name] = d
	}
	type one struct {
		instance types.NamespacedName
		slot     v0.OutdatedSlot
	}
	var all []one
	for _, g := range given {
		for id, change := range f.compare(g, byName) {
			bare, _, err := v0.ParseSlotID(id)
			if err != nil {
				continue
			}
			instance := byName[bare].Instance
			if held[instance][id] == (ledger.Use{Resource: g.Resource, ID: id}) {
				all = append(all, one{instance, v0.OutdatedSlot{Slot: id, PodUID: string(g.Pod), Change: change}})
			}
		}
	}
	if len(all) == 0 {
		return nil, nil
	}
	pods, err := f.opts.Pods(ctx)
	if err != nil {
		return nil, err
	}
	found := map[types.NamespacedName][]v0.OutdatedSlot{}
	for _, o := range all {
		pod, ok := pods[types.UID(o.slot.PodUID)]
		if !ok {
			continue // the kubelet's checkpoint may have Pods that are gone
		}
		o.slot.PodNamespace, o.slot.PodName = pod.Namespace, pod.Name
		found[o.instance] = append(found[o.instance], o.slot)
	}
	return found, nil
}

// compare returns the changes of one container's slots.
func (f *Finder) compare(g podresources.Given, byName map[string]inventory.Device) map[string]string {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	return grant.Changes(g.Grant, g.Slots,
		func(id string) (inventory.Device, bool) {
			bare, _, err := v0.ParseSlotID(id)
			if err != nil {
				return inventory.Device{}, false
			}
			d, ok := byName[bare]
			return d, ok
		},
		func(d inventory.Device, key string) bool { return f.readings.is(d.Instance, key, now) },
	)
}

// tell tells what is new. Of a device that is not in now nothing is known: what
// was told stays.
func (f *Finder) tell(held map[types.NamespacedName]map[string]ledger.Use, now map[types.NamespacedName]inventory.Device, found map[types.NamespacedName][]v0.OutdatedSlot) {
	for name := range now {
		slots := found[name]
		slices.SortFunc(slots, func(a, b v0.OutdatedSlot) int { return strings.Compare(a.Slot, b.Slot) })
		slots = slots[:min(len(slots), v0.MaxOutdated)]
		last, before := f.told[name]
		if before && slices.Equal(last, slots) {
			continue
		}
		f.told[name] = slots
		f.opts.Tell(name, slots)
		for _, s := range slots {
			f.opts.Logger.Warn("a container has an outdated device",
				"slot", s.Slot, "pod", s.PodNamespace+"/"+s.PodName, "change", s.Change)
		}
	}
	maps.DeleteFunc(f.told, func(name types.NamespacedName, _ []v0.OutdatedSlot) bool { return held[name] == nil })
}
