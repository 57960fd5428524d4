package udev

import (
	"flag"
	"fmt"
	"strings"

	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/internal/handlers/handlermetrics"
	"github.com/akri-go/akri/internal/handlers/setup"
)

// reportSeconds is the histogram of what [Options].Reported is told.
func reportSeconds() handlermetrics.Definition {
	return handlermetrics.Definition{
		Name:    "akri_udev_report_seconds",
		Help:    "Seconds from the arrival of the first uevent (or record of udevd) that changed a list of devices to the list's report.",
		Buckets: []float64{0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5},
	}
}

// Setup is the handler's [setup.Func].
func Setup(flags *flag.FlagSet, getenv func(string) string) setup.New {
	mounts := flags.String("node-mounts", getenv("UDEV_NODE_MOUNTS"),
		"`file` with the node's table of mounts, its /proc/1/mountinfo: disks in it are left out (UDEV_NODE_MOUNTS)")
	allow := flags.String("allow-node-devices", getenv("UDEV_ALLOW_NODE_DEVICES"),
		"comma separated device nodes, or `patterns` of them, that are reported although the node lives on them (UDEV_ALLOW_NODE_DEVICES)")
	return func(p setup.Program) (discovery.Handler, error) {
		o := Options{Log: p.Log, NodeMounts: *mounts}
		var patterns []string
		for p := range strings.SplitSeq(*allow, ",") {
			if p = strings.TrimSpace(p); p != "" {
				patterns = append(patterns, p)
			}
		}
		var err error
		if o.Allow, err = ParseAllow(patterns); err != nil {
			return nil, err
		}
		if o.Reported, err = p.Histogram(reportSeconds()); err != nil {
			return nil, fmt.Errorf("add a histogram: %w", err)
		}
		return New(o), nil
	}
}
