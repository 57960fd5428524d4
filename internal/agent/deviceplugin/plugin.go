// Package deviceplugin offers the slots of devices to the kubelet as extended
// resources, by the device plugin API v1beta1.
//
// There are two kinds of resource, the doors of package api/v0:
// akri.sh/<instance> has all slots of one Instance; akri.sh/<configuration> has
// one free slot of each Instance of a Configuration. The device ids of both are
// slot ids. A slot is healthy if this node may claim it, or has claimed it
// through that resource. The [ledger.Ledger] is asked before a container gets
// anything.
//
// # Endpoints
//
// Each resource has an endpoint: a socket on which the kubelet calls. The
// kubelet is told its name when the resource is registered. All endpoints share
// one server (package quietgrpc); a call is for the resource at whose socket it
// arrived.
//
// The kubelet (pkg/kubelet/cm/devicemanager of v1.37) has two traits that shape
// this:
//
//   - It calls ListAndWatch once per registration and forgets the endpoint when
//     that stream ends (plugin/v1beta1/handler.go, runClient). So a resource is
//     registered as long as the stream lasts, and is registered again when it
//     has ended. Once the stream is open nobody else connects, so the socket is
//     closed.
//   - It refuses a second registration under a socket name that it has, and does
//     not clean up after that (manager.go, PluginConnected; handler.go,
//     connectClient). So each registration has a new socket name.
//
// When the kubelet starts, it deletes all sockets in its folder and makes a new
// kubelet.sock (manager.go, CleanupPluginDirectory). So a new kubelet.sock is a
// new kubelet, and everything is registered again.
package deviceplugin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"google.golang.org/grpc"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/internal/agent/inventory"
	"github.com/akri-go/akri/internal/agent/ledger"
)

// Ledger holds the claims. [ledger.Ledger] is one.
type Ledger interface {
	Slots(instance types.NamespacedName) []ledger.Slot
	Claim(ctx context.Context, door v0.Door, slotIDs []string) error
}

// HostPaths check the device nodes and mounts that a container is to get, and
// return the device with the paths that the runtime is told. [hostpath.Rules] do
// that.
type HostPaths interface {
	Resolve(discovery.Device) (discovery.Device, error)
}

// Allocation tells of an answer to the kubelet's Allocate.
type Allocation struct {
	Resource  string
	Instances []types.NamespacedName
	Slots     []string
	// Err is why it was refused, or nil.
	Err error
}

// Options are what a Plugin needs.
type Options struct {
	// Dir is the kubelet's folder for device plugins; "" is
	// /var/lib/kubelet/device-plugins.
	Dir string
	// Node is this node's name.
	Node      string
	Ledger    Ledger
	HostPaths HostPaths
	Logger    *slog.Logger
	// Allocated, if not nil, is called after each Allocate. It must return soon.
	Allocated func(Allocation)
	// Room, if not nil, returns when there is time for a registration, or ctx is
	// done. A crowd of new resources waits for it for some seconds.
	Room func(ctx context.Context)
}

// Plugin offers the slots of a node's devices to its kubelet.
type Plugin struct {
	dir       string
	node      string
	ledger    Ledger
	paths     HostPaths
	log       *slog.Logger
	allocated func(Allocation)
	room      func(context.Context)

	// queue has names of resources that may have to be registered.
	queue workqueue.TypedRateLimitingInterface[string]
	// lists has endpoints whose list may have to be sent.
	lists workqueue.TypedDelayingInterface[*endpoint]

	mu      sync.Mutex
	devices map[types.NamespacedName]inventory.Device
	// resources by name. Of each name the first is offered. The others, of other
	// namespaces or through the other door, wait until it is gone.
	resources map[string][]*resource
	// endpoints by path of their socket.
	endpoints map[string]*endpoint
	// kubelet is the current kubelet; zero if there is none.
	kubelet kubeletID
	// crowded is since when there have always been resources to register.
	crowded time.Time
	// silent is set while the kubelet's socket exists but nobody answers.
	silent bool
	// conn is the connection to the kubelet connTo, or nil.
	conn   *grpc.ClientConn
	connTo kubeletID
}

var _ inventory.Consumer = (*Plugin)(nil)

const (
	kubeletSocket = "kubelet.sock"
	defaultDir    = "/var/lib/kubelet/device-plugins"

	// Back-off of registrations that fail.
	firstRetryDelay = 100 * time.Millisecond
	maxRetryDelay   = 30 * time.Second
)

// Beat returns once the Plugin's lock can be had.
func (p *Plugin) Beat(context.Context) {
	p.mu.Lock()
	//lint:ignore SA2001 it only checks that mu can be locked
	p.mu.Unlock()
}

