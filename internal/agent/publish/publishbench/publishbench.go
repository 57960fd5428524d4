// Package publishbench measures how long a node takes to publish many devices at
// once, and what the API server alone needs for as many objects: the floor. Both
// need a running API server, and leave the Instances in the namespace.
package publishbench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/internal/agent/inventory"
	"github.com/akri-go/akri/internal/agent/kubeclient"
	"github.com/akri-go/akri/internal/agent/publish"
)

// Writers is how many requests are in flight at a time, in both.
const Writers = 16

// Target is the Configuration that the devices belong to.
type Target struct {
	Config        *rest.Config
	Configuration types.NamespacedName
	UID           types.UID
}

// devices returns n devices of a node.
func (t Target) devices(node string, n int) []inventory.Device {
	devices := make([]inventory.Device, n)
	for i := range devices {
		id := fmt.Sprintf("/sys/devices/%s/%d", node, i)
		// Counted, not hashed: of thousands some hashes would be the same.
		name := v0.InstanceName(t.Configuration.Name, fmt.Sprintf("%06x", i))
		devices[i] = inventory.Device{
			Instance:      types.NamespacedName{Namespace: t.Configuration.Namespace, Name: name},
			Configuration: t.Configuration.Name,
			Owner:         t.UID,
			Reported: discovery.Device{ID: id, Properties: map[string]string{
				"UDEV_DEVPATH": id, "UDEV_DEVNODE": fmt.Sprintf("/dev/node%d", i),
			}},
			Capacity: 1,
			State:    v0.DeviceOnline,
			Usable:   true,
		}
	}
	return devices
}

// Floor makes n Instances by server-side apply from prepared bodies, without
// decoding an answer or watching, and returns how long that took.
func Floor(ctx context.Context, t Target, n int) (time.Duration, error) {
	const node = "floor"
	cfg := rest.CopyConfig(t.Config)
	gv := v0.GroupVersion
	cfg.GroupVersion, cfg.APIPath, cfg.QPS = &gv, "/apis", -1
	cfg.NegotiatedSerializer = serializer.NewCodecFactory(runtime.NewScheme()).WithoutConversion()
	client, err := rest.RESTClientFor(cfg)
	if err != nil {
		return 0, err
	}
	devices := t.devices(node, n)
	bodies := make([][]byte, n)
	for i, d := range devices {
		writes := publish.Plan(node, publish.Want{Instance: d.Instance, Word: publish.Present, Device: d}, nil, time.Now()).Writes
		if len(writes) != 1 {
			return 0, fmt.Errorf("a new Instance takes %d writes", len(writes))
		}
		if bodies[i], err = json.Marshal(writes[0].Object); err != nil {
			return 0, err
		}
	}
	// Connect first.
	if _, err := client.Get().Resource(v0.InstancesResource).Param("limit", "1").DoRaw(ctx); err != nil {
		return 0, err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(Writers)
	start := time.Now()
	for i, d := range devices {
		g.Go(func() error {
			_, err := client.Patch(types.ApplyPatchType).
				Resource(v0.InstancesResource).Namespace(d.Instance.Namespace).Name(d.Instance.Name).
				Param("fieldManager", publish.FactsManager(node)).Body(bodies[i]).DoRaw(ctx)
			return err
		})
	}
	err = g.Wait()
	return time.Since(start), err
}

// Publish has a node discover n devices at once, and returns the time until all
// their Instances were seen by a watcher of its own.
func Publish(ctx context.Context, t Target, n int) (time.Duration, error) {
	const node = "publish"
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	log := slog.New(slog.DiscardHandler)
	watching, err := kubeclient.New(t.Config, log)
	if err != nil {
		return 0, err
	}
	client, err := kubeclient.New(t.Config, log)
	if err != nil {
		return 0, err
	}
	devices := t.devices(node, n)
	w := &watcher{wanted: n, seen: map[string]bool{}, synced: make(chan struct{}), all: make(chan time.Time, 1)}
	p := publish.New(publish.Options{Node: node, API: client, Logger: log, Workers: Writers})
	client.OnReachable(p.APIReachable)

	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return client.Run(ctx) })
	g.Go(func() error { return p.Run(ctx) })
	g.Go(func() error {
		watching.WatchInstances(ctx, v0.LabelNode+"="+node, func(*v0.Instance) {}, w)
		return nil
	})
	err = func() error {
		for _, ready := range []<-chan struct{}{p.Synced(), w.synced} {
			select {
			case <-ready:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if len(w.seen) > 0 {
			return errors.New("there are Instances of an earlier run in the cluster: delete them first")
		}
		return nil
	}()
	if err != nil {
		return 0, err
	}
	start := time.Now()
	for _, d := range devices {
		p.DeviceChanged(d)
	}
	var end time.Time
	select {
	case end = <-w.all:
	case <-ctx.Done():
		err = ctx.Err()
	}
	cancel()
	if e := g.Wait(); err == nil {
		err = e
	}
	return end.Sub(start), err
}

// watcher waits until it has seen a number of Instances.
type watcher struct {
	wanted int
	seen   map[string]bool
	synced chan struct{}
	all    chan time.Time
}

func (w *watcher) Replaced(all []*v0.Instance, _ string) {
	for _, o := range all {
		w.seen[o.Name] = true
	}
	select {
	case <-w.synced:
	default:
		close(w.synced)
	}
}

func (w *watcher) Changed(o *v0.Instance) {
	w.seen[o.Name] = true
	if len(w.seen) == w.wanted {
		select {
		case w.all <- time.Now():
		default:
		}
	}
}

func (w *watcher) Deleted(*v0.Instance) {}
