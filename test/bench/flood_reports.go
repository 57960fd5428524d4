package main

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
)

// floodFigure is a line of that test.
const floodFigure = `figure=flood-handler value=(\d+) unit=MiB \(.*, reports of ([0-9.]+) MiB\)`

// measureFloodOfReports runs the test that has 64 handlers report as much as they can to
// registry and inventory of an agent in a process of its own.
func measureFloodOfReports(ctx context.Context, b *bench) error {
	cmd := exec.CommandContext(ctx, "go", "test", "-count=1", "-v", "-run=^TestFlood$", "./internal/agent")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	for _, match := range regexp.MustCompile(floodFigure).FindAllStringSubmatch(string(out), -1) {
		mib, err := strconv.ParseFloat(match[1], 64)
		if err != nil {
			return err
		}
		b.report("flood-handler-64-reports-of-"+match[2]+"-MiB", mib, "MiB", 0)
	}
	return nil
}
