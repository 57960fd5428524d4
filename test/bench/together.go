package main

import (
	"context"
	"errors"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/backoff"
	onvif "github.com/akri-go/akri/internal/handlers/onvif/details"
)

// trimmed is after how long what the start has taken is given back (package trim).
const trimmed = 150 * time.Second

// smallDevices is how many devices of each kind there are for the figure "together".
const smallDevices = 32

// measureTogether measures a small node: an agent with the handlers udev and
// onvif, in processes of their own and in one.
func measureTogether(ctx context.Context, b *bench) (err error) {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Minute)
	defer cancel()
	n, err := b.openNetwork(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.Close()) }()
	sim, err := simulate(n, smallDevices, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.Do(sim.Kill)) }()
	if err := n.Do(sim.Start); err != nil {
		return err
	}
	for range smallDevices {
		name, plugErr := plugZram()
		if plugErr != nil {
			return plugErr
		}
		defer func() { err = errors.Join(err, unplugZram(name)) }()
	}
	apart := []string{"akri-udev-discovery", onvifLabel}
	if err := b.smallNode(ctx, "apart", "false", apart...); err != nil {
		return err
	}
	return b.smallNode(ctx, "together", "all", "akri-udev-onvif-discovery")
}

// smallNode measures with a value of discovery.together and the handlers' Pods
// that it makes.
func (b *bench) smallNode(ctx context.Context, name, together string, handlers ...string) (err error) {
	plugged, err := zramDevices()
	if err != nil {
		return err
	}
	err = install(ctx, b.cluster, b.release, "onvif.discovery.enabled=true", "debugEcho.discovery.enabled=false", "discovery.together="+together)
	if err != nil {
		return err
	}
	w, err := b.watchInstances(ctx)
	if err != nil {
		return err
	}
	defer w.Stop()
	clean, err := b.configure(ctx, zramConfiguration("bench-zram"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, clean()) }() // waits until the Instances of both are gone
	cameras := onvifConfiguration("bench-onvif")
	cameras.Namespace = b.namespace
	if err := b.api.Create(ctx, cameras); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.api.Delete(context.WithoutCancel(ctx), cameras)) }()
	if _, err := w.until(ctx, func() bool { return len(w.there) == smallDevices+plugged }); err != nil {
		return err
	}
	if err := backoff.Sleep(ctx, trimmed); err != nil {
		return err
	}
	var sum memory
	for _, component := range append([]string{"akri-agent"}, handlers...) {
		all, err := b.processes(ctx, component)
		if err != nil {
			return err
		}
		m, err := all[0].memory()
		if err != nil {
			return err
		}
		b.reportMemory(name+"-"+component, m)
		sum = sum.plus(m)
	}
	b.reportMemory(name+"-agent-udev-onvif", sum)
	return nil
}

func onvifConfiguration(name string) *v0.Configuration {
	return &v0.Configuration{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       v0.ConfigurationSpec{DiscoveryHandler: v0.DiscoveryHandlerInfo{Name: onvif.Name}},
	}
}
