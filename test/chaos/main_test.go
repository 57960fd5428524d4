//go:build e2e

// Package chaos kills random parts of a real cluster of two nodes while devices
// and Pods come and go. Then it asks package history whether anything happened
// that must never happen.
//
//	go test -tags e2e ./test/chaos -seed 7 -rounds 20
//
// repeats what a run with that seed did, though not at the same times. With
//
//	go test -tags e2e -timeout 2h ./test/chaos -kill=false -for 1h
//
// nothing is killed: what agents and controllers use after an hour of devices
// and Pods that come and go is compared with the beginning. A run that fails leaves out/logs/chaos-history: every version of every object, the
// faults, and the history of each object that was wronged; and in
// out/logs/chaos the logs of all parts.
package chaos

import (
	"flag"
	"os"
	"testing"
	"time"

	"github.com/akri-go/akri/test/testcluster"
)

// nodes is the number of nodes of the cluster.
const nodes = 2

// These are set before the first test and then only read.
var (
	bed    *testcluster.Bed
	seed   = flag.Int64("seed", 0, "of what is done when; 0 takes one from the clock")
	rounds = flag.Int("rounds", 50, "how many times something is killed")
	length = flag.Duration("for", 0, "how long there are rounds, instead of a number of them")
	kill   = flag.Bool("kill", true, "kill something in each round")
)

func TestMain(m *testing.M) {
	os.Exit(testcluster.Main(m, testcluster.Options{
		Name: "chaos", Nodes: nodes, Images: []string{"show-broker"}, MaxRestartPeriod: 2 * time.Second,
	}, func(b *testcluster.Bed) { bed = b }))
}
