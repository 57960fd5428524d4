//go:build e2e

// Package e2e tests the whole on a real cluster of one node: see testcluster.
package e2e

import (
	"os"
	"testing"

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
)

func TestMain(m *testing.M) {
	// Made before any Pod runs; it finds nothing.
	values := append(testcluster.DefaultValues(), "udev.configuration.enabled=true",
		`udev.configuration.discoveryDetails.udevRules[0]=KERNEL=="no-such-device"`)
	os.Exit(testcluster.Main(m, testcluster.Options{Name: "e2e", Values: values}, func(b *testcluster.Bed) {
		bed, cluster, api = b, b.Cluster, b.API
	}))
}
