//go:build e2e

// Package e2e tests the whole on a real cluster of one node: see testcluster.
package e2e

import (
	"flag"
	"os"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/akri-go/akri/internal/devcluster"
	"github.com/akri-go/akri/test/testcluster"
)

const releaseNamespace = testcluster.Namespace

// These are set before the first test and then only read.
var (
	bed     *testcluster.Bed
	cluster *devcluster.Cluster
	api     client.WithWatch

	outage = flag.Duration("outage", 12*time.Second, "how long the API server is away; a controller gives its Lease up after 10s")
)

func TestMain(m *testing.M) {
	os.Exit(testcluster.Main(m, testcluster.Options{Name: "e2e", Images: []string{"dashboard", "show-broker"}, Values: values()}, func(b *testcluster.Bed) {
		bed, cluster, api = b, b.Cluster, b.API
	}))
}

// values has a Configuration of the release itself, which is made before any
// Pod runs. It finds nothing. The controller's Lease is short, so that an outage
// can be.
func values() []string {
	return append(testcluster.DefaultValues(), "udev.configuration.enabled=true",
		`udev.configuration.discoveryDetails.udevRules[0]=KERNEL=="no-such-device"`, "controller.leaseDuration=15s", "dashboard.enabled=true")
}
