package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v0 "github.com/akri-go/akri/api/v0"
)

// measureBroker times a plug to the broker's container running, and an unplug
// to the broker's Pod gone from the API.
func measureBroker(ctx context.Context, b *bench) (err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	spec, err := json.Marshal(corev1.PodSpec{
		Containers: []corev1.Container{{
			Name: "broker", Image: b.image, ImagePullPolicy: corev1.PullNever,
			Resources: corev1.ResourceRequirements{
				Requests: corev1.ResourceList{v0.Placeholder: resource.MustParse("1")},
				Limits:   corev1.ResourceList{v0.Placeholder: resource.MustParse("1")},
			},
		}},
	})
	if err != nil {
		return err
	}
	c := zramConfiguration("bench-broker")
	c.Spec.BrokerSpec = &v0.BrokerSpec{BrokerPodSpec: &runtime.RawExtension{Raw: spec}}
	clean, err := b.configure(ctx, c)
	if err != nil {
		return err
	}
	defer func() {
		if e := clean(); e != nil && err == nil {
			err = e
		}
	}()
	events, err := watchUevents()
	if err != nil {
		return err
	}
	reading, stop := context.WithCancel(ctx)
	defer func() { stop(); <-events.done }()
	go events.read(reading)

	pods, err := b.watchBrokers(ctx)
	if err != nil {
		return err
	}
	defer pods.Stop()
	var start, end []time.Duration
	for range max(3, b.rounds/10) {
		name, err := plugZram()
		if err != nil {
			return err
		}
		running, err := next(ctx, pods, func(e watch.EventType, p *corev1.Pod) bool {
			return e != watch.Deleted && p.Status.Phase == corev1.PodRunning
		})
		if err == nil {
			err = unplugZram(name)
		}
		if err != nil {
			return fmt.Errorf("wait for the broker of %s: %w", name, err)
		}
		gone, err := next(ctx, pods, func(e watch.EventType, _ *corev1.Pod) bool { return e == watch.Deleted })
		if err != nil {
			return fmt.Errorf("wait for the broker of %s to go: %w", name, err)
		}
		added, err := events.when("add", name)
		if err != nil {
			return err
		}
		removed, err := events.when("remove", name)
		if err != nil {
			return err
		}
		start, end = append(start, running.Sub(added)), append(end, gone.Sub(removed))
	}
	slices.Sort(start)
	slices.Sort(end)
	b.report("plug-to-broker-running-p50", quantile(start, 0.5).Seconds(), "s", 0)
	b.report("plug-to-broker-running-max", start[len(start)-1].Seconds(), "s", 0)
	b.report("unplug-to-broker-gone-p50", quantile(end, 0.5).Seconds(), "s", 0)
	b.report("unplug-to-broker-gone-max", end[len(end)-1].Seconds(), "s", 0)
	return nil
}

func (b *bench) watchBrokers(ctx context.Context) (watch.Interface, error) {
	var list corev1.PodList
	if err := b.api.List(ctx, &list, client.InNamespace(b.namespace)); err != nil {
		return nil, fmt.Errorf("list brokers: %w", err)
	}
	w, err := b.api.Watch(ctx, &list, client.InNamespace(b.namespace),
		&client.ListOptions{Raw: &metav1.ListOptions{ResourceVersion: list.ResourceVersion}})
	if err != nil {
		return nil, fmt.Errorf("watch brokers: %w", err)
	}
	return w, nil
}

// next waits for a Pod event that satisfies is, and returns its time.
func next(ctx context.Context, w watch.Interface, is func(watch.EventType, *corev1.Pod) bool) (time.Time, error) {
	for {
		select {
		case <-ctx.Done():
			return time.Time{}, ctx.Err()
		case e, ok := <-w.ResultChan():
			if !ok {
				return time.Time{}, fmt.Errorf("the watch of Pods ended")
			}
			if p, isPod := e.Object.(*corev1.Pod); isPod && is(e.Type, p) {
				return time.Now(), nil
			}
		}
	}
}
