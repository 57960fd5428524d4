//go:build e2e

package nodes

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	mdns "github.com/akri-go/akri/internal/handlers/mdns/details"
	"github.com/akri-go/akri/internal/handlers/mdns/mdnstest"
	modbus "github.com/akri-go/akri/internal/handlers/modbus/details"
	"github.com/akri-go/akri/internal/handlers/modbus/modbustest"
	mqtt "github.com/akri-go/akri/internal/handlers/mqtt/details"
	"github.com/akri-go/akri/internal/handlers/mqtt/mqtttest"
	"github.com/akri-go/akri/test/testcluster"
)

// A device of each protocol that both nodes see becomes an Instance with a device's
// properties, and leaves with the device. The handlers are in one process, as the
// chart runs them. The devices are pretended ones: the handlers' own tests have
// real ones.
func TestAnnounced(t *testing.T) {
	t.Parallel()
	s := newPlot(t, 1)
	at := func(port uint16) string { return netip.AddrPortFrom(s.addr[0], port).String() }
	var crowd *mdnstest.Crowd
	var server *modbustest.Server
	var broker *mqtttest.Broker
	there(t, s, func() (err error) {
		crowd, err = mdnstest.New("eth0", mdnstest.Device{Address: s.addr[0], Host: "office", Name: "Label printer",
			Type: "_ipp._tcp", Port: 631, Text: []string{"UUID=7f3a"}})
		return err
	})
	t.Cleanup(func() { there(t, s, crowd.Close) })
	there(t, s, func() error { return crowd.Start(0) })
	there(t, s, func() error {
		unit := modbustest.Unit{Objects: map[byte]string{0: "Pumps Inc", 1: "P-7", 2: "1.2", 6: "pump-3"}}
		server = modbustest.StartAt(t, at(502), map[byte]modbustest.Unit{1: unit})
		broker = mqtttest.StartAt(t, at(1883))
		return nil
	})
	broker.Retain("homie/5/relay/$description", `{"homie":"5.0","version":1,"name":"Pump relay","type":"relay"}`)
	broker.Retain("homie/5/relay/$state", "ready")

	r := follow(t, bed.NewNamespace(t))
	devices := []struct {
		name, handler, details string
		want                   map[string]string
		end                    func() error
	}{
		{"nodes-mdns", mdns.Name, "types: [_ipp._tcp]\n",
			map[string]string{mdns.PropertyInstance: "Label printer", mdns.PropertyAddress: s.addr[0].String(), "MDNS_TXT_UUID": "7f3a"},
			func() error { return crowd.Stop(0) }},
		{"nodes-modbus", modbus.Name, "servers: ['" + at(502) + "']\ninterval: 1s\n",
			map[string]string{modbus.PropertyVendor: "Pumps Inc", modbus.PropertyHost: s.addr[0].String(), modbus.PropertyUnit: "1"},
			func() error { server.Close(); return nil }},
		{"nodes-mqtt", mqtt.Name, "broker: mqtt://" + at(1883) + "\nhomie: {}\n",
			map[string]string{mqtt.PropertyName: "Pump relay", mqtt.PropertyDevice: "relay", mqtt.PropertyConvention: "homie5"},
			func() error { broker.Retain("homie/5/relay/$state", "disconnected"); return nil }},
	}
	for _, d := range devices {
		c := testcluster.HandlerConfiguration(r.ns, d.name, d.handler, 1, d.details)
		c.Spec.DiscoveryHandler.OfflineGracePeriod = &metav1.Duration{Duration: time.Second}
		create(t, c)
	}
	for _, d := range devices {
		r.await(waitTimeout, r.seen(d.name, 1, all()...), r.says(d.name, d.want))
	}
	for _, d := range devices {
		there(t, s, d.end)
	}
	for _, d := range devices {
		r.await(waitTimeout, r.seen(d.name, 0))
	}
}

// says complains unless the one Instance of a Configuration has these properties.
func (r *record) says(configuration string, want map[string]string) look {
	return func() error {
		got := r.instancesOf(configuration)[0].Spec.BrokerProperties
		for key, value := range want {
			if got[key] != value {
				return fmt.Errorf("%s of %s is %q, want %q: %v", key, configuration, got[key], value, got)
			}
		}
		return nil
	}
}
