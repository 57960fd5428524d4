package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/backoff"
	"github.com/akri-go/akri/internal/cell"
	onvif "github.com/akri-go/akri/internal/handlers/onvif/details"
	"github.com/akri-go/akri/samples/simulators/camera/simulator"
	"github.com/akri-go/akri/test/street"
)

const (
	// manyCameras are on one network.
	manyCameras = 500
	onvifLabel  = "akri-onvif-discovery"
)

// network is a street with a range of addresses that the node has one of too.
type network struct {
	*street.Street
	node netip.Addr
}

// openNetwork makes one; the node's second address stays until the cluster goes.
func (b *bench) openNetwork(ctx context.Context) (*network, error) {
	if b.cluster == nil {
		return nil, errors.New("needs a cluster that bench has made: leave -kubeconfig away")
	}
	lab := b.cluster.Network()
	n := &network{node: lab.Addr(128, 1)}
	err := cell.RunIP(ctx, []string{"-n", lab.NetNS("node1"), "addr", "replace", netip.PrefixFrom(n.node, 22).String(), "dev", cell.MemberLink})
	if err != nil {
		return nil, err
	}
	if n.Street, err = street.Open(ctx, lab.Network, netip.PrefixFrom(lab.Addr(129, 1), 22)); err != nil {
		return nil, err
	}
	return n, errors.Join(cell.RunIP(ctx, []string{"-n", n.Name, "route", "add", "local", lab.Prefix(130, 23).String(), "dev", "lo"}))
}

// simulate makes cameras, which are not started. Without delay they say Hello at
// once; cameras that are many wait for up to half a second, as the protocol asks.
func (b *bench) simulate(n *network, count int, delay time.Duration) (sim *simulator.Simulator, err error) {
	o := simulator.Options{Interface: "eth0", Port: 80, NoRTSP: true, MaxDelay: delay}
	for i := range count {
		o.Addresses = append(o.Addresses, b.cluster.Network().Addr(130+i/250, 1+i%250))
	}
	err = n.Do(func() error { sim, err = simulator.New(o); return err })
	return sim, err
}

// measureCameras measures how soon cameras are Instances, and what finding 500
// costs. What users know is a poller that asks every 10 s.
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
	if err := b.helloAndBye(ctx, n); err != nil {
		return err
	}
	sim, err := b.simulate(n, manyCameras, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.Do(sim.Kill)) }()
	if err := b.poll(ctx, n, sim); err != nil {
		return err
	}
	return b.manyCameras(ctx, n)
}

func onvifConfiguration(name string) *v0.Configuration {
	return &v0.Configuration{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       v0.ConfigurationSpec{DiscoveryHandler: v0.DiscoveryHandlerInfo{Name: onvif.Name}},
	}
}

// manyCameras measures the handler with cameras that are all there.
func (b *bench) manyCameras(ctx context.Context, n *network) (err error) {
	handlers, err := b.processes(ctx, onvifLabel)
	if err != nil {
		return err
	}
	handler := handlers[0]
	// The floor is as many Instances that this program applies.
	alone := *b
	alone.devices = manyCameras
	floor, err := alone.floorOfMany(ctx)
	if err != nil {
		return err
	}
	w, err := b.watchInstances(ctx)
	if err != nil {
		return err
	}
	defer w.Stop()
	cpu, began := handler.cpu(), time.Now()
	clean, err := b.configure(ctx, onvifConfiguration("bench-cameras"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, clean()) }()
	half, err := w.until(ctx, func() bool { return len(w.there) >= manyCameras/2 })
	if err != nil {
		return err
	}
	all, err := w.until(ctx, func() bool { return len(w.there) == manyCameras })
	if err != nil {
		return err
	}
	name := fmt.Sprintf("%d-cameras", manyCameras)
	b.report(name+"-half-to-instances", half.Sub(began).Seconds(), "s", 0)
	b.report(name+"-to-instances", all.Sub(began).Seconds(), "s", floor.Seconds())
	b.report(name+"-found-cpu", (handler.cpu() - cpu).Seconds(), "s", 0)

	// The rhythm of the probes slows down, which takes six of them.
	if err := backoff.Sleep(ctx, time.Minute); err != nil {
		return err
	}
	cpu = handler.cpu()
	packets, err := n.during(ctx, b.idle)
	if err != nil {
		return err
	}
	b.report(name+"-idle-packets", packets, "packets/min", 0)
	b.report(name+"-idle-cpu", 100*(handler.cpu()-cpu).Seconds()/b.idle.Seconds(), "percent-of-a-core", 0)
	m, err := handler.memory()
	if err != nil {
		return err
	}
	b.reportMemory(name+"-onvif", m)
	return nil
}

// during returns how many packets a minute pass between the street and the nodes.
func (n *network) during(ctx context.Context, length time.Duration) (perMinute float64, err error) {
	before, err := n.packets()
	if err != nil {
		return 0, err
	}
	if err := backoff.Sleep(ctx, length); err != nil {
		return 0, err
	}
	after, err := n.packets()
	return (after - before) / length.Minutes(), err
}

// packets is how many have passed so far, both ways.
func (n *network) packets() (count float64, err error) {
	err = n.Do(func() error {
		raw, err := os.ReadFile("/proc/thread-self/net/dev")
		if err != nil {
			return err
		}
		_, rest, there := strings.Cut(string(raw), "eth0:")
		words := strings.Fields(rest) // received: bytes, packets and six more; then the same of those sent
		if !there || len(words) < 10 {
			return fmt.Errorf("no eth0 in %q", raw)
		}
		for _, word := range []string{words[1], words[9]} {
			one, err := strconv.ParseFloat(word, 64)
			if err != nil {
				return err
			}
			count += one
		}
		return nil
	})
	return count, err
}

// helloAndBye measures cameras that come one by one, and go.
func (b *bench) helloAndBye(ctx context.Context, n *network) (err error) {
	sim, err := b.simulate(n, b.rounds, -1)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.Do(sim.Kill)) }()
	clean, err := b.configure(ctx, onvifConfiguration("bench-hello"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, clean()) }()
	w, err := b.watchInstances(ctx)
	if err != nil {
		return err
	}
	defer w.Stop()
	var hello, bye, floor []time.Duration
	for i, camera := range sim.Cameras() {
		began := time.Now()
		if err := n.Do(camera.Start); err != nil {
			return err
		}
		seen, err := w.until(ctx, func() bool { return len(w.there) == i+1 })
		if err != nil {
			return err
		}
		if i == 0 {
			continue // the handler had just begun to listen
		}
		hello = append(hello, seen.Sub(began))
		took, err := b.floorOfOne(ctx, w)
		if err != nil {
			return err
		}
		floor = append(floor, took)
	}
	for _, camera := range sim.Cameras()[:max(1, b.rounds/10)] {
		before, said := len(w.there), time.Now()
		if err := n.Do(camera.Stop); err != nil {
			return err
		}
		gone, err := w.until(ctx, func() bool { return len(w.there) < before })
		if err != nil {
			return err
		}
		bye = append(bye, gone.Sub(said))
	}
	for _, all := range [][]time.Duration{hello, bye, floor} {
		slices.Sort(all)
	}
	b.report("hello-to-instance-p50", ms(quantile(hello, 0.5)), "ms", ms(quantile(floor, 0.5)))
	b.report("hello-to-instance-p99", ms(quantile(hello, 0.99)), "ms", ms(quantile(floor, 0.99)))
	b.report("bye-to-instance-gone-p50", ms(quantile(bye, 0.5)), "ms", 0)
	return nil
}