// New returns a Plugin. Call its Run, tell it of devices before or after that,
// and have the ledger call [Plugin.SlotsChanged].
func New(o Options) (*Plugin, error) {
	if o.Dir == "" {
		o.Dir = defaultDir
	}
	if longest := filepath.Join(o.Dir, socketName()); len(longest) > maxSocketPathBytes {
		return nil, fmt.Errorf("device plugin folder %s: its path is too long for sockets, by %d bytes", o.Dir, len(longest)-maxSocketPathBytes)
	}
	if o.HostPaths == nil {
		return nil, errors.New("device plugin: HostPaths is missing")
	}
	if o.Allocated == nil {
		o.Allocated = func(Allocation) {}
	}
	if o.Room == nil {
		o.Room = func(context.Context) {}
	}
	return &Plugin{
		dir: filepath.Clean(o.Dir), node: o.Node, ledger: o.Ledger, paths: o.HostPaths, log: o.Logger, allocated: o.Allocated, room: o.Room,
		queue: workqueue.NewTypedRateLimitingQueue(
			workqueue.NewTypedItemExponentialFailureRateLimiter[string](firstRetryDelay, maxRetryDelay)),
		lists:     workqueue.NewTypedDelayingQueue[*endpoint](),
		devices:   make(map[types.NamespacedName]inventory.Device),
		resources: make(map[string][]*resource),
		endpoints: make(map[string]*endpoint),
	}, nil
}

// Run serves the kubelet until ctx is done. Call it once.
func (p *Plugin) Run(ctx context.Context) error {
	p.removeDeadSockets()
	ctx, cancel := context.WithCancel(ctx)
	server := p.newServer()
	var wg sync.WaitGroup
	for range registrars {
		wg.Go(func() { p.registerQueued(ctx, server) })
	}
	for range senders {
		wg.Go(p.sendQueued)
	}
	p.watchKubelet(ctx)

	cancel()
	p.queue.ShutDown()
	p.lists.ShutDown()
	server.stop()
	wg.Wait()
	return nil
}

// DeviceChanged implements [inventory.Consumer].
func (p *Plugin) DeviceChanged(d inventory.Device) {
	p.mu.Lock()
	p.devices[d.Instance] = d
	p.join(d)
	p.mu.Unlock()
	p.SlotsChanged(d.Instance)
}

// DeviceGone implements [inventory.Consumer].
func (p *Plugin) DeviceGone(d inventory.Device) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if known, ok := p.devices[d.Instance]; ok {
		delete(p.devices, d.Instance)
		p.leave(known)
	}
}

// SlotsChanged says that the slots of an Instance have changed. It may be
// called at any time; see [ledger.Ledger.Subscribe].
func (p *Plugin) SlotsChanged(instance types.NamespacedName) {
	p.mu.Lock()
	defer p.mu.Unlock()
	d, ok := p.devices[instance]
	if !ok {
		return
	}
	for _, name := range resourcesOf(d) {
		if r := p.offered(name); r != nil {
			p.wake(r)
		}
	}
}

// Nudge sends one list to the kubelet again. After each list the kubelet writes
// its checkpoint; see package podresources.
func (p *Plugin) Nudge() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range p.endpoints {
		if e.state == streaming {
			e.again = true
			p.lists.Add(e)
			return
		}
	}
}

// resource is one name that the kubelet is offered.
type resource struct {
	name      string // akri.sh/…
	door      v0.Door
	namespace string
	// members are the Instances behind it.
	members map[types.NamespacedName]bool
	// current is the endpoint that was registered, next the one that is being
	// registered; either may be nil.
	current, next *endpoint
}

// wake queues a resource's list, to be sent if it has changed. The caller holds
// mu.
func (p *Plugin) wake(r *resource) {
	for _, e := range []*endpoint{r.current, r.next} {
		if e != nil {
			p.lists.Add(e)
		}
	}
}

func resourcesOf(d inventory.Device) map[v0.Door]string {
	return map[v0.Door]string{
		v0.DoorInstance:      v0.ResourceName(d.Instance.Name),
		v0.DoorConfiguration: v0.ResourceName(d.Configuration),
	}
}

// offered returns the resource that is offered under a name. The caller holds mu.
func (p *Plugin) offered(name string) *resource {
	if all := p.resources[name]; len(all) > 0 {
		return all[0]
	}
	return nil
}

// join adds a device to its resources. The caller holds mu.
func (p *Plugin) join(d inventory.Device) {
	for door, name := range resourcesOf(d) {
		r := p.find(name, door, d.Instance.Namespace)
		if r == nil {
			r = &resource{name: name, door: door, namespace: d.Instance.Namespace, members: make(map[types.NamespacedName]bool)}
			p.resources[name] = append(p.resources[name], r)
			if first := p.offered(name); first != r {
				p.log.Error("resource is not offered: its name is in use; rename one of the Configurations",
					"resource", name, "instance", d.Instance, "user", first.namespace+", door "+string(first.door))
			}
			p.queue.Add(name)
		}
		r.members[d.Instance] = true
	}
}

// leave removes a device from its resources. The caller holds mu.
func (p *Plugin) leave(d inventory.Device) {
	for door, name := range resourcesOf(d) {
		r := p.find(name, door, d.Instance.Namespace)
		if r == nil {
			continue
		}
		delete(r.members, d.Instance)
		if len(r.members) > 0 {
			p.wake(r)
			continue
		}
		all := p.resources[name]
		for i := range all {
			if all[i] == r {
				p.resources[name] = append(all[:i:i], all[i+1:]...)
				break
			}
		}
		if len(p.resources[name]) == 0 {
			delete(p.resources, name)
		} else {
			p.queue.Add(name) // the next in line
		}
		for _, e := range []*endpoint{r.current, r.next} {
			if e != nil {
				p.closeEndpoint(e)
			}
		}
	}
}

func (p *Plugin) find(name string, door v0.Door, namespace string) *resource {
	for _, r := range p.resources[name] {
		if r.door == door && r.namespace == namespace {
			return r
		}
	}
	return nil
}
