package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
)

// edgeNodes is how many simulated edge nodes are measured.
const edgeNodes = 1000

// measureEdgeLink measures the link between edge nodes and cloudcore by the
// benchmarks of its packages, without a cluster.
func measureEdgeLink(ctx context.Context, b *bench) error {
	link, err := goBench(ctx, "./test/edgelink", "", "Idle|Reconnect|Handshake|HeadOfLine", "-nodes="+strconv.Itoa(edgeNodes))
	if err != nil {
		return err
	}
	// What EdgeController keeps of a node beside its link.
	controller, err := goBench(ctx, "./internal/cloud/edgecontroller", "integration", "Nodes")
	if err != nil {
		return err
	}
	var missing error
	report := func(name string, all map[string]float64, key, unit string, floor float64, bound ...float64) {
		value, ok := all[key]
		if !ok {
			missing = errors.Join(missing, fmt.Errorf("%s: there is no benchmark with %q", name, key))
			return
		}
		b.report(name, value, unit, floor, bound...)
	}
	report("edge-link-memory-per-idle-node", link, "Idle KiB-RSS-in-service/node", "KiB", 0, memoryPerNodeBound)
	report("edge-controller-memory-per-idle-node", controller, "Nodes KiB/node", "KiB", 0)
	report("edge-link-cpu-10000-idle-nodes", link, "Idle CPU%/10000-nodes", "%", 0, 100*coresBound)
	report("edge-link-bytes-per-idle-node-and-hour", link, "Idle bytes/node/hour", "B", 0)
	report(fmt.Sprintf("edge-link-reconnect-%d-nodes", edgeNodes), link, "Reconnect s", "s", link["Handshake s"], reconnectBound)
	report(fmt.Sprintf("edge-controller-sync-%d-nodes", edgeNodes), controller, "Nodes ms-until-synced", "ms", 0)
	report("edge-controller-watches", controller, "Nodes watches", "watches", 0)
	for _, way := range []string{"up", "down"} {
		report("edge-link-short-beside-long-"+way+"-p50", link, "HeadOfLine/"+way+" ms-p50", "ms", 0)
		report("edge-link-short-beside-long-"+way+"-p99", link, "HeadOfLine/"+way+" ms-p99", "ms", 0)
	}
	return missing
}

// goBench runs benchmarks of a package once each, with a build tag and with flags
// of its own. It returns their metrics, such as "Idle s" of BenchmarkIdle.
func goBench(ctx context.Context, folder, tag, names string, flags ...string) (map[string]float64, error) {
	args := []string{"test", "-tags=" + tag, "-run=^$", "-count=1", "-benchtime=1x", "-timeout=30m",
		"-bench=^Benchmark(" + names + ")$", folder}
	out, err := exec.CommandContext(ctx, "go", append(args, flags...)...).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("benchmarks of %s: %w\n%s", folder, err, out)
	}
	return metrics(string(out)), nil
}

// metrics reads what go test prints of benchmarks.
func metrics(out string) map[string]float64 {
	all := map[string]float64{}
	for line := range strings.Lines(out) {
		words := strings.Fields(line)
		if len(words) < 2 || !strings.HasPrefix(words[0], "Benchmark") {
			continue
		}
		name := strings.TrimPrefix(words[0], "Benchmark")
		if i := strings.LastIndexByte(name, '-'); i > 0 { // GOMAXPROCS
			name = name[:i]
		}
		for i := 2; i+1 < len(words); i += 2 { // after the number of runs
			if value, err := strconv.ParseFloat(words[i], 64); err == nil {
				all[name+" "+words[i+1]] = value
			}
		}
	}
	return all
}
