package inventory

import (
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/discovery/contract"
	"github.com/akri-go/akri/internal/agent/checkpoint"
	"github.com/akri-go/akri/internal/agent/registry"
	"github.com/akri-go/akri/internal/logging"
)

// Statuses is told this node's entry in the status of a Configuration each time
// that it changes.
type Statuses interface {
	ConfigurationStatus(configuration types.NamespacedName, owner types.UID, entry v0.ConfigurationNode)
}

// Options says how an Inventory works. Node, Statuses, Vet, UpTime and Logger
// are required.
type Options struct {
	Node string
	// Consumers are told of devices, in this order.
	Consumers []Consumer
	Statuses  Statuses
	// Warn, if not nil, is told what users should hear of as an Event: handlers
	// that refuse, devices that were left out.
	Warn func(configuration types.NamespacedName, owner types.UID, reason, note string)
	// Vet returns the devices that are allowed, and why the others are not.
	// Devices that are restored or adopted go through it: they were checked by
	// an earlier agent's rules, or never.
	Vet func([]discovery.Device) (good []discovery.Device, refused error)
	// UpTime is the clock of all grace periods.
	UpTime *UpTime
	// Store keeps the devices over restarts; nil for none.
	Store  checkpoint.Store[State]
	BootID string
	Logger *slog.Logger
	// BudgetBytes is how many bytes the lists of all handlers may take;
	// [DefaultBudgetBytes] if it is 0.
	BudgetBytes int
}

// Inventory holds the devices of a node. It implements [registry.Observer].
// Its methods may be called by several goroutines.
type Inventory struct {
	opts Options

	mu             sync.Mutex
	configurations map[types.NamespacedName]*configuration
	dirty          bool // the store is behind
	changes        int  // how many states were taken to be saved

	// saving is held while the store is written, and locked after mu. saved is
	// the number of the state that the store has.
	saving     sync.Mutex
	saved      int
	unwritable logging.Problem

	// wake holds one value while Run has something to do.
	wake chan struct{}
	beat chan struct{}
}

type configuration struct {
	Configuration
	lists map[string]List
	known map[string]Known
	next  time.Duration
	// holders and names were restored or adopted; taken is what the API says.
	holders, names, taken map[string]string
	// failures says by endpoint why it does not answer; "" stands for no endpoint
	// being registered.
	failures map[string]registry.Failure
	refused  map[string]error
	// barred are restored devices that are no longer allowed.
	barred map[identity]bool
	status v0.ConfigurationNode
	warned string // what was warned of last
	// heard is when the report came that is being handled; zero if none is.
	heard time.Time
	// collisions are those of the last plan.
	collisions []error
}

var _ registry.Observer = (*Inventory)(nil)

// New returns an empty inventory.
func New(opts Options) *Inventory {
	if opts.BudgetBytes == 0 {
		opts.BudgetBytes = DefaultBudgetBytes
	}
	return &Inventory{
		opts:           opts,
		configurations: map[types.NamespacedName]*configuration{},
		unwritable:     logging.Problem{What: "cannot save the inventory; a restart will start from an older one"},
		wake:           make(chan struct{}, 1),
		beat:           make(chan struct{}),
	}
}

// SetConfiguration brings a new or changed Configuration. If its request changed,
// its devices stay until the new request is answered.
func (v *Inventory) SetConfiguration(r Configuration) {
	v.mu.Lock()
	defer v.mu.Unlock()
	c := v.configurations[r.Name]
	if c == nil {
		c = newConfiguration(r)
		v.configurations[r.Name] = c
	}
	if c.RequestID != r.RequestID {
		up, _ := v.opts.UpTime.Elapsed()
		for name, s := range c.lists {
			if !s.Lost {
				s.Lost, s.LostAt, s.Alone = true, up, false
				c.lists[name] = s
			}
		}
		clear(c.failures)
		clear(c.refused)
	}
	c.Configuration = r
	v.plan(c)
}

func newConfiguration(r Configuration) *configuration {
	return &configuration{
		Configuration: r,
		lists:         map[string]List{},
		known:         map[string]Known{},
		failures:      map[string]registry.Failure{},
		refused:       map[string]error{},
		barred:        map[identity]bool{},
		names:         map[string]string{},
		taken:         map[string]string{},
	}
}

