package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	mdns "github.com/akri-go/akri/internal/handlers/mdns/details"
	"github.com/akri-go/akri/internal/handlers/mdns/mdnstest"
	modbus "github.com/akri-go/akri/internal/handlers/modbus/details"
	"github.com/akri-go/akri/internal/handlers/modbus/modbustest"
	mqtt "github.com/akri-go/akri/internal/handlers/mqtt/details"
	"github.com/akri-go/akri/internal/handlers/mqtt/mqtttest"
)

const serviceType = "_ipp._tcp"

// services are pretended devices that announce a service by mDNS, each with a host
// and an address of its own.
func services(n *network, count int) (f *fleet, err error) {
	var list []mdnstest.Device
	for i, address := range n.devices(count) {
		list = append(list, mdnstest.Device{
			Address: address, Host: fmt.Sprintf("host-%d", i), Name: fmt.Sprintf("Device %d", i), Type: serviceType,
			Port: 631, Text: []string{fmt.Sprintf("UUID=7f3a-%04d", i), "rp=ipp/print", "Color=F"}})
	}
	var crowd *mdnstest.Crowd
	if err := n.Do(func() (err error) { crowd, err = mdnstest.New("eth0", list...); return err }); err != nil {
		return nil, err
	}
	return &fleet{
		name: "mdns", hello: "mdns-announced", bye: "mdns-goodbye",
		handler: mdns.Name, details: "types: [" + serviceType + "]\n",
		start: crowd.Start, stop: crowd.Stop, close: crowd.Close,
		id:   func(i int) string { return list[i].Name + "." + serviceType + ".local." },
		poll: askServices,
	}, nil
}

// measureServices measures the same on a cluster.
func measureServices(ctx context.Context, b *bench) (err error) {
	ctx, cancel := context.WithTimeout(ctx, 12*time.Minute+2*b.idle)
	defer cancel()
	n, err := b.openNetwork(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.Close()) }()
	if err := install(ctx, b.cluster, b.release, "mdns.discovery.enabled=true"); err != nil {
		return err
	}
	return b.measureFleet(ctx, n, services, &inCluster{bench: b, component: "akri-mdns-discovery"})
}

const (
	modbusPort     = 502
	unitsPerServer = 2
)

func unitID(server netip.AddrPort, unit int) string { return fmt.Sprintf("%s/%d", server, unit) }

// units are units of pretended Modbus servers. The servers are there from the
// beginning, as gateways that do not reach the units that are off. A Configuration
// asks 256 addresses at most, so each has two.
func units(n *network, count int) (f *fleet, err error) {
	var servers []*modbustest.Server
	var addresses []string
	stop := func() error {
		for _, s := range servers {
			s.Close()
		}
		return nil
	}
	on := make([]map[byte]modbustest.Unit, (count+unitsPerServer-1)/unitsPerServer)
	for i := range on {
		on[i] = map[byte]modbustest.Unit{}
		at := netip.AddrPortFrom(n.device(i), modbusPort).String()
		var s *modbustest.Server
		if err := n.Do(func() (err error) { s, err = modbustest.Listen(at, nil); return err }); err != nil {
			return nil, errors.Join(err, stop())
		}
		s.Set(11, nil)
		servers, addresses = append(servers, s), append(addresses, at)
	}
	set := func(i int, units map[byte]modbustest.Unit) error { servers[i].Set(11, units); return nil }
	return &fleet{
		name: "modbus", hello: "modbus-on", bye: "modbus-off", handler: modbus.Name, slow: true,
		details: fmt.Sprintf("servers: [%s]\nunits: [1-%d]\n", strings.Join(addresses, ", "), unitsPerServer),
		start: func(i int) error {
			server := i / unitsPerServer
			on[server][byte(1+i%unitsPerServer)] = modbustest.Unit{Objects: map[byte]string{
				0: "Pumps Inc", 1: "P-7", 2: "1.2", 4: "Pump", 6: fmt.Sprintf("pump-%d", i)}}
			return set(server, on[server])
		},
		stop: func(i int) error {
			server := i / unitsPerServer
			delete(on[server], byte(1+i%unitsPerServer))
			return set(server, on[server])
		},
		close: stop,
		id: func(i int) string {
			return unitID(netip.AddrPortFrom(n.device(i/unitsPerServer), modbusPort), 1+i%unitsPerServer)
		},
		poll: askUnits,
	}, nil
}

// things are devices that announce themselves by Homie 5 on a pretended broker.
// Nobody polls such.
func things(n *network, _ int) (f *fleet, err error) {
	at := net.JoinHostPort(n.device(0).String(), "1883")
	var broker *mqtttest.Broker
	if err := n.Do(func() (err error) { broker, err = mqtttest.Listen(at); return err }); err != nil {
		return nil, err
	}
	topic := func(i int) string { return fmt.Sprintf("homie/5/thing-%d/", i) }
	return &fleet{
		name: "mqtt", hello: "mqtt-announced", bye: "mqtt-goodbye", handler: mqtt.Name,
		details: "broker: mqtt://" + at + "\nhomie: {}\n",
		start: func(i int) error {
			about := fmt.Sprintf(`{"homie":"5.0","version":1,"name":"Thing %d","type":"relay"}`, i)
			broker.Retain(topic(i)+"$description", about)
			broker.Retain(topic(i)+"$state", "ready")
			return nil
		},
		stop:  func(i int) error { broker.Retain(topic(i)+"$state", "disconnected"); return nil },
		close: func() error { broker.Close(); return nil },
	}, nil
}
