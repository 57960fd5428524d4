package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v0 "github.com/akri-go/akri/api/v0"
)

// presentDevices is how many devices there are while one more is plugged.
const presentDevices = 64

func zramConfiguration(name string) *v0.Configuration {
	return &v0.Configuration{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: v0.ConfigurationSpec{DiscoveryHandler: v0.DiscoveryHandlerInfo{
			Name:             "udev",
			DiscoveryDetails: "udevRules:\n- SUBSYSTEM==\"block\", KERNEL==\"zram*\"\n",
		}},
	}
}

// measurePlug measures the time from a device's uevent until a watcher sees its
// Instance. The floor is the same watcher seeing an object that this program
// applies.
func measurePlug(ctx context.Context, b *bench) (err error) {
	var plugged []string
	defer func() {
		for _, name := range plugged {
			if e := unplugZram(name); e != nil && err == nil {
				err = e
			}
		}
	}()
	for range presentDevices {
		name, err := plugZram()
		if err != nil {
			return err
		}
		plugged = append(plugged, name)
	}
	clean, err := b.configure(ctx, zramConfiguration("bench-plug"))
	if err != nil {
		return err
	}
	defer func() {
		if e := clean(); e != nil && err == nil {
			err = e
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	w, err := b.watchInstances(ctx)
	if err != nil {
		return err
	}
	defer w.Stop()
	// The machine may have had some before.
	all, err := zramDevices()
	if err != nil {
		return err
	}
	if _, err := w.until(ctx, func() bool { return len(w.there) >= all }); err != nil {
		return err
	}
	events, err := watchUevents()
	if err != nil {
		return err
	}
	reading, stop := context.WithCancel(ctx)
	defer func() { stop(); <-events.done }()
	go events.read(reading)

	var plug, unplug, floor []time.Duration
	for range b.rounds {
		before := len(w.there)
		name, err := plugZram()
		if err != nil {
			return err
		}
		visible, err := w.until(ctx, func() bool { return len(w.there) > before })
		if err != nil {
			return fmt.Errorf("wait for the Instance of %s: %w", name, err)
		}
		if err := unplugZram(name); err != nil {
			return err
		}
		gone, err := w.until(ctx, func() bool { return len(w.there) == before })
		if err != nil {
			return fmt.Errorf("wait for the Instance of %s to go: %w", name, err)
		}
		added, err := events.when("add", name)
		if err != nil {
			return err
		}
		removed, err := events.when("remove", name)
		if err != nil {
			return err
		}
		plug, unplug = append(plug, visible.Sub(added)), append(unplug, gone.Sub(removed))

		took, err := b.floorOfOne(ctx, w)
		if err != nil {
			return err
		}
		floor = append(floor, took)
	}
	for _, all := range [][]time.Duration{plug, unplug, floor} {
		slices.Sort(all)
	}
	b.report("uevent-to-instance-p50", ms(quantile(plug, 0.5)), "ms", ms(quantile(floor, 0.5)))
	b.report("uevent-to-instance-p99", ms(quantile(plug, 0.99)), "ms", ms(quantile(floor, 0.99)))
	b.report("uevent-to-instance-gone-p50", ms(quantile(unplug, 0.5)), "ms", 0)
	b.report("uevent-to-instance-gone-p99", ms(quantile(unplug, 0.99)), "ms", 0)
	return nil
}

// instance is an object of about the size that a node's agent writes. The node
// is a real one, because the controller would count another as lost, and its
// agent ignores the object, which has no labels.
func (b *bench) instance(node string, i int) *v0.Instance {
	name := fmt.Sprintf("bench-floor-%06x", i)
	return &v0.Instance{
		TypeMeta: metav1.TypeMeta{APIVersion: v0.GroupVersion.String(), Kind: "Instance"},
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: b.namespace,
			Annotations: map[string]string{v0.AnnotationDeviceID: "/devices/virtual/block/" + name}},
		Spec: v0.InstanceSpec{
			ConfigurationName: "bench-floor", CdiName: v0.CDIName("bench-floor", name), Capacity: 1,
			Nodes:            []string{node},
			BrokerProperties: map[string]string{"UDEV_DEVNODE": "/dev/" + name, "UDEV_DEVPATH": "/devices/virtual/block/" + name},
		},
	}
}

// floorOfOne returns how long an applied object takes to the watcher.
func (b *bench) floorOfOne(ctx context.Context, w *instances) (time.Duration, error) {
	i := b.instance(b.nodes[0], 0)
	started := time.Now()
	if err := b.apply(ctx, i); err != nil {
		return 0, err
	}
	seen, err := w.until(ctx, func() bool { return w.there[i.Name] != nil })
	if err != nil {
		return 0, err
	}
	if err := b.api.Delete(ctx, i); err != nil {
		return 0, err
	}
	_, err = w.until(ctx, func() bool { return w.there[i.Name] == nil })
	return seen.Sub(started), err
}

// apply writes an Instance as the agent of its node does: by server-side apply.
func (b *bench) apply(ctx context.Context, i *v0.Instance) error {
	body, err := json.Marshal(i)
	if err != nil {
		return err
	}
	return b.api.Patch(ctx, i.DeepCopy(), client.RawPatch(types.ApplyPatchType, body), client.FieldOwner("bench/"+i.Spec.Nodes[0]), client.ForceOwnership)
}
