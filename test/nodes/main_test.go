//go:build e2e

// Package nodes tests what two nodes make different: devices that both see,
// slots that both want, and nodes that are lost. The two are one machine, so
// the devices are those of debugEcho, or on a network that both have. See
// testcluster.
package nodes

import (
	"os"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/akri-go/akri/internal/devcluster"
	"github.com/akri-go/akri/test/testcluster"
)

// These are set before the first test and then only read.
var (
	bed *testcluster.Bed
	api client.WithWatch
)

// all are the names of the nodes.
func all() []string { return []string{devcluster.NodeName(1), devcluster.NodeName(2)} }

// other returns the other node of the two, and its number.
func other(node string) (string, int) {
	if node == devcluster.NodeName(1) {
		return devcluster.NodeName(2), 2
	}
	return devcluster.NodeName(1), 1
}

// number returns the number of a node.
func number(node string) int {
	_, n := other(node)
	return 3 - n
}

func TestMain(m *testing.M) {
	o := testcluster.Options{Name: "nodes", Nodes: 2, Values: values(), MaxRestartPeriod: 2 * time.Second, NodeGrace: 12 * time.Second,
		Images: []string{"show-broker", "onvif-video-broker", "opcua-monitoring-broker", "video-streaming-app", "anomaly-detection-app"}}
	os.Exit(testcluster.Main(m, o, func(b *testcluster.Bed) { bed, api = b, b.API }))
}

// values make tests of lost nodes wait less than users.
func values() []string {
	return append(testcluster.DefaultValues(),
		// Those on the nodes' network share a process, the others have one each.
		"discovery.together=true", "onvif.discovery.enabled=true", "opcua.discovery.enabled=true", "opcua.discovery.hostNetwork=true",
		"mdns.discovery.enabled=true", "modbus.discovery.enabled=true", "modbus.discovery.hostNetwork=true",
		"mqtt.discovery.enabled=true", "mqtt.discovery.hostNetwork=true",
		"controller.nodeLostAfter=10s", "controller.leaseDuration=15s")
}
