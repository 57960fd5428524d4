// Package ledger is the one owner of this node's claims.
//
// A claim is a slot of an Instance that this node holds through a door: one of
// the two resources that offer it. A claim is recorded in three places, and the
// ledger keeps them in step:
//
//   - The ledger itself, in memory and in a checkpoint on disk. A claim is
//     granted when it is saved, so it outlives the agent.
//   - spec.deviceUsage of the Instance, through a [Recorder]: what other nodes
//     see. A claim of a shared device must succeed there first. A claim of a
//     local device is written there when that is possible, so the node works
//     without an API server.
//   - The kubelet's list of what containers use ([View]). A slot that the kubelet
//     uses is held; one that it has not used for a while is freed; see [Options].
//
// The holder of a slot is this node through a door, another node, or nobody.
// Claims of a device that has left stay until the kubelet no longer uses them:
// the device may come back under the same name.
//
// The kubelet knows slots by name only, without a namespace. So names without a
// namespace identify Instances here; see [Ledger.DeviceChanged].
package ledger

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/agent/checkpoint"
	"github.com/akri-go/akri/internal/agent/inventory"
	"github.com/akri-go/akri/internal/logging"
)

// ErrTaken says that somebody else holds a slot. Errors wrap it.
var ErrTaken = errors.New("slot is taken")

// Recorder writes this node's claims to spec.deviceUsage of Instances. claims
// maps slot ids to holders and is always complete: this node's slots that are
// not in it are freed. The Instance need not exist.
//
// A call replaces what earlier calls said of the Instance. The ledger does not
// call Record for an Instance while Claim runs.
type Recorder interface {
	// Claim returns nil when the Instance has the claims. The error wraps
	// [ErrTaken] if another node holds one of the slots; it is another error if
	// nobody can say, as without an API server. Claim ends with ctx. After an
	// error the ledger calls Record with the claims that remain.
	Claim(ctx context.Context, instance types.NamespacedName, claims map[string]v0.Usage) error
	// Record notes claims to write, and retries until they are written. It
	// returns at once and does not call back.
	Record(instance types.NamespacedName, claims map[string]v0.Usage)
}

// State is what the checkpoint holds.
type State struct {
	// Claims are sorted.
	Claims []Claim `json:"claims"`
}

// StateVersion is that of [State], for the checkpoint.
const StateVersion = 1

const (
	// IdleGrace is how long a slot must be unused before it is freed, unless
	// [Options] say otherwise. It is upstream's.
	IdleGrace = 20 * time.Second

	// claimTimeout bounds a claim in the API. The kubelet admits no other Pod
	// meanwhile (kubelet/allocation/allocation_manager.go, AddPod).
	claimTimeout = 5 * time.Second

	// maxCapacity bounds the slots of an Instance: the kubelet reads lists of
	// up to 4 MiB.
	maxCapacity = v0.MaxCapacity
)

// Options are what a Ledger needs.
type Options struct {
	// Node is this node's name.
	Node     string
	Store    checkpoint.Store[State]
	Recorder Recorder
	// Grace is how long the kubelet must not use a slot before it is freed; 0
	// means [IdleGrace].
	Grace  time.Duration
	Logger *slog.Logger
}

// Ledger holds the claims of a node. Its methods may be called by several
// goroutines.
type Ledger struct {
	node     string
	store    checkpoint.Store[State]
	recorder Recorder
	grace    time.Duration
	log      *slog.Logger

	// api is held while a claim is made in the API. Lock order: api, writes, mu.
	api chan struct{}
	// writes is held from the decision on a change of claims until the change is
	// saved and in instances.
	writes     sync.Mutex
	unwritable logging.Problem

	// mu guards what follows. It is never held over I/O.
	mu        sync.Mutex
	instances map[string]*instance
	// cutOff tells that the arbiter of shared slots is known to be away.
	cutOff      bool
	subscribers []func(types.NamespacedName)
	// changes counts changes of claims; saved is its value in the checkpoint.
	changes, saved uint64
}

var _ inventory.Consumer = (*Ledger)(nil)

// New returns a Ledger with the claims of the checkpoint. If that cannot be
// read, New logs it, and the claims come back from the Instances and the
// kubelet.
func New(o Options) *Ledger {
	l := &Ledger{
		node:       o.Node,
		store:      o.Store,
		recorder:   o.Recorder,
		grace:      cmp.Or(o.Grace, IdleGrace),
		log:        o.Logger,
		api:        make(chan struct{}, 1),
		instances:  make(map[string]*instance),
		unwritable: logging.Problem{What: "cannot save claims; no slot is freed"},
	}
	state, _ := checkpoint.Restore(l.store, l.log, "starting without the saved claims; they are taken over from the Instances and the kubelet")
	for _, c := range state.Claims {
		if err := c.validate(); err != nil {
			l.log.Error("saved claim is ignored", "error", err)
			continue
		}
		in := l.instance(c.Instance)
		in.held[c.Slot] = c.holder()
	}
	return l
}

// Subscribe makes the ledger call fn after the slots of an Instance have changed.
// Calls may overlap; fn must return soon. Subscribe before anything else.
func (l *Ledger) Subscribe(fn func(instance types.NamespacedName)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.subscribers = append(l.subscribers, fn)
}

func (l *Ledger) notify(instances ...types.NamespacedName) {
	if len(instances) == 0 {
		return
	}
	l.mu.Lock()
	subscribers := l.subscribers
	l.mu.Unlock()
	for _, name := range instances {
		for _, fn := range subscribers {
			fn(name)
		}
	}
}

// Claims returns all claims, sorted.
func (l *Ledger) Claims() []Claim {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.claims()
}

// ArbiterReachable says whether the arbiter of shared slots is reachable; see
// package reach. Until the first call that is unknown.
func (l *Ledger) ArbiterReachable(up bool) {
	l.mu.Lock()
	var changed []types.NamespacedName
	if l.cutOff == up {
		l.cutOff = !up
		for _, in := range l.instances {
			if in.device != nil && in.device.shared && !in.seen {
				changed = append(changed, in.name())
			}
		}
	}
	l.mu.Unlock()
	l.notify(changed...)
}

// record passes the claims of an instance to the recorder; while a claim of it is
// being made, only after that. The caller holds mu, so that calls are in order.
func (l *Ledger) record(in *instance) {
	if in.claiming {
		in.recordLater = true
		return
	}
	l.recorder.Record(in.name(), in.usage(l.node))
}

// save writes all claims, with those in add and without those in drop. The
// caller holds writes, and puts the same change into instances if save succeeds.
func (l *Ledger) save(add, drop []Claim) error {
	l.mu.Lock()
	claims := slices.DeleteFunc(l.claims(), func(c Claim) bool {
		same := func(d Claim) bool { return d.Instance == c.Instance && d.Slot == c.Slot }
		return slices.ContainsFunc(drop, same) || slices.ContainsFunc(add, same)
	})
	changes := l.changes
	l.mu.Unlock()

	claims = append(claims, add...)
	slices.SortFunc(claims, Claim.compare)
	err := l.store.Save(State{Claims: claims})
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.changes++ // what is on the disk is unknown
		return err
	}
	l.saved = changes
	return nil
}