// DropConfiguration says that a Configuration is gone, and with it its devices.
func (v *Inventory) DropConfiguration(configuration types.NamespacedName) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.drop(configuration)
}

func (v *Inventory) drop(configuration types.NamespacedName) {
	c := v.configurations[configuration]
	if c == nil {
		return
	}
	delete(v.configurations, configuration)
	v.tellGone(devicesOf(c.known))
	v.changed()
}

// Retain drops all Configurations except the given ones. It is called once the
// Configurations of the cluster are known.
func (v *Inventory) Retain(configurations map[types.NamespacedName]bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for name := range v.configurations {
		if !configurations[name] {
			v.drop(name)
		}
	}
}

// Device returns a device by its Instance's name.
func (v *Inventory) Device(instance types.NamespacedName) (Device, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, c := range v.configurations {
		if k, ok := c.known[instance.Name]; ok && c.Name.Namespace == instance.Namespace {
			return k.Device, true
		}
	}
	return Device{}, false
}

// Named says that in the API the Instance with this name belongs to the device
// with this id; "" is a device that this node cannot have. It was found because
// it is in the way of d. Named returns true if d now has another name, or is
// gone.
func (v *Inventory) Named(d Device, name, id string) (moved bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	c := v.configurations[types.NamespacedName{Namespace: d.Instance.Namespace, Name: d.Configuration}]
	if c == nil {
		return true
	}
	maps.DeleteFunc(c.taken, func(_, other string) bool { return id != "" && other == id }) // the last word counts
	c.taken[name] = id
	v.plan(c)
	return c.known[d.Instance.Name].Reported.ID != d.Reported.ID
}

// plan decides again and tells the consumers what has changed.
func (v *Inventory) plan(c *configuration) {
	up, _ := v.opts.UpTime.Elapsed()
	out := Plan(Input{
		Node:          v.opts.Node,
		Configuration: c.Configuration,
		Lists:         slices.Collect(maps.Values(c.lists)),
		Known:         c.known,
		Holders:       c.holders,
		Names:         c.names,
		Taken:         c.taken,
		Now:           time.Now(),
		Up:            up,
		Limit:         contract.DefaultLimits().Devices,
	})
	for _, endpoint := range out.Expired {
		delete(c.lists, endpoint)
		delete(c.refused, endpoint)
	}
	left := devicesOf(c.known)
	left = slices.DeleteFunc(left, func(d Device) bool {
		_, stays := out.Devices[d.Instance.Name]
		return stays
	})
	for i := range left {
		left[i].ReportedAt = c.heard
	}
	v.tellGone(left)
	for _, name := range slices.Sorted(maps.Keys(out.Devices)) {
		old, before := c.known[name]
		if now := out.Devices[name].Device; !before || !equal(old.Device, now) {
			now.ReportedAt = c.heard
			for _, c := range v.opts.Consumers {
				c.DeviceChanged(now)
			}
		}
	}
	c.known, c.next = out.Devices, out.Next
	c.collisions = out.Collisions
	if c.next != 0 {
		v.changed() // Run has a new deadline to wait for
	}
	if s := c.summary(v.opts.Node); s != c.status {
		c.status = s
		v.opts.Statuses.ConfigurationStatus(c.Name, c.Owner, s)
	}
	if reason, note := c.problem(); note != c.warned {
		if c.warned = note; note != "" && v.opts.Warn != nil {
			v.opts.Warn(c.Name, c.Owner, reason, note)
		}
	}
}

// devicesOf returns devices by the names of their Instances.
func devicesOf(known map[string]Known) []Device {
	devices := make([]Device, 0, len(known))
	for _, name := range slices.Sorted(maps.Keys(known)) {
		devices = append(devices, known[name].Device)
	}
	return devices
}

// tellGone says that devices are gone, after it has saved that: an agent that is
// killed now must not bring them back when it starts. New devices need not be
// saved first: their Instances and handlers know them too.
func (v *Inventory) tellGone(devices []Device) {
	if len(devices) == 0 {
		return
	}
	v.dirty = true
	if state, number, ok := v.unsaved(); ok && !v.store(state, number) {
		v.dirty = true
	}
	for _, d := range devices {
		for _, c := range v.opts.Consumers {
			c.DeviceGone(d)
		}
	}
}
