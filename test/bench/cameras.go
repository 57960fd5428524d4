package main

import (
	"context"
	"errors"
	"time"

	onvif "github.com/akri-go/akri/internal/handlers/onvif/details"
	"github.com/akri-go/akri/samples/simulators/camera/simulator"
)

const onvifLabel = "akri-onvif-discovery"

// simulate makes cameras, which are not started. Without delay they say Hello at
// once; cameras that are many wait for up to half a second, as the protocol asks.
func simulate(n *network, count int, delay time.Duration) (sim *simulator.Simulator, err error) {
	o := simulator.Options{Interface: "eth0", Port: 80, NoRTSP: true, MaxDelay: delay, Addresses: n.devices(count)}
	err = n.Do(func() error { sim, err = simulator.New(o); return err })
	return sim, err
}

// cameras are simulated cameras.
func cameras(n *network, count int) (*fleet, error) {
	delay := time.Duration(-1)
	if count == many {
		delay = 0
	}
	sim, err := simulate(n, count, delay)
	if err != nil {
		return nil, err
	}
	all := sim.Cameras()
	return &fleet{
		name: "cameras", handler: onvif.Name, hello: "hello", bye: "bye",
		start: func(i int) error { return all[i].Start() },
		stop:  func(i int) error { return all[i].Stop() },
		close: sim.Kill,
		id:    func(i int) string { return all[i].UUID },
		poll:  askCameras,
	}, nil
}

// measureCameras measures on a cluster how soon cameras are Instances, and what
// finding many costs. What users know is a poller that asks every 10 s.
func measureCameras(ctx context.Context, b *bench) (err error) {
	ctx, cancel := context.WithTimeout(ctx, 12*time.Minute+2*b.idle)
	defer cancel()
	n, err := b.openNetwork(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.Close()) }()
	if err := install(ctx, b.cluster, b.release, "onvif.discovery.enabled=true"); err != nil {
		return err
	}
	return b.measureFleet(ctx, n, cameras, &inCluster{bench: b, component: onvifLabel})
}
